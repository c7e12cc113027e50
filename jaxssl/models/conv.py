"""A convolution with two equal implementations, which differ in how the gradient of the kernel is computed."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

# Above this input size the shifted copies of the taps cost more memory than they are worth.
TAPS_MAX_SIZE = 64
# The gradient of a kernel is summed over IMAGES_A_PRODUCT images at a time where their maps have SMALLEST_MAP pixels.
IMAGES_A_PRODUCT, SMALLEST_MAP = 16, 36

kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def conv(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
    """The compiler's convolution: x [N, H, W, C], kernel [k, k, C, D] with k odd -> [N, ceil(H/s), ceil(W/s), D]."""
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        x, kernel, (strides, strides), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv_taps(x: jax.Array, kernel: jax.Array, strides: int) -> jax.Array:
    """`conv` whose gradients are matrix products over the k * k taps.

        dL/dkernel[i, j] = sum over n, h, w of x[n, s*h + i - p, s*w + j - p] (outer) dL/dy[n, h, w]
        dL/dx[n, s*h + i - p, s*w + j - p] += kernel[i, j] dL/dy[n, h, w]       (for strides s > 1)

    On a CPU the compiler's own kernel gradient can take far longer than its forward pass, and so can its input
    gradient of a strided convolution; these products take about as long. Reverse mode only.
    """
    return conv(x, kernel, strides)


def _shifted(x, size, strides, out_h, out_w):
    """The input under each of the size * size taps: list of [N, out_h, out_w, C]."""
    _, h, w, _ = x.shape
    pad, s = size // 2, strides
    # Rows s * a + b as [a, b], so that a strided tap is a slice, and its transpose a pad without holes.
    full_h, full_w = s * (out_h + (size - 1) // s), s * (out_w + (size - 1) // s)
    x = jnp.pad(x, ((0, 0), (pad, max(full_h - h - pad, 0)), (pad, max(full_w - w - pad, 0)), (0, 0)))
    x = rearrange(x[:, :full_h, :full_w], "n (h s) (w t) c -> n h s w t c", s=s, t=s)
    return [
        x[:, i // s : i // s + out_h, i % s, j // s : j // s + out_w, j % s] for i in range(size) for j in range(size)
    ]


def _kernel_gradient(x, grad, size):
    """dL/dkernel [k, k, C, D] of a convolution with stride 1: x [N, H, W, C], grad [N, H, W, D].

    A tap moves x by rows, which is a slice without gaps, and the gradient by columns; all columns are one product. A few
    images at a time fit into the cache. Each group of neighbours in the batch gives one of them, so that a batch whose
    neighbours lie on one device stays there.
    """
    n, height, width, channels = x.shape
    groups = IMAGES_A_PRODUCT if n % IMAGES_A_PRODUCT == 0 and height * width >= SMALLEST_MAP else n
    x, grad = (rearrange(a, "(g m) h w c -> g m h w c", g=groups) for a in (x, grad))

    def add(i, total):
        some_x, some_grad = (jax.lax.dynamic_index_in_dim(a, i, 1, keepdims=False) for a in (x, grad))
        return total + _row_products(some_x, some_grad, size)

    total = jnp.zeros((size, channels, size, grad.shape[-1]), x.dtype)
    return jax.lax.fori_loop(0, n // groups, add, total).swapaxes(1, 2)


def _row_products(x, grad, size):
    """`_kernel_gradient` as [k, C, k, D], of all images at once."""
    (_, height, width, channels), pad = x.shape, size // 2
    grad = jnp.pad(grad, ((0, 0), (0, 0), (pad, pad), (0, 0)))
    grad = jnp.concatenate([grad[:, :, 2 * pad - j : 2 * pad - j + width] for j in range(size)], axis=-1)
    grad = rearrange(grad, "n h w d -> (n h w) d")
    x = rearrange(jnp.pad(x, ((0, 0), (pad, pad), (0, 0), (0, 0))), "n h w c -> n (h w) c")
    rows = [x[:, i * width : (i + height) * width].reshape(-1, channels) for i in range(size)]
    return rearrange(jnp.stack([row.T @ grad for row in rows]), "i c (j d) -> i c j d", j=size)


def _conv_taps_forward(x, kernel, strides):
    return conv(x, kernel, strides), (x, kernel)


def _conv_taps_backward(strides, saved, grad):
    x, kernel = saved
    size, _, channels, features = kernel.shape
    _, out_h, out_w, _ = grad.shape
    if strides > 1:
        taps = lambda x: jnp.concatenate(_shifted(x, size, strides, out_h, out_w), axis=-1)
        (grad_x,) = jax.linear_transpose(taps, x)(grad @ kernel.reshape(-1, features).T)
    else:
        (grad_x,) = jax.linear_transpose(lambda x: conv(x, kernel, strides), x)(grad)
    if strides == 1 and size > 1 and channels >= 8:
        return grad_x, _kernel_gradient(x, grad, size)
    shifted, grad = _shifted(x, size, strides, out_h, out_w), grad.reshape(-1, features)
    if channels < 8:
        # With few channels one product for all taps is faster than one for each.
        grad_kernel = jnp.concatenate(shifted, axis=-1).reshape(-1, size * size * channels).T @ grad
    else:
        grad_kernel = jnp.stack([tap.reshape(-1, channels).T @ grad for tap in shifted])
    return grad_x, grad_kernel.reshape(kernel.shape)


conv_taps.defvjp(_conv_taps_forward, _conv_taps_backward)


class Conv(nn.Module):
    """Square convolution without bias: [N, H, W, C] -> [N, ceil(H/s), ceil(W/s), D].

    Zero padding is k // 2 on all sides. The parameter is `kernel` [k, k, C, D] for every implementation,
    He-normal (fan out) at the start.

    Attributes:
      features: D.
      kernel_size: odd k.
      strides: s, both axes.
      implementation: 'conv' (all by the compiler), 'taps' (see `conv_taps`), or 'auto': taps where they are faster, i.e.
        on CPU for k <= 3 and inputs of at most 64 pixels a side.
      dtype: compute dtype; the parameter is float32.
    """

    features: int
    kernel_size: int = 3
    strides: int = 1
    implementation: str = "auto"
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if self.implementation not in ("auto", "conv", "taps"):
            raise ValueError(f"implementation={self.implementation!r}: must be 'auto', 'conv' or 'taps'.")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={self.kernel_size}: must be odd.")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        small = self.kernel_size <= 3 and max(x.shape[1:3]) <= TAPS_MAX_SIZE
        on_cpu = self.implementation == "auto" and small and jax.default_backend() == "cpu"
        function = conv_taps if on_cpu or self.implementation == "taps" else conv
        return function(x, kernel, self.strides)


def check_images(x: jax.Array, module: str) -> None:
    """Raises ValueError unless x is a floating array [N, H, W, C]."""
    if x.ndim != 4:
        raise ValueError(f"x of shape {tuple(x.shape)}: {module} takes images [N, H, W, C].")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x of {x.dtype}: {module} takes floating images; augment or standardise them first.")
