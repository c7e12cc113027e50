"""Networks for series over time [N, T, C]: a small ConvNet, and a transformer over patches of time.

Sources: Jain et al., ColloSSL: Collaborative Self-Supervised Learning for Human Activity Recognition, 2022,
arXiv:2202.00758, https://arxiv.org/abs/2202.00758 (the ConvNet); Weimann, Conrad, Self-Supervised
Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG Classification Performance, 2024, arXiv:2410.13867,
https://arxiv.org/abs/2410.13867 (the transformer and the predictor).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.pooling import largest
from jaxssl.models.positions import sincos_1d, take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks, of_maps
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, linear_init, run_blocks


def _check_series(x, module):
    if x.ndim != 3:
        raise ValueError(f"x of shape {tuple(x.shape)}: {module} takes series [N, T, C].")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x of {x.dtype}: {module} takes floating series; augment or standardise them first.")


class SeriesConvNet(nn.Module):
    """Convolutions over time, ReLU and dropout after each, then the maximum over time; built by `convnet`."""

    widths: tuple
    kernel_sizes: tuple
    dropout: float
    dtype: Any
    remat: bool
    can = ("patches",)

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Series x [N, T, C] -> `models.tokens.Tokens` over time; layers: 'conv0', ...; hide: must be None."""
        check_hide(hide, self)
        _check_series(x, "series.convnet")
        needed = sum(self.kernel_sizes) - len(self.kernel_sizes) + 1
        if x.shape[1] < needed:
            raise ValueError(
                f"kernel_sizes={self.kernel_sizes}: need T >= {needed}, got series of T = {x.shape[1]}; smaller kernels, or a"
                " larger `size` of the augmentation, would be right."
            )
        conv, maps = nn.remat(nn.Conv) if self.remat else nn.Conv, {}
        x = x.astype(self.dtype)
        for i, (width, size) in enumerate(zip(self.widths, self.kernel_sizes)):
            x = nn.relu(conv(width, (size,), padding="VALID", dtype=self.dtype, name=f"conv{i}")(x))
            x = maps[f"conv{i}"] = nn.Dropout(self.dropout, deterministic=not train or self.dropout == 0)(x)
        return of_maps(x, maps, layers, self)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: their maximum over time."""
        return largest(tokens.patches, 1)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Series x [N, T, C] -> features [N, D] float32."""
        return self.pooled(self.encode(x, train))


def convnet(
    *,
    widths: Sequence[int] = (32, 64, 96),
    kernel_sizes: Sequence[int] = (24, 16, 8),
    dropout: float = 0.1,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> SeriesConvNet:
    """ConvNet over time; the defaults are the network of ColloSSL.

    Args:
      widths, kernel_sizes: channels and taps of each convolution; none pads the series.
      dropout: dropout rate after each convolution, in [0, 1).
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each convolution in the backward pass.

    Returns:
      Flax module (x [N, T, C], train) -> [N, widths[-1]].

    Raises:
      ValueError: lists of unequal lengths, a rate outside [0, 1); when called, series shorter than the kernels.
    """
    if not widths or len(widths) != len(kernel_sizes):
        raise ValueError(
            f"widths={widths}, kernel_sizes={kernel_sizes}: must be equally many, at least 1, for series.convnet."
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: must lie in [0, 1) for series.convnet.")
    return SeriesConvNet(tuple(widths), tuple(kernel_sizes), dropout, dtype, remat)


def _blocks(h, train, owner, layers=()):
    """Blocks without biases and the final norm: (h, outputs, maps) as of `run_blocks`."""
    last = nn.initializers.truncated_normal(0.02 / np.sqrt(2 * owner.depth))
    options = dict(qkv_bias=False, use_bias=False, inits=(linear_init, last, linear_init, last))
    sizes = (owner.depth, owner.num_heads, owner.mlp_ratio)
    h, outputs, maps = run_blocks(h, train, *sizes, owner=owner, layers=layers, **options)
    return nn.LayerNorm(LAYER_NORM_EPS, use_bias=False, dtype=owner.dtype, name="norm")(h), outputs, maps


class SeriesViT(nn.Module):
    """Transformer over patches of time, all channels of a patch together; built by `vit`."""

    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    registers: int
    dtype: Any
    remat: bool

    @property
    def can(self) -> tuple[str, ...]:
        """See `models.tokens.ABILITIES`."""
        return ("patches", "visible_ids", "targets", *(["registers"] if self.registers else []))

    def grid_of(self, x: jax.Array) -> tuple[int, ...]:
        """(L,) of a series [N, T, C]; ValueError unless patch_size divides T."""
        _check_series(x, "series.vit")
        if x.shape[1] % self.patch_size:
            raise ValueError(f"patch_size={self.patch_size}: must divide the T = {x.shape[1]} of the series.")
        return (x.shape[1] // self.patch_size,)

    def patches_of(self, x: jax.Array) -> jax.Array:
        """Patches of a series [N, T, C], each flattened in the order time, channel: [N, L, P * C]."""
        self.grid_of(x)
        return rearrange(x, "n (l p) c -> n l (p c)", p=self.patch_size)

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Encodes series to tokens after the final norm.

        Args:
          x: [N, T, C], T divisible by patch_size.
          train: without effect; nothing is dropped.
          hide: `models.tokens.Hide` of visible_ids, or None for nothing.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens`.
        """
        hide, grid = check_hide(hide, self), self.grid_of(x)
        patches = self.patches_of(x.astype(self.dtype))
        init = nn.initializers.xavier_uniform()
        h = Dense(self.embed_dim, use_bias=False, kernel_init=init, dtype=self.dtype, name="patch_embed")(patches)
        h = h + jnp.asarray(sincos_1d(self.embed_dim, grid[0])).astype(self.dtype)
        if hide.visible_ids is not None:
            h = take_tokens(h, hide.visible_ids)
        if self.registers:
            token = self.param("reg_token", linear_init, (self.registers, self.embed_dim), jnp.float32)
            prefix = jnp.broadcast_to(token.astype(self.dtype), (x.shape[0], *token.shape))
            h = jnp.concatenate([prefix, h], axis=1)
        h, outputs, maps = _blocks(h, train, self, layers)
        return of_blocks(h, outputs, maps, grid, registers_count=self.registers)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: the mean of the patches."""
        return tokens.patches.mean(1)

    def __call__(self, x: jax.Array, train: bool, hide: Hide | None = None) -> jax.Array:
        """Series x [N, T, C] -> mean of the patch tokens [N, D] float32; arguments as in `encode`."""
        return self.pooled(self.encode(x, train, hide))


def vit(
    *,
    patch_size: int = 25,
    embed_dim: int = 384,
    depth: int = 8,
    num_heads: int = 6,
    mlp_ratio: float = 4.0,
    registers: int = 1,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> SeriesViT:
    """Transformer over patches of time, without biases; the defaults are the size S of ECG-JEPA.

    Pre-norm blocks, fixed sine-cosine positions. The last linear map of each branch is initialised with the standard
    deviation 0.02 / sqrt(2 depth).

    Args:
      patch_size: samples of a patch, all channels together; must divide T.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      registers: number of register tokens, which have no position and are no part of the features.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, T, C], train, hide=None) -> [N, D]; method 'encode' gives all tokens.

    Raises:
      ValueError: on sizes that do not divide.
    """
    _check_sizes("series.vit", embed_dim, depth, num_heads)
    if patch_size < 1 or registers < 0:
        raise ValueError(
            f"patch_size={patch_size}, registers={registers}: must be at least 1 and at least 0 for series.vit."
        )
    return SeriesViT(patch_size, embed_dim, depth, num_heads, mlp_ratio, registers, dtype, remat)


class SeriesPredictor(nn.Module):
    """Narrow transformer from visible tokens to the tokens of hidden patches; built by `predictor`.

    p = W LN(blocks([W_e z + pos(visible), m + pos(hidden)]))[hidden], m a learned mask token.
    """

    out_dim: int
    width: int
    depth: int
    num_heads: int
    mlp_ratio: float
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(self, z: jax.Array, visible_ids: jax.Array, hidden_ids: jax.Array, train: bool = False) -> jax.Array:
        """z [N, K, D] of the patches visible_ids [N, K] -> those of hidden_ids [N, M]: [N, M, D] float32."""
        length = visible_ids.shape[1] + hidden_ids.shape[1]
        positions = jnp.asarray(sincos_1d(self.width, length)).astype(self.dtype)
        dense = lambda dim, name: Dense(dim, use_bias=False, kernel_init=linear_init, dtype=self.dtype, name=name)
        token = self.param("mask_token", linear_init, (1, self.width), jnp.float32).astype(self.dtype)
        visible = dense(self.width, "embed")(z) + positions[visible_ids]
        h = jnp.concatenate([visible, token + positions[hidden_ids]], axis=1)
        h = _blocks(h, train, self)[0][:, visible_ids.shape[1] :]
        return dense(self.out_dim, "predict")(h).astype(jnp.float32)


def predictor(
    *,
    out_dim: int,
    width: int = 192,
    depth: int = 8,
    num_heads: int = 6,
    mlp_ratio: float = 4.0,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> SeriesPredictor:
    """Narrow transformer that predicts the tokens of hidden patches; the defaults are the predictor of ECG-JEPA.

    Args:
      out_dim: D of the encoder.
      width, depth, num_heads, mlp_ratio: width (even), number of blocks, heads, MLP hidden width over width.
      dtype: compute dtype; parameters and predictions are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (z [N, K, D], visible_ids int [N, K], hidden_ids int [N, M]) -> [N, M, D] float32.

    Raises:
      ValueError: on sizes that do not divide.
    """
    _check_sizes("series.predictor", width, depth, num_heads)
    return SeriesPredictor(out_dim, width, depth, num_heads, mlp_ratio, dtype, remat)


def _check_sizes(name, dim, depth, num_heads):
    check_transformer(name, dim, depth, num_heads)
    if dim % 2:
        raise ValueError(f"width {dim}: the sine positions of {name} need an even width.")
