"""The light decoder of masked autoencoders: from encoded visible patches to the pixels of all patches.

Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
https://arxiv.org/abs/2111.06377
"""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxssl.models.linear import Dense
from jaxssl.models.positions import sincos_2d, take_tokens
from jaxssl.models.transformer import LAYER_NORM_EPS, TransformerBlock, check_transformer, linear_init


class MAEDecoder(nn.Module):
    """Predicts all patches from the encoded visible ones.

    y = W LN(blocks(unshuffle([W_e h_visible, m, ..., m]) + positions)), m a learned mask token; positions are
    fixed 2-D sine-cosine; the class token, if given, takes part in attention and is dropped from the output.

    Attributes:
      out_dim: values of a patch, P * P * C.
      width, depth, num_heads, mlp_ratio: of the decoder.
      grid: (rows, columns) of patches; None for a square grid.
      dtype: compute dtype; parameters and predictions are float32.
      remat: recompute each block in the backward pass.
    """

    out_dim: int
    width: int = 512
    depth: int = 8
    num_heads: int = 16
    mlp_ratio: float = 4.0
    grid: tuple | None = None
    dtype: Any = "float32"
    remat: bool = False

    def _positions(self, length):
        side = math.isqrt(length)
        grid = (side, side) if self.grid is None else tuple(self.grid)
        if grid[0] * grid[1] != length:
            raise ValueError(
                f"MAEDecoder: {length} patches do not fill a {grid[0]}x{grid[1]} grid; pass grid=(rows, columns)"
            )
        return jnp.asarray(sincos_2d(self.width, grid))

    @nn.compact
    def __call__(self, patches, restore_ids, cls=None, train=False):
        """Decodes.

        Args:
          patches: encoded visible patches [N, M, D], in the order of `visible_ids`.
          restore_ids: int [N, L]; restore_ids[n, l] < M is the row of `patches` with patch l, else hidden.
          cls: encoded class token [N, D] or None.

        Returns:
          [N, L, out_dim] float32, patches row by row.

        Raises:
          ValueError: if M > L or L does not fill the grid.
        """
        check_transformer("MAEDecoder", self.width, self.depth, self.num_heads)
        n, visible = patches.shape[:2]
        length = restore_ids.shape[1]
        if visible > length:
            raise ValueError(f"MAEDecoder: {visible} visible patches but restore_ids for only {length}")
        embed = Dense(self.width, kernel_init=linear_init, dtype=self.dtype, name="embed")
        h = embed(patches)
        mask_token = self.param("mask_token", linear_init, (1, self.width), jnp.float32).astype(self.dtype)
        hidden = jnp.broadcast_to(mask_token, (n, length - visible, self.width))
        h = take_tokens(jnp.concatenate([h, hidden], axis=1), restore_ids)
        h = h + self._positions(length).astype(self.dtype)
        if cls is not None:
            h = jnp.concatenate([embed(cls)[:, None], h], axis=1)
        block = nn.remat(TransformerBlock, static_argnums=(2,)) if self.remat else TransformerBlock
        for i in range(self.depth):
            h = block(self.num_heads, self.mlp_ratio, dtype=self.dtype, name=f"block{i}")(h, train)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        h = Dense(self.out_dim, kernel_init=linear_init, dtype=self.dtype, name="predict")(h)
        return h[:, -length:].astype(jnp.float32)


def mae_decoder(
    *,
    patch_size=16,
    channels=3,
    width=512,
    depth=8,
    num_heads=16,
    mlp_ratio=4.0,
    grid=None,
    dtype="float32",
    remat=False,
):
    """MAEDecoder for images, out_dim = patch_size * patch_size * channels; others as its attributes."""
    check_transformer("mae_decoder", width, depth, num_heads)
    sincos_2d(width, (1, 1))
    grid = None if grid is None else tuple(grid)
    return MAEDecoder(patch_size**2 * channels, width, depth, num_heads, mlp_ratio, grid, dtype, remat)
