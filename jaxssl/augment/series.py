"""Views of series over time, and the preprocessing for evaluation.

Every factory returns `augment(key, batch) -> batch`. The batch has `series` [N, T, C] and perhaps `length` int [N]: series n
then ends after length[n] samples. The result has `views` (or `x`, from the factories named plain) in their place and keeps
all other entries. Shared options:

  size: T of the result; a series is stretched from its own length to it by linear interpolation. None: T as it is,
    and only shorter series are stretched.
  mean, std: of each channel, for (series - mean) / std; None: those of each series by itself.
  clip: the bound of the absolute value after that; 0 for none.

An option out of range raises ValueError by name.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.dtypes import integer, real
from jaxssl.core import Augment


def plain(
    *,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    clip: float = 0.0,
) -> Augment:
    """Preprocessing for evaluation, deterministic: `x` float32 [N, T, C]. The key is not used."""
    prepare = _preparation(size, mean, std, clip)

    def preprocess(key, batch):
        del key
        return _rest(batch) | {"x": prepare(batch)}

    return preprocess


def whole(
    *,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    clip: float = 0.0,
) -> Augment:
    """One deterministic view, for methods that hide parts themselves: `views`, one array float32 [N, T, C]."""
    prepare = _preparation(size, mean, std, clip)

    def augment(key, batch):
        del key
        return _rest(batch) | {"views": (prepare(batch),)}

    return augment


def sensors(
    *,
    channels: int = 3,
    crop: float = 1.0,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    clip: float = 0.0,
) -> Augment:
    """A view for each sensor, cut from the same time: `views`, V arrays float32 [N, t, channels].

    Channels 0 ... channels - 1 are those of the first sensor, and so on.

    Args:
      channels: of a sensor; must divide C.
      crop: t over T; the start is uniform, and the same for all sensors of an example.
    """
    prepare = _preparation(size, mean, std, clip)
    if not 0 < crop <= 1:
        raise ValueError(f"crop={crop}: must be in (0, 1].")

    def augment(key, batch):
        x = split_sensors(prepare(batch), channels)
        time = x.shape[2]
        length = max(round(crop * time), 1)
        start = jax.random.randint(key, (x.shape[0],), 0, time - length + 1)
        cut = jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, length, axis=1))(x, start)
        return _rest(batch) | {"views": tuple(cut.swapaxes(0, 1))}

    return augment


def plain_sensors(
    *,
    channels: int = 3,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    clip: float = 0.0,
) -> Augment:
    """Preprocessing for evaluation of `sensors`, deterministic: `x` float32 [N, V, T, channels]."""
    prepare = _preparation(size, mean, std, clip)

    def preprocess(key, batch):
        del key
        return _rest(batch) | {"x": split_sensors(prepare(batch), channels)}

    return preprocess


def views(
    *,
    num_views: int = 2,
    crop_scale: tuple[float, float] = (0.5, 1.0),
    jitter: float = 0.1,
    scale: float = 0.2,
    rotation: bool = False,
    segments: int = 1,
    warp: float = 0.0,
    size: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    clip: float = 0.0,
) -> Augment:
    """Views for contrastive methods: `views`, arrays float32 [N, T, C].

    In this order, each step drawn anew for every view: crop and stretch to T, time warp, permutation of segments,
    rotation, scaling, jitter.

    Args:
      num_views: V.
      crop_scale: range of the part of T that a view shows.
      jitter: standard deviation of the noise.
      scale: standard deviation of a factor exp(scale * normal) for each channel.
      rotation: rotate each group of three channels (a sensor with three axes) at random.
      segments: number of pieces that change places; 1 for none.
      warp: strength of the change of speed along the series, 0 for none (see `time_warp`).
    """
    prepare = _preparation(size, mean, std, clip)
    if not isinstance(num_views, int) or num_views < 1:
        raise ValueError(f"num_views={num_views!r}: must be an integer of at least 1.")
    if len(crop_scale) != 2 or not 0 < crop_scale[0] <= crop_scale[1] <= 1:
        raise ValueError(f"crop_scale={crop_scale}: must be a range in (0, 1].")
    for name, value in (("jitter", jitter), ("scale", scale), ("warp", warp)):
        if not value >= 0:
            raise ValueError(f"{name}={value}: must be at least 0.")
    if not isinstance(segments, int) or segments < 1:
        raise ValueError(f"segments={segments!r}: must be an integer of at least 1.")

    def view(key, x):
        keys = jax.random.split(key, 6)
        x = crop_resize(keys[0], x, crop_scale) if tuple(crop_scale) != (1.0, 1.0) else x
        x = time_warp(keys[1], x, warp) if warp else x
        x = permute_segments(keys[2], x, segments) if segments > 1 else x
        x = rotate(keys[3], x) if rotation else x
        x = rescale(keys[4], x, scale) if scale else x
        return add_noise(keys[5], x, jitter) if jitter else x

    def augment(key, batch):
        x = prepare(batch)
        keys = jax.random.split(key, (num_views, x.shape[0]))
        return _rest(batch) | {"views": tuple(jax.vmap(jax.vmap(view), in_axes=(0, None))(keys, x))}

    return augment


def at_times(x: jax.Array, times: jax.Array) -> jax.Array:
    """Values of a series x [T, C] at any times [t] in 0 ... T - 1, by linear interpolation: [t, C]."""
    x = real(x, "x")
    times = jnp.clip(times, 0, x.shape[0] - 1)
    before = jnp.minimum(times.astype(jnp.int32), max(x.shape[0] - 2, 0))
    part = (times - before)[:, None]
    after = x[jnp.minimum(before + 1, x.shape[0] - 1)]
    # At the last sample of a short series the next one is not to be touched, whatever it holds.
    return x[before] * (1 - part) + jnp.where(part > 0, after, 0) * part


def crop_resize(key: jax.Array, x: jax.Array, crop_scale: tuple[float, float]) -> jax.Array:
    """A piece of x [T, C] of random length and place, stretched to T."""
    key_length, key_start = jax.random.split(key)
    last = x.shape[0] - 1
    span = last * jax.random.uniform(key_length, (), minval=crop_scale[0], maxval=crop_scale[1])
    start = jax.random.uniform(key_start, ()) * (last - span)
    return at_times(x, start + span * jnp.linspace(0, 1, x.shape[0]))


def time_warp(key: jax.Array, x: jax.Array, strength: jax.Array | float) -> jax.Array:
    """x [T, C] at a speed that varies smoothly, exp(strength * a sum of three random sines); both ends stay."""
    key_height, key_phase = jax.random.split(key)
    height = jax.random.normal(key_height, (3,)) / jnp.sqrt(3.0)
    phase = jax.random.uniform(key_phase, (3,), maxval=2 * jnp.pi)
    clock = jnp.linspace(0, 1, x.shape[0])[:, None]
    wave = jnp.sum(height * jnp.sqrt(2.0) * jnp.sin(2 * jnp.pi * jnp.arange(1, 4) * clock + phase), axis=1)
    passed = jnp.cumsum(jnp.exp(strength * wave))
    passed = passed - passed[0]
    return at_times(x, passed * (x.shape[0] - 1) / passed[-1])


def permute_segments(key: jax.Array, x: jax.Array, segments: int) -> jax.Array:
    """Equal pieces of x [T, C] in random order; what is left over at the end stays."""
    x = real(x, "x")
    length = x.shape[0] // segments
    pieces = x[: segments * length].reshape(segments, length, x.shape[1])
    mixed = pieces[jax.random.permutation(key, segments)].reshape(-1, x.shape[1])
    return jnp.concatenate([mixed, x[segments * length :]])


def rotate(key: jax.Array, x: jax.Array) -> jax.Array:
    """Each group of three channels of x [T, C] under its own uniformly random rotation; C is a multiple of 3."""
    x = real(x, "x")
    if x.shape[-1] % 3:
        raise ValueError(f"rotation=True: the series have {x.shape[-1]} channels; groups of three would be right.")
    quaternion = jax.random.normal(key, (x.shape[-1] // 3, 4))
    a, b, c, d = jnp.moveaxis(quaternion / jnp.linalg.norm(quaternion, axis=1, keepdims=True), 1, 0)
    rows = [
        [1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)],
    ]
    matrix = jnp.stack([jnp.stack(row, -1) for row in rows], -2)
    return jnp.einsum("gij,tgj->tgi", matrix, x.reshape(x.shape[0], -1, 3)).reshape(x.shape)


def rescale(key: jax.Array, x: jax.Array, strength: jax.Array | float) -> jax.Array:
    """x [T, C] times exp(strength * normal), one factor a channel."""
    return real(x, "x") * jnp.exp(strength * jax.random.normal(key, (x.shape[1],)))


def add_noise(key: jax.Array, x: jax.Array, deviation: jax.Array | float) -> jax.Array:
    """x [T, C] and normal noise."""
    return real(x, "x") + deviation * jax.random.normal(key, x.shape)


def split_sensors(x: jax.Array, channels: int) -> jax.Array:
    """Series [N, T, V * channels] -> [N, V, T, channels]."""
    x = real(x, "x")
    if x.shape[-1] % channels:
        raise ValueError(f"channels={channels}: must divide the {x.shape[-1]} channels of the series.")
    return jnp.moveaxis(x.reshape(*x.shape[:2], -1, channels), 2, 1)


def _rest(batch):
    return {name: value for name, value in batch.items() if name not in ("series", "length")}


def _preparation(size, mean, std, clip):
    """batch -> float32 [N, size, C]: stretched, standardised, clipped."""
    if size is not None and (not isinstance(size, int) or size < 2):
        raise ValueError(f"size={size!r}: must be None or an int of at least 2.")
    if (mean is None) != (std is None):
        raise ValueError(f"mean={mean}, std={std}: they go together; give both or neither.")
    if mean is not None:
        mean, std = (np.atleast_1d(np.asarray(v, np.float32)) for v in (mean, std))
        if mean.shape != std.shape or mean.ndim != 1 or not (std > 0).all():
            raise ValueError(f"mean={mean}, std={std}: must be equally many numbers, std above 0.")
    if not clip >= 0:
        raise ValueError(f"clip={clip}: must be at least 0.")

    def prepare(batch):
        if "series" not in batch:
            raise ValueError(f"series augmentations need the array `series`, got {sorted(batch)}")
        x = real(batch["series"], "series")
        if mean is not None and mean.size not in (1, x.shape[-1]):
            raise ValueError(
                f"mean has {mean.size} values but the series have {x.shape[-1]} channels; leave out mean and std to "
                "standardise each series by itself"
            )
        if "length" in batch or (size or x.shape[1]) != x.shape[1]:
            length = integer(batch.get("length", jnp.full(x.shape[0], x.shape[1])), "length")
            along = jnp.linspace(0, 1, size or x.shape[1])
            # Times end at the last sample, so that what fills up a short series is never read.
            x = jax.vmap(lambda row, n: at_times(row, jnp.minimum(along * (n - 1), n - 1)))(x, length)
        if mean is None:
            spread = jnp.std(x, axis=1, keepdims=True)
            x = (x - jnp.mean(x, axis=1, keepdims=True)) / jnp.where(spread > 1e-6, spread, 1.0)
        else:
            x = (x - mean) / std
        return jnp.clip(x, -clip, clip) if clip else x

    return prepare
