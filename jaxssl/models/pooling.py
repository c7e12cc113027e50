"""Global pooling of feature maps and tokens."""

import jax
import jax.numpy as jnp


def largest(x: jax.Array, axis: int) -> jax.Array:
    """The maximum over one axis, with the gradient at the first of equal values.

    `jnp.max` divides its gradient by the number of values equal to the maximum. Where the compiler computes `x` once for
    the maximum and once more, rounded otherwise, for that comparison, the number is 0 and the gradient NaN (seen on CPU).
    Here only the position is compared, once, in the forward pass.

    Args:
      x: [..., T, ...].
      axis: the axis that goes.

    Returns:
      x without that axis.
    """
    where = jax.lax.stop_gradient(jnp.argmax(x, axis, keepdims=True))
    return jnp.take_along_axis(x, where, axis).squeeze(axis)
