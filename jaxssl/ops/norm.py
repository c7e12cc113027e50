"""Normalisation to unit length."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import positive_scalar


def l2_normalize(x: jax.Array, axis: int = -1, eps: float | jax.Array = 1e-12) -> jax.Array:
    """Divides by the Euclidean length along `axis`.

    y = x / max(||x||, eps). Where ||x|| <= eps the gradient is exactly zero: not 1 / eps, which would swamp every other
    gradient, and not NaN.
    `x`: floating array of any shape; bfloat16 and float16 give float32.
    Raises: TypeError for an integer `x`, ValueError for a known eps <= 0.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x must be floating point, got {x.dtype}")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    eps = positive_scalar("eps", eps, x.dtype)
    squared = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    has_length = squared > jnp.square(eps)
    length = jnp.sqrt(jnp.where(has_length, squared, 1.0))  # no sqrt of 0, where its derivative is infinite
    return jnp.where(has_length, x / length, jax.lax.stop_gradient(x) / eps)
