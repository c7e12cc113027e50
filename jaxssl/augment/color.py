"""Colour operations on one image [H, W, C], C = 1 or 3, and their random combination.

An image is uint8 or float in [0, 1]; results are float32 in [0, 1].
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.dtypes import unit_image

GREY = (0.299, 0.587, 0.114)  # luma weights of ITU-R BT.601


def adjust_brightness(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Scale all values: clip(factor * image, 0, 1). `factor` float[] >= 0; 1 is the identity."""
    return _blend(unit_image(image), 0.0, factor)


def adjust_contrast(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Move values away from the mean luma m of the image: clip(factor * image + (1 - factor) * m, 0, 1)."""
    image = unit_image(image)
    return _blend(image, luma(image).mean(), factor)


def adjust_saturation(image: jax.Array, factor: jax.Array | float) -> jax.Array:
    """Move values away from the luma of their pixel: clip(factor * image + (1 - factor) * luma, 0, 1).

    The identity on one channel.
    """
    image = unit_image(image)
    return image if image.shape[-1] == 1 else _blend(image, luma(image), factor)


def adjust_hue(image: jax.Array, shift: jax.Array | float) -> jax.Array:
    """Turn the colour wheel: HSV hue <- (hue + shift) mod 1; saturation and value stay.

    Args:
      image: [H, W, C]; the identity on one channel.
      shift: float[] in turns, usually within [-0.5, 0.5]; 1/3 takes red to green.
    """
    image = unit_image(image)
    if image.shape[-1] == 1:
        return image
    r, g, b = image[..., 0], image[..., 1], image[..., 2]
    value = jnp.maximum(jnp.maximum(r, g), b)
    chroma = value - jnp.minimum(jnp.minimum(r, g), b)
    scale = 1 / jnp.where(chroma > 0, chroma, 1)
    not_red = jnp.where(value == g, 2 + (b - r) * scale, 4 + (r - g) * scale)
    sixths = jnp.where(value == r, (g - b) * scale, not_red) + 6 * shift

    def channel(offset):
        k = offset + sixths
        k = k - 6 * jnp.floor(k / 6)
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], -1)


def to_grayscale(image: jax.Array) -> jax.Array:
    """Replace every channel by the luma 0.299 R + 0.587 G + 0.114 B, [H, W, C] -> [H, W, C].

    The identity on one channel.
    """
    image = unit_image(image)
    return jnp.broadcast_to(luma(image), image.shape)


def solarize(image: jax.Array, threshold: jax.Array | float = 0.5) -> jax.Array:
    """Invert the values that are at or above `threshold`, in [0, 1]: x -> 1 - x."""
    check_threshold("threshold", threshold)
    image = unit_image(image)
    return jnp.where(image >= threshold, 1 - image, image)


def luma(image: jax.Array) -> jax.Array:
    """Luma of ITU-R BT.601, [H, W, C] -> [H, W, 1]; the image itself when it has one channel."""
    image = unit_image(image)
    if image.shape[-1] == 1:
        return image
    r, g, b = image[..., 0:1], image[..., 1:2], image[..., 2:3]
    return GREY[0] * r + GREY[1] * g + GREY[2] * b


def color_jitter(image: jax.Array, factors: jax.Array, shift: jax.Array | float, order: jax.Array) -> jax.Array:
    """Apply brightness, contrast, saturation and hue once each, in a given order that may be traced.

    Args:
      image: [H, W, C].
      factors: three float[] for brightness, contrast, saturation; a None leaves that operation out.
      shift: float[] hue shift in turns, or None.
      order: float [4]; the operations are applied by ascending value (brightness, contrast, saturation, hue).

    Returns:
      [H, W, C].

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020,
      arXiv:2002.05709, https://arxiv.org/abs/2002.05709 (appendix A)
    """
    image = unit_image(image)
    grey = image.shape[-1] == 1
    blends = [k for k in range(3) if factors[k] is not None and not (grey and k == 2)]
    if grey or shift is None:
        return _blend_in_order(image, blends, factors, order)
    # Every order is: the blends before the hue, the hue, the blends after it. A factor of one is exactly the
    # identity, so the expensive hue is computed once and not once for every position.
    early = [None if f is None else jnp.where(order[k] <= order[3], f, 1) for k, f in enumerate(factors)]
    late = [None if f is None else jnp.where(order[k] <= order[3], 1, f) for k, f in enumerate(factors)]
    image = _blend_in_order(image, blends, early, order)
    image = jnp.where(shift == 0, image, adjust_hue(image, shift))
    return _blend_in_order(image, blends, late, order)


def check_threshold(name: str, threshold: jax.Array | float) -> None:
    """Raise ValueError if `threshold` is known and not in [0, 1]."""
    known = not isinstance(threshold, jax.core.Tracer)
    if known and not np.all((np.asarray(threshold) >= 0) & (np.asarray(threshold) <= 1)):
        raise ValueError(f"{name}={threshold}: must be in [0, 1], as images are; for 0 ... 255 divide it by 255.")


def _blend(image, anchor, factor):
    return jnp.clip(factor * image + (1 - factor) * anchor, 0, 1)


def _blend_in_order(image, blends, factors, order):
    """Apply the `blends` (0 brightness, 1 contrast, 2 saturation) by ascending order[k]."""

    def place(k):
        earlier = [(order[j] < order[k]) | ((order[j] == order[k]) & (j < k)) for j in blends]
        return sum(e.astype(jnp.int32) for e in earlier)

    places = {k: place(k) for k in blends}

    def apply(slot, image):
        grey = luma(image)
        anchors = (0.0, grey.mean(), grey)
        factor, anchor = 1.0, 0.0
        for k in blends:
            here = places[k] == slot
            factor = jnp.where(here, factors[k], factor)
            anchor = jnp.where(here, anchors[k], anchor)
        return _blend(image, anchor, factor)

    # A loop and not a chain: the compiler would fuse a chain and compute its start again in every later step.
    return jax.lax.fori_loop(0, len(blends), apply, image) if blends else image
