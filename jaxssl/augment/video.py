"""Views of videos: the start of a clip, and one augmentation of all its frames; and the preprocessing for evaluation.

Every factory returns `augment(key, batch) -> batch`. The batch has `video` [N, T, H, W, C], uint8 or float in [0, 1], C = 1
or 3; the result has `views` (or `x`, from `plain`) in its place and keeps all other entries. A clip is `frames` frames,
`stride` frames of the video apart. The random choices of a view are drawn once a clip, so that only what moved in
the video moves in the view. All other options are as in `augment.image`.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment import image
from jaxssl.augment.dtypes import check_image, unit_image
from jaxssl.augment.view import (
    ViewOptions,
    check_count,
    check_options,
    check_probability_pair,
    check_statistics,
    make_view,
    standardize,
    to_unit_float,
)
from jaxssl.core import Augment


def cvrl(
    *,
    frames: int,
    stride: int,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    power: float = 1.0,
    crop_scale: tuple[float, float] = (0.3, 1.0),
    crop_ratio: tuple[float, float] = (0.5, 2.0),
    interpolation: str = "bilinear",
    flip_probability: float = 0.5,
    color_strength: float = 1.0,
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_probability: tuple[float, float] = (1.0, 0.1),
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    solarize_probability: tuple[float, float] = (0.0, 0.2),
    consistent: bool = True,
) -> Augment:
    """Two clips of each video, more often near each other than far apart; all frames of a clip are augmented alike.

    With M the number of places where a clip can begin, the distance k of the two beginnings has the distribution
    F(k) = k (p + 1) / (p M) - k^(p + 1) / (p M^(p + 1)) on 0 <= k < M, rounded down; the earlier clip begins uniformly in
    0 ... M - 1 - k, and the order of the two is random. Contrast is about the mean of each frame.

    Args:
      frames, stride: of a clip.
      power: p > 0: the density falls as 1 - (k / M)^p; None: all distances alike.
      color_strength: jitter of strengths (0.8, 0.8, 0.8, 0.2) times this.
      blur_probability, solarize_probability: pairs, one number for each view.
      consistent: False draws the random choices of every frame anew (the publication's ablation).

    Returns:
      `augment(key, batch)` with `views`, two arrays float32 [N, frames, h, w, C], and `start`, two int32 [N].

    Source: Qian et al., Spatiotemporal Contrastive Video Representation Learning, 2020, arXiv:2008.03800,
      https://arxiv.org/abs/2008.03800
    """
    span = _span(frames, stride)
    if power is not None and not power > 0:
        raise ValueError(f"power={power}: must be above 0, or None for all distances alike.")
    if not 0 <= color_strength <= 2.5:
        raise ValueError(f"color_strength={color_strength}: must be in [0, 2.5].")
    check_probability_pair("blur_probability", blur_probability)
    check_probability_pair("solarize_probability", solarize_probability)
    mean, std = check_statistics(mean, std)
    options = [
        check_options(
            ViewOptions(
                size,
                crop_scale,
                crop_ratio,
                interpolation,
                flip_probability,
                jitter=tuple(color_strength * s for s in (0.8, 0.8, 0.8, 0.2)),
                jitter_probability=jitter_probability,
                grayscale_probability=grayscale_probability,
                blur_probability=blur,
                blur_sigma=blur_sigma,
                blur_kernel=blur_kernel,
                solarize_probability=solarize,
            )
        )
        for blur, solarize in zip(blur_probability, solarize_probability, strict=True)
    ]

    def augment(key, batch):
        video = _videos(batch, span)
        num = video.shape[0]
        key_start, *key_views = jax.random.split(key, 3)
        sample = lambda key: sample_clip_pair(key, video.shape[1], frames, stride, power=power)
        starts = jax.vmap(sample, out_axes=1)(jax.random.split(key_start, num))
        views = []
        for key_view, start, option in zip(key_views, starts, options):
            clips = jax.vmap(lambda x, s: take_clip(x, s, frames, stride))(video, start)
            clips = to_unit_float({"image": clips.reshape(-1, *clips.shape[2:])}).reshape(clips.shape)
            view = lambda key, clip, option=option: augment_clip(key, clip, option, consistent=consistent)
            views.append(jax.vmap(view)(jax.random.split(key_view, num), clips))
        return _rest(batch) | {"views": tuple(standardize(v, mean, std) for v in views), "start": tuple(starts)}

    return augment


def plain(
    *,
    frames: int,
    stride: int,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    size: int | tuple[int, int] | None = None,
    where: float = 0.5,
    crop_fraction: float = 1.0,
    interpolation: str = "bilinear",
) -> Augment:
    """Preprocessing for evaluation, deterministic: one clip, centre crop, resize, standardise. The key is not used.

    Args:
      frames, stride: of the clip.
      where: place of the clip among those possible, 0 = at the start of the video, 1 = at its end.
      size, mean, std, crop_fraction, interpolation: as in `augment.image.plain`.

    Returns:
      `preprocess(key, batch)` with `x` float32 [N, frames, h, w, C].
    """
    span = _span(frames, stride)
    if not 0 <= where <= 1:
        raise ValueError(f"where={where}: must be in [0, 1].")
    prepare = image.plain(mean=mean, std=std, size=size, crop_fraction=crop_fraction, interpolation=interpolation)

    def preprocess(key, batch):
        del key
        video = _videos(batch, span)
        start = round(where * (video.shape[1] - span))
        clip = video[:, start : start + span : stride]
        x = prepare(None, {"image": clip.reshape(-1, *clip.shape[2:])})["x"]
        return _rest(batch) | {"x": x.reshape(*clip.shape[:2], *x.shape[1:])}

    return preprocess


def interval_cdf(places: int, power: float | None = 1.0) -> np.ndarray:
    """F(k + 1) for k = 0 ... places - 1: the chance that two clips begin at most k frames apart (see `cvrl`).

    Args:
      places: M, the number of places where a clip can begin.
      power: p, or None for all distances alike.

    Returns:
      float64 NumPy array [M], from above 0 to 1.
    """
    part = np.arange(1, places + 1) / places
    return part if power is None else part * (power + 1) / power - part ** (power + 1) / power


def sample_clip_pair(key: jax.Array, length: int, frames: int, stride: int, *, power: float | None = 1.0) -> np.ndarray:
    """First frames of two clips of a video of `length` frames (see `cvrl`): int32 [2], in random order."""
    places = length - _span(frames, stride) + 1
    key_distance, key_start, key_order = jax.random.split(key, 3)
    table = jnp.asarray(interval_cdf(places, power), jnp.float32)
    distance = jnp.searchsorted(table, jax.random.uniform(key_distance), side="right").astype(jnp.int32)
    distance = jnp.minimum(distance, places - 1)
    first = jax.random.randint(key_start, (), 0, places - distance)
    pair = jnp.stack([first, first + distance])
    return jnp.where(jax.random.bernoulli(key_order), pair, pair[::-1])


def take_clip(video: jax.Array, start: jax.Array | int, frames: int, stride: int) -> jax.Array:
    """Frames start, start + stride, ... of a video [T, H, W, C]: float32 [frames, H, W, C] in [0, 1]."""
    video = check_image(video, "video")
    return unit_image(jax.lax.dynamic_slice_in_dim(video, start, _span(frames, stride))[::stride])


def augment_clip(key: jax.Array, clip: jax.Array, options: ViewOptions, *, consistent: bool = True) -> jax.Array:
    """A view of a clip [t, H, W, C] under `view.ViewOptions`, the same random choices for all frames: [t, h, w, C].

    Args:
      consistent: False draws the random choices of every frame anew.
    """
    clip = unit_image(clip, "clip")
    one = lambda key, frame: make_view(key, frame, options)[0]
    if consistent:
        return jax.vmap(one, in_axes=(None, 0))(key, clip)
    return jax.vmap(one)(jax.random.split(key, clip.shape[0]), clip)


def _span(frames, stride):
    """Number of frames of the video from the first to the last of a clip."""
    check_count("frames", frames, least=1)
    check_count("stride", stride, least=1)
    return (frames - 1) * stride + 1


def _videos(batch, span):
    """`video` of a batch, after a look at its shape."""
    if "video" not in batch:
        raise ValueError(f"video augmentations need the array `video`, got {sorted(batch)}")
    video = check_image(batch["video"], "video")
    if video.ndim != 5:
        raise ValueError(f"`video` must be [N, T, H, W, C], got shape {video.shape}")
    if video.shape[1] < span:
        raise ValueError(
            f"a clip (frames, stride) reaches over {span} frames but the videos have only {video.shape[1]}; fewer frames, a "
            "smaller stride, or longer videos would be right"
        )
    return video


def _rest(batch):
    return {name: value for name, value in batch.items() if name != "video"}
