"""Vision transformers with the mathematics and shapes of the public ViT checkpoints.

Sources: Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, 2020,
arXiv:2010.11929, https://arxiv.org/abs/2010.11929;
Darcet et al., Vision Transformers Need Registers, 2023, arXiv:2309.16588, https://arxiv.org/abs/2309.16588
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxssl.models.conv import check_images
from jaxssl.models.inits import TransformerInit, transformer_inits
from jaxssl.models.module import Dtype
from jaxssl.models.positions import Resampling, as_pair, patch_grid, resample, sincos_2d, take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, run_blocks
from jaxssl.ops.patches import patchify


class PatchEmbed(nn.Module):
    """Linear map of each patch: [N, H, W, C] -> [N, L, D]; parameters kernel [P, P, C, D] and bias [D]."""

    patch_size: int
    embed_dim: int
    dtype: Any
    init_as: TransformerInit = "truncated"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, channels = self.patch_size, x.shape[-1]
        flat = size * size * channels
        # Over the flattened patch, as in self-supervised ViTs, not over each of the P * P taps.
        start = transformer_inits(self.init_as, flat)
        init = start.patch
        shape = (size, size, channels, self.embed_dim)
        kernel = self.param("kernel", lambda key: init(key, (flat, self.embed_dim), jnp.float32).reshape(shape))
        bias = self.param("bias", start.patch_bias, (self.embed_dim,), jnp.float32)
        patches = patchify(x.astype(self.dtype), size)
        return patches @ rearrange(kernel, "p q c d -> (p q c) d").astype(self.dtype) + bias.astype(self.dtype)


class ViT(nn.Module):
    """Vision transformer; built by `vit` and its named sizes."""

    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    image_size: tuple
    pool: str
    class_token: bool
    registers: int
    layer_scale: float | None
    drop_path: float
    positions: str
    no_embed_class: bool
    qkv_bias: bool
    mask_token: bool
    dtype: Any
    remat: bool
    init_as: TransformerInit = "truncated"
    resampling: Resampling = "antialiased"

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of patches at `image_size`."""
        return patch_grid(self.image_size, self.patch_size)

    @property
    def can(self) -> tuple[str, ...]:
        """See `models.tokens.ABILITIES`."""
        own = {"cls": self.class_token, "registers": self.registers, "masked": self.mask_token}
        return ("patches", "visible_ids", "targets", *(name for name, has in own.items() if has))

    def grid_of(self, x: jax.Array) -> tuple[int, ...]:
        """(rows, columns) of the patches of x [N, H, W, C]; ValueError unless patch_size divides its sides."""
        check_images(x, "vit")
        return patch_grid(x.shape[1:3], self.patch_size)

    def patches_of(self, x: jax.Array) -> jax.Array:
        """Patches of x [N, H, W, C], row by row, each flattened in the order row, column, channel: [N, L, P * P * C]."""
        self.grid_of(x)
        return patchify(x, self.patch_size)

    @property
    def num_prefix(self) -> int:
        """Number of tokens ahead of the patch tokens."""
        return int(self.class_token) + self.registers

    def fixed_positions(self, grid: tuple[int, int]) -> np.ndarray:
        """Sine-cosine positions of the patches, after zeros for the prefix tokens unless no_embed_class.

        Args:
          grid: (rows, columns).

        Returns:
          float32 [prefix + L, D], or [L, D] with no_embed_class.
        """
        prefix = np.zeros((0 if self.no_embed_class else self.num_prefix, self.embed_dim), np.float32)
        return np.concatenate([prefix, sincos_2d(self.embed_dim, grid)])

    def _positions(self, grid):
        """Positions of the prefix tokens [prefix, D] (or zeros) and of the patch tokens [L, D]."""
        prefix = 0 if self.no_embed_class else self.num_prefix
        if self.positions == "fixed":
            table = jnp.asarray(self.fixed_positions(grid))
            return table[:prefix], table[prefix:]
        stored = self.grid
        length = prefix + stored[0] * stored[1]
        table = self.param("pos_embed", transformer_inits(self.init_as).tokens, (length, self.embed_dim), jnp.float32)
        return table[:prefix], resample(table[prefix:], stored, grid, self.resampling)

    def _prefix(self, n):
        parts, start = [], transformer_inits(self.init_as)
        if self.class_token:
            parts.append(self.param("cls_token", start.cls, (1, self.embed_dim), jnp.float32))
        if self.registers:
            parts.append(self.param("reg_token", start.tokens, (self.registers, self.embed_dim), jnp.float32))
        prefix = jnp.concatenate(parts) if parts else jnp.zeros((0, self.embed_dim))
        return jnp.broadcast_to(prefix, (n, *prefix.shape))

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Encodes images to tokens after the final norm.

        Args:
          x: [N, H, W, C], H and W divisible by patch_size; positions are resampled to its grid.
          train: apply drop path.
          hide: `models.tokens.Hide`, or None for nothing; `masked` needs mask_token=True.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens`.
        """
        hide, grid = check_hide(hide, self), self.grid_of(x)
        start = transformer_inits(self.init_as)
        patches = PatchEmbed(self.patch_size, self.embed_dim, self.dtype, self.init_as, name="patch_embed")(x)
        if self.mask_token:
            token = self.param("mask_token", start.tokens, (1, self.embed_dim), jnp.float32)
            if hide.masked is not None:
                patches = jnp.where(hide.masked[:, :, None], token.astype(patches.dtype), patches)
        prefix_positions, patch_positions = self._positions(grid)
        patches = patches + patch_positions.astype(self.dtype)
        if hide.visible_ids is not None:
            patches = take_tokens(patches, hide.visible_ids)
        prefix = self._prefix(x.shape[0])
        prefix = prefix if self.no_embed_class else prefix + prefix_positions
        h = jnp.concatenate([prefix.astype(self.dtype), patches], axis=1)
        options = dict(qkv_bias=self.qkv_bias, layer_scale=self.layer_scale, drop_path=self.drop_path)
        options["inits"] = (start.qkv, *(start.linear,) * 3)
        sizes = (self.depth, self.num_heads, self.mlp_ratio)
        h, outputs, maps = run_blocks(h, train, *sizes, owner=self, layers=layers, **options)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        prefix = dict(class_token=self.class_token, registers_count=self.registers)
        return of_blocks(h, outputs, maps, grid, **prefix)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`, as `pool` says."""
        return tokens.cls if self.pool == "cls" else tokens.patches.mean(1)

    def __call__(self, x: jax.Array, train: bool, hide: Hide | None = None) -> jax.Array:
        """Images x [N, H, W, C] -> pooled features [N, D] float32; arguments as in `encode`."""
        return self.pooled(self.encode(x, train, hide))


def vit(
    *,
    patch_size: int = 16,
    embed_dim: int = 192,
    depth: int = 12,
    num_heads: int = 3,
    mlp_ratio: float = 4.0,
    image_size: int | tuple[int, int] = 224,
    pool: str = "cls",
    class_token: bool = True,
    registers: int = 0,
    layer_scale: float | None = None,
    drop_path: float = 0.0,
    positions: str = "learned",
    no_embed_class: bool = False,
    qkv_bias: bool = True,
    mask_token: bool = False,
    dtype: Dtype = "float32",
    remat: bool = False,
    init_as: TransformerInit = "truncated",
    resampling: Resampling = "antialiased",
) -> ViT:
    """Vision transformer of any size: pre-norm blocks, layer norm eps 1e-6, exact GELU.

    Args:
      patch_size: P; must divide the sides of every input.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      image_size: int or (height, width) whose grid the learned positions store; other inputs resample them.
      pool: 'cls', or 'mean' over the patch tokens; both after the final norm.
      class_token: have a class token.
      registers: number of register tokens, after the class token.
      layer_scale: None, or the initial value of the learned scale of each branch.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      positions: 'learned' (resampled to other grids), or 'fixed' 2-D sine-cosine, zero for prefix tokens.
      no_embed_class: positions for the patch tokens only.
      qkv_bias: bias in the q, k, v projections.
      mask_token: have a learned mask token, for `Hide(masked=...)`.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.
      init_as: the initial values, see `models.inits.transformer_inits`.
      resampling: of learned positions to other grids, see `models.positions.resample`.

    Returns:
      Flax module (x [N, H, W, C], train, hide=None) -> [N, D]; method 'encode' gives all tokens.

    Raises:
      ValueError: on an unknown pool or positions, pool='cls' without a class token, sizes that do not divide.
    """
    check_transformer("vit", embed_dim, depth, num_heads, drop_path)
    if pool not in ("cls", "mean") or (pool == "cls" and not class_token):
        raise ValueError(
            f"pool={pool!r}, class_token={class_token}: pool must be 'mean', or 'cls' with class_token=True."
        )
    if positions not in ("learned", "fixed"):
        raise ValueError(f"positions={positions!r}: must be 'learned' or 'fixed' for vit.")
    transformer_inits(init_as)
    if resampling not in ("antialiased", "torch"):
        raise ValueError(f"resampling={resampling!r}: must be 'antialiased' or 'torch' for vit.")
    image_size = as_pair(image_size)
    patch_grid(image_size, patch_size)
    if positions == "fixed":
        sincos_2d(embed_dim, (1, 1))
    return ViT(
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        image_size=image_size,
        pool=pool,
        class_token=class_token,
        registers=registers,
        layer_scale=layer_scale,
        drop_path=drop_path,
        positions=positions,
        no_embed_class=no_embed_class,
        qkv_bias=qkv_bias,
        mask_token=mask_token,
        dtype=dtype,
        remat=remat,
        init_as=init_as,
        resampling=resampling,
    )


def _named(name, embed_dim, depth, num_heads):
    factory = functools.partial(vit, embed_dim=embed_dim, depth=depth, num_heads=num_heads)
    factory.__name__ = name
    factory.__doc__ = f"{name}: {depth} blocks, D = {embed_dim}, {num_heads} heads; options and errors as in `vit`."
    return factory


vit_ti = _named("vit_ti", 192, 12, 3)
vit_s = _named("vit_s", 384, 12, 6)
vit_b = _named("vit_b", 768, 12, 12)
vit_l = _named("vit_l", 1024, 24, 16)
