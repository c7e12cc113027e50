"""A linear map of the last axis."""

import flax.linen as nn
import jax


class Dense(nn.Dense):
    """`flax.linen.Dense` on [..., D] as one matrix product, with the leading axes flattened.

    On a CPU the compiler's gradients of products of more than two axes took up to 2.5 times as long.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., D] -> [..., features]."""
        return super().__call__(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], self.features)
