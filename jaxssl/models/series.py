"""Networks for series over time [N, T, C]: a small ConvNet, and a transformer over patches of time.

Sources: Jain et al., ColloSSL, 2022, arXiv:2202.00758, https://arxiv.org/abs/2202.00758 (the ConvNet); Weimann and
Conrad, Self-Supervised Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG Classification Performance,
2024, arXiv:2410.13867, https://arxiv.org/abs/2410.13867 (the transformer and the predictor).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.positions import take_tokens
from jaxssl.models.transformer import LAYER_NORM_EPS, TransformerBlock, check_transformer, linear_init


def sincos_1d(dim, length):
    """Fixed codes [length, dim] of positions t: [sin(t w), cos(t w)], w_i = 10000^(-i / (dim / 2)); dim is even."""
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(dim // 2) / (dim / 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _check_series(x, module):
    if x.ndim != 3:
        raise ValueError(f"{module} takes series [N, T, C], got shape {tuple(x.shape)}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{module} takes floating series (augment or standardise them first), got {x.dtype}")


class SeriesConvNet(nn.Module):
    """Convolutions over time, ReLU and dropout after each, then the maximum over time; built by `convnet`."""

    widths: tuple
    kernel_sizes: tuple
    dropout: float
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(self, x, train):
        """Series x [N, T, C] -> features [N, D] float32."""
        _check_series(x, "series.convnet")
        needed = sum(self.kernel_sizes) - len(self.kernel_sizes) + 1
        if x.shape[1] < needed:
            raise ValueError(
                f"series.convnet: kernel_sizes={self.kernel_sizes} need T >= {needed}, got series of T = {x.shape[1]}; "
                "smaller kernels, or a larger `size` of the augmentation, would be right"
            )
        conv = nn.remat(nn.Conv) if self.remat else nn.Conv
        x = x.astype(self.dtype)
        for i, (width, size) in enumerate(zip(self.widths, self.kernel_sizes)):
            x = nn.relu(conv(width, (size,), padding="VALID", dtype=self.dtype, name=f"conv{i}")(x))
            x = nn.Dropout(self.dropout, deterministic=not train or self.dropout == 0)(x)
        return x.max(1).astype(jnp.float32)


def convnet(
    *,
    widths: Sequence[int] = (32, 64, 96),
    kernel_sizes: Sequence[int] = (24, 16, 8),
    dropout: float = 0.1,
    dtype: Dtype = "float32",
    remat: bool = False,
):
    """ConvNet over time; the defaults are the network of ColloSSL.

    Args:
      widths, kernel_sizes: of the convolutions, which keep to the inside of the series (no padding).
      dropout: rate after each.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each convolution in the backward pass.

    Returns:
      Flax module (x [N, T, C], train) -> [N, widths[-1]].

    Raises:
      ValueError: lists of unequal lengths, a rate outside [0, 1); when called, series shorter than the kernels.
    """
    if not widths or len(widths) != len(kernel_sizes):
        raise ValueError(f"series.convnet: widths {widths} and kernel_sizes {kernel_sizes} must be equally many")
    if not 0 <= dropout < 1:
        raise ValueError(f"series.convnet: dropout must be in [0, 1), got {dropout}")
    return SeriesConvNet(tuple(widths), tuple(kernel_sizes), dropout, dtype, remat)


def _blocks(h, depth, train, *, num_heads, mlp_ratio, dtype, remat):
    """So many blocks without biases."""
    block = nn.remat(TransformerBlock, static_argnums=(2,)) if remat else TransformerBlock
    last = nn.initializers.truncated_normal(0.02 / np.sqrt(2 * depth))
    inits = (linear_init, last, linear_init, last)
    for i in range(depth):
        made = block(num_heads, mlp_ratio, qkv_bias=False, dtype=dtype, bias=False, inits=inits, name=f"block{i}")
        h = made(h, train)
    return nn.LayerNorm(LAYER_NORM_EPS, use_bias=False, dtype=dtype, name="norm")(h)


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

    def num_patches(self, x):
        """L of a series [N, T, C]; ValueError unless patch_size divides T."""
        _check_series(x, "series.vit")
        if x.shape[1] % self.patch_size:
            raise ValueError(f"series.vit: patch_size={self.patch_size} must divide the T = {x.shape[1]} of the series")
        return x.shape[1] // self.patch_size

    @nn.compact
    def tokens(self, x, train, visible_ids=None):
        """Encodes series to tokens after the final norm.

        Args:
          x: [N, T, C], T divisible by patch_size.
          train: without effect; nothing is dropped.
          visible_ids: int [N, M], patches to encode (others are left out after adding positions), or None.

        Returns:
          dict of float32 arrays: registers [N, R, D], patches [N, L or M, D].
        """
        length = self.num_patches(x)
        patches = x.astype(self.dtype).reshape(x.shape[0], length, -1)
        init = nn.initializers.xavier_uniform()
        h = Dense(self.embed_dim, use_bias=False, kernel_init=init, dtype=self.dtype, name="patch_embed")(patches)
        h = h + jnp.asarray(sincos_1d(self.embed_dim, length)).astype(self.dtype)
        if visible_ids is not None:
            h = take_tokens(h, visible_ids)
        if self.registers:
            token = self.param("reg_token", linear_init, (self.registers, self.embed_dim), jnp.float32)
            prefix = jnp.broadcast_to(token.astype(self.dtype), (x.shape[0], *token.shape))
            h = jnp.concatenate([prefix, h], axis=1)
        options = dict(num_heads=self.num_heads, mlp_ratio=self.mlp_ratio, dtype=self.dtype, remat=self.remat)
        h = _blocks(h, self.depth, train, **options).astype(jnp.float32)
        return {"registers": h[:, : self.registers], "patches": h[:, self.registers :]}

    def __call__(self, x, train, visible_ids=None):
        """Series x [N, T, C] -> mean of the patch tokens [N, D] float32; arguments as in `tokens`."""
        return self.tokens(x, train, visible_ids)["patches"].mean(1)


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
):
    """Transformer over patches of time, without biases; the defaults are the size S of ECG-JEPA.

    Pre-norm blocks, fixed sine positions, maps that end a branch start with deviation 0.02 / sqrt(2 depth).

    Args:
      patch_size: samples of a patch, all channels together; must divide T.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      registers: number of register tokens, which have no position and are no part of the features.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, T, C], train, visible_ids=None) -> [N, D]; method 'tokens' gives all.

    Raises:
      ValueError: on sizes that do not divide.
    """
    _check_sizes("series.vit", embed_dim, depth, num_heads)
    if patch_size < 1 or registers < 0:
        raise ValueError(f"series.vit: patch_size={patch_size} must be at least 1, registers={registers} at least 0")
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
    def __call__(self, z, visible_ids, hidden_ids, train=False):
        """z [N, K, D] of the patches visible_ids [N, K] -> those of hidden_ids [N, M]: [N, M, D] float32."""
        length = visible_ids.shape[1] + hidden_ids.shape[1]
        positions = jnp.asarray(sincos_1d(self.width, length)).astype(self.dtype)
        dense = lambda dim, name: Dense(dim, use_bias=False, kernel_init=linear_init, dtype=self.dtype, name=name)
        token = self.param("mask_token", linear_init, (1, self.width), jnp.float32).astype(self.dtype)
        visible = dense(self.width, "embed")(z) + positions[visible_ids]
        h = jnp.concatenate([visible, token + positions[hidden_ids]], axis=1)
        options = dict(num_heads=self.num_heads, mlp_ratio=self.mlp_ratio, dtype=self.dtype, remat=self.remat)
        h = _blocks(h, self.depth, train, **options)[:, visible_ids.shape[1] :]
        return dense(self.out_dim, "predict")(h).astype(jnp.float32)


def predictor(*, out_dim, width=192, depth=8, num_heads=6, mlp_ratio=4.0, dtype="float32", remat=False):
    """SeriesPredictor with checked sizes; `out_dim` is the D of the encoder, the others as its attributes."""
    _check_sizes("series.predictor", width, depth, num_heads)
    return SeriesPredictor(out_dim, width, depth, num_heads, mlp_ratio, dtype, remat)


def _check_sizes(name, dim, depth, num_heads):
    check_transformer(name, dim, depth, num_heads)
    if dim % 2:
        raise ValueError(f"{name}: sine positions need an even width, got {dim}")
