"""Crops, resizing, flips and blur of one image as products `weights_y @ image @ weights_x.T`."""

import math

import jax
import jax.numpy as jnp

ATTEMPTS = 10  # candidates of a random crop before it falls back to a centre crop


def crop_and_resize(image, box, size, *, interpolation="bilinear", flip=False):
    """Cut a box out of an image and resize it with antialiasing, as Pillow's `Image.resize(size, box=box)`.

    out[i, j] = sum_uv k((y_i - u) / s_y) k((x_j - v) / s_x) image[u, v] / (sum of the weights), where y_i and
    x_j are the output pixel centres in the input and s = max(1, input pixels per output pixel). Pixels just
    outside the box take part, those outside the image do not.

    Args:
      image: [H, W, C] in [0, 1].
      box: [4] = (y0, x0, height, width) in input pixels; may be fractional.
      size: (h, w) of the result.
      interpolation: 'bilinear' or 'bicubic' (a = -0.5).
      flip: bool or bool[]; mirror the result left to right.

    Returns:
      [h, w, C], clipped to [0, 1].

    Raises:
      ValueError: unknown `interpolation`.
    """
    check_interpolation(interpolation)
    rows, columns = _positions(size[0]), _positions(size[1])
    columns = jnp.where(flip, size[1] - 1 - columns, columns)
    weights_y = _resize_weights(rows, size[0], image.shape[0], box[0], box[2], interpolation)
    weights_x = _resize_weights(columns, size[1], image.shape[1], box[1], box[3], interpolation)
    return jnp.clip(_separable(image, weights_y, weights_x), 0, 1)


def flip_horizontal(image):
    """Mirror an image [H, W, C] left to right."""
    return image[:, ::-1]


def gaussian_blur(image, sigma, kernel_size):
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
    check_kernel("kernel_size", kernel_size, image.shape)
    height, width = image.shape[:2]
    weights_y = _blur_weights(height, sigma, kernel_size // 2)
    weights_x = weights_y if height == width else _blur_weights(width, sigma, kernel_size // 2)
    return _separable(image, weights_y, weights_x)


def random_box(uniforms, shape, scale, ratio):
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


def check_interpolation(interpolation):
    """Raise ValueError unless `interpolation` is the name of a resampling kernel."""
    if interpolation not in _KERNELS:
        raise ValueError(f"interpolation must be one of {sorted(_KERNELS)}, got {interpolation!r}")


def check_kernel(name, kernel_size, shape):
    """Raise ValueError unless `kernel_size` is odd and its radius is smaller than both sides of `shape`."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{name} must be odd and positive, got {kernel_size}")
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


def _separable(image, weights_y, weights_x):
    # Full precision: an identity must give the image back also where matmul inputs would be rounded.
    precision = jax.lax.Precision.HIGHEST
    rows = jnp.einsum("ih,hwc->iwc", weights_y, image, precision=precision)
    return jnp.einsum("jw,iwc->ijc", weights_x, rows, precision=precision)


def _triangle(t):
    return jnp.maximum(0, 1 - jnp.abs(t))


def _cubic(t):
    t = jnp.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return jnp.where(t < 1, near, jnp.where(t < 2, far, 0))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}


def _resize_weights(positions, size, length, start, extent, interpolation):
    """Weights [size, length] of the input pixels for each output position; every row sums to one."""
    step = extent / size
    centres = start + (positions + 0.5) * step
    distance = (_positions(length) + 0.5 - centres[:, None]) / jnp.maximum(step, 1)
    weights = _KERNELS[interpolation](distance)
    return weights / weights.sum(1, keepdims=True)


def _blur_weights(length, sigma, radius):
    """Weights [length, length] of the blur along one side, the mirror images of the edges folded in."""

    def tap(offset):
        value = jnp.exp(-0.5 * jnp.square(offset / jnp.maximum(sigma, 1e-6)))
        return jnp.where(jnp.abs(offset) <= radius, value, 0)

    i, j = _positions(length)[:, None], _positions(length)
    before = jnp.where(j > 0, tap(i + j), 0)
    behind = jnp.where(j < length - 1, tap(2 * (length - 1) - j - i), 0)
    return (tap(j - i) + before + behind) / tap(jnp.arange(-radius, radius + 1)).sum()
