"""One random view of an image from a set of options, and batches of such views: the base of every recipe."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment import color, resample
from jaxssl.augment.dtypes import unit_image
from jaxssl.core import Augment, Batch

_BOX_DRAWS = 2 * resample.ATTEMPTS + 2


class ViewOptions(NamedTuple):
    """How one view is made, in this order: crop and resize, flip, jitter, greyscale, blur, solarise.

    `size` is (h, w) or one int for a square. `jitter` holds the strengths of brightness, contrast, saturation
    (>= 0) and hue (0 to 0.5). `blur_kernel` None takes an odd number of taps near a tenth of the side, >= 3.
    Operations whose probability or strength is zero leave no trace in the compiled program.
    """

    size: int | tuple[int, int]
    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    flip_probability: float = 0.5
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_probability: float = 0.0
    grayscale_probability: float = 0.0
    blur_probability: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int | None = None
    solarize_probability: float = 0.0
    solarize_threshold: float = 0.5


class _Chances(NamedTuple):
    """Uniform numbers of one view. The list is fixed: switching one operation off leaves the others alone."""

    box: jax.Array  # [22]
    factors: jax.Array  # [4]
    order: jax.Array  # [4]
    flip: jax.Array
    jitter: jax.Array
    grayscale: jax.Array
    blur: jax.Array
    sigma: jax.Array
    solarize: jax.Array


def view_augmentation(
    groups: Mapping[str, Sequence[tuple[ViewOptions, int]]],
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    return_boxes: bool,
) -> Augment:
    """Build `augment(key, batch) -> batch` that replaces `image` by groups of random views.

    Args:
      groups: dict from a prefix ('' or 'local_') to a list of (ViewOptions, number of views) of one size.
      mean, std: one float, or one for each channel, in units of images in [0, 1].
      return_boxes: also return the crops and flips.

    Returns:
      A function of a key and a batch with `image` [N, H, W, C], uint8 or float in [0, 1], C = 1 or 3. Its
      result has for every prefix `<prefix>views`, a tuple of float32 [N, h, w, C], standardised, and, if asked for,
      `<prefix>boxes`, a tuple of float32 [N, 4] (y0, x0, height, width in input pixels), and `<prefix>flips`, a tuple of
      bool [N]; all other entries of the batch are kept.

    Raises:
      ValueError: an option that is out of range, named in the message.
    """
    mean, std = check_statistics(mean, std)
    groups = {prefix: [(check_options(options), count) for options, count in group] for prefix, group in groups.items()}
    num_views = sum(count for group in groups.values() for _, count in group)

    def augment(key, batch):
        images = to_unit_float(batch)
        result = {name: value for name, value in batch.items() if name != "image"}
        keys = jax.random.split(key, (num_views, images.shape[0]))
        for prefix, group in groups.items():
            views, boxes, flips, keys = _make_views(keys, images, group)
            result[f"{prefix}views"] = tuple(standardize(views, mean, std))
            if return_boxes:
                result |= {f"{prefix}boxes": tuple(boxes), f"{prefix}flips": tuple(flips)}
        return result

    return augment


def make_view(key: jax.Array, image: jax.Array, options: ViewOptions) -> tuple[jax.Array, jax.Array, jax.Array]:
    """A random view of `image` [H, W, C], uint8 or float in [0, 1]: view [h, w, C] in [0, 1], box [4], flip bool[]."""
    image = unit_image(image)
    chances = _draw(key)
    box = resample.random_box(chances.box, image.shape[:2], options.crop_scale, options.crop_ratio)
    flip = chances.flip < options.flip_probability
    view = resample.crop_and_resize(image, box, options.size, interpolation=options.interpolation, flip=flip)
    view = _maybe_jitter(chances, view, options)
    if options.grayscale_probability > 0 and view.shape[-1] > 1:
        view = jnp.where(chances.grayscale < options.grayscale_probability, color.to_grayscale(view), view)
    if options.blur_probability > 0 and options.blur_kernel > 1:
        lower, upper = options.blur_sigma
        sigma = lower + (upper - lower) * chances.sigma
        sigma = jnp.where(chances.blur < options.blur_probability, sigma, 0)
        blurred = resample.gaussian_blur(view, sigma, options.blur_kernel)
        view = jnp.clip(blurred, 0, 1)  # rounding may have left the range
    if options.solarize_probability > 0:
        solarized = color.solarize(view, options.solarize_threshold)
        view = jnp.where(chances.solarize < options.solarize_probability, solarized, view)
    return view, box, flip


def to_unit_float(batch: Batch) -> jax.Array:
    """Take `image` [N, H, W, C] out of a batch as float32 in [0, 1]; uint8 is divided by 255."""
    if "image" not in batch:
        raise ValueError(f"the batch has no 'image'; it has {sorted(batch)}")
    image = batch["image"]
    if image.ndim != 4 or image.shape[-1] not in (1, 3):
        raise ValueError(f"'image' must be [N, H, W, C] with C = 1 or 3, got shape {image.shape}")
    return unit_image(image)


def standardize(image: jax.Array, mean: tuple[float, ...], std: tuple[float, ...]) -> jax.Array:
    """(image - mean) / std; `mean` and `std` are tuples of one number, or of one for each channel."""
    channels = image.shape[-1]
    if len(mean) not in (1, channels) or len(std) not in (1, channels):
        raise ValueError(
            f"mean={mean}, std={std}: must have one entry, or one for each channel of images with C = {channels}."
        )
    return (unit_image(image) - jnp.array(mean, jnp.float32)) / jnp.array(std, jnp.float32)


def check_statistics(
    mean: float | Sequence[float], std: float | Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return `mean` and `std` as tuples of floats; ValueError unless 0 <= mean <= 1 and 0 < std <= 1."""
    mean, std = (tuple(np.atleast_1d(s).astype(float).tolist()) for s in (mean, std))
    if not std or min(std) <= 0:
        raise ValueError(f"std={std}: must be positive.")
    if min(mean, default=0) < 0 or max((*mean, *std)) > 1:
        raise ValueError(f"mean={mean}, std={std}: must lie in 0 ... 1, units of images in [0, 1].")
    return mean, std


def check_size(name: str, size: int | Sequence[int]) -> tuple[int, int]:
    """Return `size` as (h, w); ValueError unless it is one or two positive ints."""
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or any(not isinstance(side, int) or side <= 0 for side in pair):
        raise ValueError(f"{name}={size!r}: must be a positive int or a pair (height, width) of them.")
    return pair


def check_count(name: str, count: int, *, least: int) -> None:
    """Raise ValueError unless `count` is an int of at least `least`."""
    if not isinstance(count, int) or count < least:
        raise ValueError(f"{name}={count!r}: must be an int >= {least}.")


def check_probability(name: str, value: float) -> None:
    """Raise ValueError unless `value` is in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value}: must be in [0, 1].")


def check_probability_pair(name: str, pair: Sequence[float]) -> None:
    """Raise ValueError unless `pair` holds two probabilities, one for each of two unlike views."""
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(f"{name}={pair!r}: must be a pair, one number for each view.")
    for value in pair:
        check_probability(name, value)


def check_range(name: str, pair: Sequence[float], most: float = math.inf) -> None:
    """Raise ValueError unless `pair` is (lower, upper) with 0 < lower <= upper <= most."""
    if len(pair) != 2 or not 0 < pair[0] <= pair[1] <= most:
        raise ValueError(f"{name}={pair}: must be (lower, upper) with 0 < lower <= upper <= {most}.")


def check_options(options: ViewOptions) -> ViewOptions:
    """Return `options` with `size` and `blur_kernel` filled in; ValueError names the first bad option."""
    size = check_size("size", options.size)
    for name, value in options._asdict().items():
        if name.endswith("_probability"):
            check_probability(name, value)
    check_range("crop_scale", options.crop_scale, most=1.0)
    check_range("crop_ratio", options.crop_ratio)
    check_range("blur_sigma", options.blur_sigma)
    resample.check_interpolation(options.interpolation)
    color.check_threshold("solarize_threshold", options.solarize_threshold)
    if len(options.jitter) != 4 or min(options.jitter) < 0 or options.jitter[3] > 0.5:
        raise ValueError(
            f"jitter={options.jitter}: must be strengths of (brightness, contrast, saturation, hue), all >= 0 and"
            " hue <= 0.5."
        )
    if options.jitter_probability == 0:
        options = options._replace(jitter=(0.0, 0.0, 0.0, 0.0))
    kernel = options.blur_kernel
    if kernel is None:
        kernel = max(3, 2 * (min(size) // 20) + 1) if min(size) > 1 else 1
    resample.check_kernel("blur_kernel", kernel, size)
    return options._replace(size=size, blur_kernel=kernel)


def _draw(key):
    numbers = jax.random.uniform(key, (_BOX_DRAWS + 14,), jnp.float32)
    box, factors, order, rest = jnp.split(numbers, (_BOX_DRAWS, _BOX_DRAWS + 4, _BOX_DRAWS + 8))
    return _Chances(box, factors, order, *rest)


def _make_views(keys, images, group):
    """Views [V, N, h, w, C], boxes [V, N, 4], flips [V, N] of (options, count) pairs; the keys left over."""
    parts = []
    for options, count in group:

        def one(key, image, options=options):
            return make_view(key, image, options)

        parts.append(jax.vmap(jax.vmap(one), in_axes=(0, None))(keys[:count], images))
        keys = keys[count:]
    return *jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts), keys


def _maybe_jitter(chances, view, options):
    apply = chances.jitter < options.jitter_probability
    *strengths, hue = options.jitter
    factors = []
    for strength, u in zip(strengths, chances.factors, strict=False):
        lower = max(0.0, 1 - strength)
        factor = jnp.where(apply, lower + (1 + strength - lower) * u, 1)
        factors.append(None if strength == 0 else factor)
    shift = None if hue == 0 else jnp.where(apply, hue * (2 * chances.factors[3] - 1), 0)
    return color.color_jitter(view, factors, shift, chances.order)
