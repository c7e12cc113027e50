"""The light decoder of masked autoencoders: from encoded visible patches to the raw values of all patches.

Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
https://arxiv.org/abs/2111.06377
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.inits import TransformerInit, transformer_inits
from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.positions import sincos, take_tokens
from jaxssl.models.transformer import LAYER_NORM_EPS, CrossBlock, check_transformer, run_blocks

# Number of axes of the grid.
POSITIONS = {"1d": 1, "2d": 2, "3d": 3}


class MAEDecoder(nn.Module):
    """Predicts all patches from the encoded visible ones.

    y = W LN(blocks(unshuffle([W_e h_visible, m, ..., m]) + positions)), m a learned mask token; positions are
    fixed sine-cosine; the class token, if given, takes part in attention and is dropped from the output. With a context
    every block attends to it first (`models.transformer.CrossBlock`).

    Attributes:
      out_dim: values of a patch, as P * P * C.
      width, depth, num_heads, mlp_ratio: of the decoder.
      grid: (rows, columns) of patches for positions='2d', None for a square grid; (in time, rows, columns) for '3d'; None
        or (length,) for '1d'.
      positions: '1d', '2d' or '3d'; the width must be divisible by 2, 4 or 16.
      dtype: compute dtype; parameters and predictions are float32.
      remat: recompute each block in the backward pass.
      init_as: the initial values, see `models.inits.transformer_inits`.
    """

    out_dim: int
    width: int = 512
    depth: int = 8
    num_heads: int = 16
    mlp_ratio: float = 4.0
    grid: tuple | None = None
    dtype: Any = "float32"
    remat: bool = False
    positions: str = "2d"
    init_as: TransformerInit = "truncated"

    def _positions(self, length):
        grid = self.grid
        if grid is None:
            grid = (length,) if self.positions == "1d" else (math.isqrt(length),) * 2
        if math.prod(grid) != length:
            axes = {"1d": "(length,)", "2d": "(rows, columns)", "3d": "(in time, rows, columns)"}[self.positions]
            filled = "x".join(map(str, grid))
            raise ValueError(f"grid={grid}: {length} patches do not fill a {filled} grid; pass grid={axes}.")
        return jnp.asarray(sincos(self.width, grid))

    @nn.compact
    def __call__(
        self,
        patches: jax.Array,
        restore_ids: jax.Array,
        cls: jax.Array | None = None,
        train: bool = False,
        context: jax.Array | None = None,
    ) -> jax.Array:
        """Decodes.

        Args:
          patches: encoded visible patches [N, M, D], in the order of `visible_ids`.
          restore_ids: int [N, L]; restore_ids[n, l] < M is the row of `patches` with patch l, else hidden.
          cls: encoded class token [N, D] or None.
          context: tokens [N, S, E] that the decoder may read too, or None.

        Returns:
          [N, L, out_dim] float32, patches row by row.

        Raises:
          ValueError: if M > L or L does not fill the grid.
        """
        _check_decoder("MAEDecoder", self.width, self.depth, self.num_heads, self.grid, self.positions)
        n, visible = patches.shape[:2]
        length = restore_ids.shape[1]
        if visible > length:
            raise ValueError(f"patches: {visible} are visible, but there are restore_ids for only {length}.")
        start = transformer_inits(self.init_as)
        linear_init, inits = start.linear, (start.qkv, *(start.linear,) * 3)
        embed = Dense(self.width, kernel_init=linear_init, dtype=self.dtype, name="embed")
        h = embed(patches)
        mask_token = self.param("mask_token", start.tokens, (1, self.width), jnp.float32).astype(self.dtype)
        hidden = jnp.broadcast_to(mask_token, (n, length - visible, self.width))
        h = take_tokens(jnp.concatenate([h, hidden], axis=1), restore_ids)
        h = h + self._positions(length).astype(self.dtype)
        if cls is not None:
            h = jnp.concatenate([embed(cls)[:, None], h], axis=1)
        if context is None:
            h, _, _ = run_blocks(h, train, self.depth, self.num_heads, self.mlp_ratio, owner=self, inits=inits)
        else:
            context = Dense(self.width, kernel_init=linear_init, dtype=self.dtype, name="embed_context")(context)
            block = nn.remat(CrossBlock, static_argnums=(3,)) if self.remat else CrossBlock
            for i in range(self.depth):
                h = block(self.num_heads, self.mlp_ratio, dtype=self.dtype, inits=inits, name=f"block{i}")(
                    h, context, train
                )
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        h = Dense(self.out_dim, kernel_init=linear_init, dtype=self.dtype, name="predict")(h)
        return h[:, -length:].astype(jnp.float32)


def masked_decoder(
    *,
    out_dim: int,
    width: int = 512,
    depth: int = 8,
    num_heads: int = 16,
    mlp_ratio: float = 4.0,
    grid: tuple[int, ...] | None = None,
    positions: str = "2d",
    dtype: Dtype = "float32",
    remat: bool = False,
    init_as: TransformerInit = "truncated",
) -> MAEDecoder:
    """MAEDecoder for patches of any kind; options as its attributes.

    Raises:
      ValueError: unknown positions, a grid of other axes, a width that these positions do not divide.
    """
    grid = None if grid is None else tuple(grid)
    _check_decoder("masked_decoder", width, depth, num_heads, grid, positions)
    return MAEDecoder(out_dim, width, depth, num_heads, mlp_ratio, grid, dtype, remat, positions, init_as)


def mae_decoder(*, patch_size: int = 16, channels: int = 3, **options: Any) -> MAEDecoder:
    """`masked_decoder` for images, out_dim = patch_size * patch_size * channels; other options as there."""
    return masked_decoder(out_dim=patch_size**2 * channels, **options)


def _check_decoder(name, width, depth, num_heads, grid, positions):
    check_transformer(name, width, depth, num_heads)
    if positions not in POSITIONS:
        raise ValueError(f"positions={positions!r}: must be one of {tuple(POSITIONS)} for {name}.")
    axes = POSITIONS[positions]
    if len(grid or ()) != axes and not (grid is None and axes < 3):
        raise ValueError(f"grid={grid}: {name} with positions={positions!r} needs a grid of {axes} axes.")
    sincos(width, (1,) * axes)
