"""Crops, resizing, flips and blur of one image: weighted sums of its rows, then of its columns.

An image is uint8 or float in [0, 1]; results are float32 in [0, 1].
"""

import functools
import math

import jax
import jax.numpy as jnp

from jaxssl.augment.dtypes import unit_image

ATTEMPTS = 10  # candidates of a random crop before it falls back to a centre crop


def crop_and_resize(
    image: jax.Array,
    box: jax.Array,
    size: tuple[int, int],
    *,
    interpolation: str = "bilinear",
    flip: jax.Array | bool = False,
) -> jax.Array:
    """Cut a box out of an image and resize it with antialiasing, as Pillow's `Image.resize(size, box=box)`.

    out[i, j] = sum_uv k((y_i - u) / s_y) k((x_j - v) / s_x) image[u, v] / (sum of the weights), where y_i and
    x_j are the output pixel centres in the input and s = max(1, input pixels per output pixel). Pixels just
    outside the box take part, those outside the image do not.

    Args:
      image: [H, W, C].
      box: [4] = (y0, x0, height, width) in input pixels; may be fractional; no higher or wider than the image.
      size: (h, w) of the result.
      interpolation: 'bilinear' or 'bicubic' (a = -0.5).
      flip: bool or bool[]; mirror the result left to right.

    Returns:
      [h, w, C], clipped to [0, 1].

    Raises:
      ValueError: unknown `interpolation`.
    """
    check_interpolation(interpolation)
    return _crop_and_resize(unit_image(image), box, flip, size=tuple(size), interpolation=interpolation)


# Compiled as one also where the caller is not: an operation by itself would compile its loop at every call.
@functools.partial(jax.jit, static_argnames=("size", "interpolation"))
def _crop_and_resize(image, box, flip, *, size, interpolation):
    rows, columns = _positions(size[0]), _positions(size[1])
    columns = jnp.where(flip, size[1] - 1 - columns, columns)
    image = _resample_rows(image, rows, size[0], box[0], box[2], interpolation)
    image = _made(image, -4, 4)  # bicubic weights overshoot by far less
    image = _resample_rows(image.swapaxes(0, 1), columns, size[1], box[1], box[3], interpolation)
    return _made(image.swapaxes(0, 1), 0, 1)


def flip_horizontal(image: jax.Array) -> jax.Array:
    """Mirror an image [H, W, C] left to right."""
    return unit_image(image)[:, ::-1]


def gaussian_blur(image: jax.Array, sigma: jax.Array | float, kernel_size: int) -> jax.Array:
    """Blur with a Gaussian cut off at `kernel_size` taps and normalised; the image is reflected at its edges.

    out[i] = sum_{|d| <= r} exp(-d^2 / 2 sigma^2) image[i + d] / (sum of the weights), along both sides.

    Args:
      image: [H, W, C].
      sigma: float[] in pixels; 0 leaves the image as it is.
      kernel_size: odd int, 2 r + 1; static.

    Returns:
      [H, W, C].

    Raises:
      ValueError: even `kernel_size`, or one that reaches across the image (r >= H or W).
    """
    image = unit_image(image)
    check_kernel("kernel_size", kernel_size, image.shape)
    height, width, channels = image.shape
    radius = kernel_size // 2
    taps = jnp.exp(-0.5 * jnp.square(_positions(radius + 1) / jnp.maximum(sigma, 1e-6)))
    taps = taps / (2 * taps.sum() - taps[0])
    image = jnp.pad(image, ((radius, radius), (0, 0), (0, 0)), mode="reflect").reshape(-1, width * channels)
    image = _weighted_neighbours(image, taps, axis=0).reshape(height, width, channels)
    image = jnp.pad(image, ((0, 0), (radius, radius), (0, 0)), mode="reflect").reshape(height, -1)
    return _weighted_neighbours(image, taps, axis=1, stride=channels).reshape(height, width, channels)


def random_box(
    uniforms: jax.Array, shape: tuple[int, ...], scale: tuple[float, float], ratio: tuple[float, float]
) -> jax.Array:
    """Turn uniform numbers into the box of a random resized crop.

    The area is uniform in `scale` times the image, the aspect ratio (width / height) log-uniform in `ratio`;
    sides are rounded to pixels. The first of 10 candidates that fits is placed uniformly; if none fits, it is
    the largest centre crop with an allowed ratio.

    Args:
      uniforms: float32 [22] in [0, 1).
      shape: (H, W), static.
      scale, ratio: pairs (lower, upper), static.

    Returns:
      float32 [4] = (y0, x0, height, width), whole numbers of input pixels.

    Source: Szegedy et al., Going Deeper with Convolutions, 2014, arXiv:1409.4842,
      https://arxiv.org/abs/1409.4842
    """
    height, width = shape
    tries, place = uniforms[: 2 * ATTEMPTS].reshape(2, ATTEMPTS), uniforms[2 * ATTEMPTS :]
    area = height * width * _between(tries[0], *scale)
    aspect = jnp.exp(_between(tries[1], math.log(ratio[0]), math.log(ratio[1])))
    w, h = jnp.round(jnp.sqrt(area * aspect)), jnp.round(jnp.sqrt(area / aspect))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = jnp.argmax(fits)
    w, h = w[first], h[first]
    y0 = jnp.minimum(jnp.floor(place[0] * (height - h + 1)), height - h)
    x0 = jnp.minimum(jnp.floor(place[1] * (width - w + 1)), width - w)
    centre = jnp.array(_centre_box(height, width, ratio), jnp.float32)
    return jnp.where(fits[first], jnp.stack([y0, x0, h, w]), centre)


def check_interpolation(interpolation: str) -> None:
    """Raise ValueError unless `interpolation` is the name of a resampling kernel."""
    if interpolation not in _KERNELS:
        raise ValueError(f"interpolation={interpolation!r}: must be one of {sorted(_KERNELS)}.")


def check_kernel(name: str, kernel_size: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless `kernel_size` is odd and its radius is smaller than both sides of `shape`."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{name}={kernel_size}: must be odd and positive.")
    if kernel_size // 2 >= min(shape[:2]):
        raise ValueError(f"{name}={kernel_size} reaches across an image of {shape[0]}x{shape[1]} pixels")


def _positions(length):
    return jnp.arange(length, dtype=jnp.float32)


def _between(u, lower, upper):
    return lower + (upper - lower) * u


def _centre_box(height, width, ratio):
    if width / height < ratio[0]:
        w, h = width, min(height, max(1, round(width / ratio[0])))
    elif width / height > ratio[1]:
        w, h = min(width, max(1, round(height * ratio[1]))), height
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def _triangle(t):
    return jnp.maximum(0, 1 - jnp.abs(t))


def _cubic(t):
    t = jnp.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return jnp.where(t < 1, near, jnp.where(t < 2, far, 0))


# Name -> (kernel, how many steps it reaches to each side).
_KERNELS = {"bilinear": (_triangle, 1), "bicubic": (_cubic, 2)}
# Where an output pixel needs more rows than this, a product with a matrix of weights keeps the program short.
MOST_TAPS = 24


def _resample_rows(image, positions, size, start, extent, interpolation):
    """[H, W, C] -> [len(positions), W, C]: rows at positions 0 .. size - 1 of the range start .. start + extent."""
    length = image.shape[0]
    kernel, reach = _KERNELS[interpolation]
    step = extent / size
    centres, scale = start + (positions + 0.5) * step, jnp.maximum(step, 1)
    taps = math.ceil(2 * reach * max(1, length / size)) + 1
    if min(taps, length) > MOST_TAPS:
        weights = kernel((_positions(length) + 0.5 - centres[:, None]) / scale)
        weights = weights / weights.sum(1, keepdims=True)
        # Full precision: an identity must give the image back also where inputs of products would be rounded.
        return jnp.einsum("ih,hwc->iwc", weights, image, precision=jax.lax.Precision.HIGHEST)
    first = jnp.floor(centres - 0.5 - reach * scale) + 1
    at = first[:, None] + _positions(taps)
    weights = jnp.where((at >= 0) & (at < length), kernel((at + 0.5 - centres[:, None]) / scale), 0)
    weights = (weights / weights.sum(1, keepdims=True)).T[:, :, None]
    at = jnp.clip(at, 0, length - 1).astype(jnp.int32).T
    rows = image.reshape(length, -1)
    return sum(w * rows[i] for w, i in zip(weights, at)).reshape(len(positions), *image.shape[1:])


def _weighted_neighbours(image, taps, *, axis, stride=1):
    """sum_d taps[|d|] * (what lies d * stride further along the axis), |d| <= r; the axis loses 2 r * stride."""
    radius = len(taps) - 1
    count = image.shape[axis] - 2 * radius * stride
    at = lambda d: jax.lax.slice_in_dim(image, (radius + d) * stride, (radius + d) * stride + count, axis=axis)
    return sum((taps[d] * (at(-d) + at(d)) for d in range(1, radius + 1)), taps[0] * at(0))


def _made(image, lower, upper):
    """clip(image, lower, upper), in a loop that does it twice: what comes before is then computed once.

    The compiler would fuse it into what comes after, and compute it again for every neighbour that is read there.
    """
    return jax.lax.fori_loop(0, 2, lambda _, x: jnp.clip(x, lower, upper), image)
