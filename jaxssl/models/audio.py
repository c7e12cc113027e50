"""Networks for sound: a ConvNet over the waveform, and a transformer over patches of a spectrogram.

Sources: Lee, Park, Kim, Nam, Sample-level Deep Convolutional Neural Networks for Music Auto-tagging Using Raw
Waveforms, 2017, arXiv:1703.01789, https://arxiv.org/abs/1703.01789 (the ConvNet, as CLMR has it); Gong, Lai, Chung,
Glass, SSAST: Self-Supervised Audio Spectrogram Transformer, 2021, arXiv:2110.09784, https://arxiv.org/abs/2110.09784
(the transformer).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.norm import batch_norm
from jaxssl.models.positions import resample, sincos_2d, take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks, of_maps
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, linear_init, run_blocks

conv_init = nn.initializers.he_normal()


class Conv3(nn.Module):
    """Convolution of width 3 over time without bias, zeros beyond the ends: [N, T, C] -> [N, T, D].

    It is one matrix product of the three shifted inputs, on a CPU far faster than the compiler's convolution of one axis.
    """

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        x = jnp.concatenate([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=-1)
        return Dense(self.features, use_bias=False, kernel_init=conv_init, dtype=self.dtype, name="taps")(x)


class SampleBlock(nn.Module):
    """Convolution of width 3, batch norm, ReLU, maximum over three samples: [N, T, C] -> [N, T / 3, D]."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = Conv3(self.features, self.dtype, name="conv")(x)
        x = nn.relu(batch_norm(dtype=self.dtype, name="norm")(x, use_running_average=not train))
        x = rearrange(x, "n (t three) d -> n t three d", three=3)
        # Not max(axis=2), whose gradient takes a CPU four times as long.
        return jnp.maximum(jnp.maximum(x[:, :, 0], x[:, :, 1]), x[:, :, 2])


class SampleCNN(nn.Module):
    """ConvNet over the waveform; built by `sample_cnn`."""

    widths: tuple
    stem: int
    dtype: Any
    remat: bool
    can = ("patches",)

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Sound x [N, T] -> `models.tokens.Tokens` over time; layers: 'block0', ...; hide: must be None."""
        check_hide(hide, self)
        if x.ndim != 2:
            raise ValueError(f"x of shape {tuple(x.shape)}: audio.sample_cnn takes sound [N, T].")
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"x of {x.dtype}: audio.sample_cnn takes floating sound in -1 ... 1.")
        fold = self.stem * 3 ** (len(self.widths) - 1)
        if x.shape[1] % fold:
            raise ValueError(
                f"stem={self.stem}, widths={self.widths}: need a T that {fold} divides, got {x.shape[1]};"
                " set `size` of the augmentation to a multiple, or give fewer widths."
            )
        x = rearrange(x.astype(self.dtype), "n (t s) -> n t s", s=self.stem)
        x = Dense(self.widths[0], use_bias=False, kernel_init=conv_init, dtype=self.dtype, name="stem")(x)
        x = nn.relu(batch_norm(dtype=self.dtype, name="stem_norm")(x, use_running_average=not train))
        block, maps = nn.remat(SampleBlock, static_argnums=(2,)) if self.remat else SampleBlock, {}
        for i, width in enumerate(self.widths[1:]):
            x = maps[f"block{i}"] = block(width, self.dtype, name=f"block{i}")(x, train)
        return of_maps(x, maps, layers, self)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: their mean over time."""
        return tokens.patches.astype(self.dtype).mean(1).astype(jnp.float32)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Sound x [N, T] -> features [N, D] float32."""
        return self.pooled(self.encode(x, train))


def sample_cnn(
    *,
    widths: Sequence[int] = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512),
    stem: int = 3,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> SampleCNN:
    """SampleCNN; the defaults are CLMR's network for 59,049 samples without its last 512 x 512 layer and dropout.

    The first width is that of a convolution of width and stride `stem`, each further one that of a block: convolution
    of width 3, batch norm, ReLU, maximum over three samples. The features are the mean over the remaining time steps.

    Args:
      widths: stem * 3^(len(widths) - 1) must divide T.
      stem: width and stride of the first convolution, in samples; published: 3.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, T], train) -> [N, widths[-1]].

    Raises:
      ValueError: no widths, a stem below 1; when called, a T that stem * 3^(len(widths) - 1) does not divide.
    """
    if not widths or stem < 1:
        raise ValueError(
            f"widths={tuple(widths)}, stem={stem}: audio.sample_cnn needs one width or more, and a stem of at least 1."
        )
    return SampleCNN(tuple(widths), stem, dtype, remat)


class SpectrogramViT(nn.Module):
    """Transformer over rectangular patches of a spectrogram; built by `vit`."""

    patch_size: tuple
    input_size: tuple
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    drop_path: float
    dtype: Any
    remat: bool
    can = ("patches", "visible_ids", "masked", "targets")

    def grid_of(self, x: jax.Array) -> tuple[int, ...]:
        """(rows, columns) of the patches of x [N, bands, frames, 1]; ValueError unless patch_size divides both."""
        if x.ndim != 4 or x.shape[-1] != 1:
            raise ValueError(f"x of shape {tuple(x.shape)}: audio.vit takes spectrograms [N, bands, frames, 1].")
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(f"x of {x.dtype}: audio.vit takes floating spectrograms.")
        return _grid(x.shape[1:3], self.patch_size)

    def patches_of(self, x: jax.Array) -> jax.Array:
        """Patches of x [N, bands, frames, 1], row by row, each flattened in that order: [N, L, P]."""
        self.grid_of(x)
        high, wide = self.patch_size
        return rearrange(x, "n (row p) (column q) c -> n (row column) (p q c)", p=high, q=wide)

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Encodes spectrograms to tokens after the final norm.

        Args:
          x: [N, bands, frames, 1]; positions are resampled to its grid.
          train: apply drop path.
          hide: `models.tokens.Hide`, or None for nothing.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens`.
        """
        hide, grid = check_hide(hide, self), self.grid_of(x)
        init = nn.initializers.xavier_uniform()
        embed = Dense(self.embed_dim, kernel_init=init, dtype=self.dtype, name="patch_embed")
        h = embed(self.patches_of(x).astype(self.dtype))
        token = self.param("mask_token", linear_init, (1, self.embed_dim), jnp.float32)
        if hide.masked is not None:
            h = jnp.where(hide.masked[:, :, None], token.astype(h.dtype), h)
        stored = _grid(self.input_size, self.patch_size)
        # Learned, but initialised as sines and cosines: neighbours have similar positions from the first step on.
        table = self.param("pos_embed", lambda key: jnp.asarray(sincos_2d(self.embed_dim, stored)))
        h = h + resample(table, stored, grid).astype(self.dtype)
        if hide.visible_ids is not None:
            h = take_tokens(h, hide.visible_ids)
        sizes = (self.depth, self.num_heads, self.mlp_ratio)
        h, outputs, maps = run_blocks(h, train, *sizes, owner=self, layers=layers, drop_path=self.drop_path)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        return of_blocks(h, outputs, maps, grid)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: their mean."""
        return tokens.patches.mean(1)

    def __call__(self, x: jax.Array, train: bool, hide: Hide | None = None) -> jax.Array:
        """Spectrograms x [N, bands, frames, 1] -> mean of the tokens [N, D] float32; arguments as in `encode`."""
        return self.pooled(self.encode(x, train, hide))


def vit(
    *,
    patch_size: tuple[int, int] = (16, 16),
    input_size: tuple[int, int] = (128, 1024),
    embed_dim: int = 768,
    depth: int = 12,
    num_heads: int = 12,
    mlp_ratio: float = 4.0,
    drop_path: float = 0.0,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> SpectrogramViT:
    """Transformer over patches of a spectrogram, without a class token; the defaults are the base size of SSAST.

    Positions are learned and initialised as sines and cosines (published: as those of a pre-trained image network).

    Args:
      patch_size: (bands, frames) of a patch; (128, 2) are the frames of the publication.
      input_size: (bands, frames) whose grid the learned positions store; other inputs resample them.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, bands, frames, 1], train, hide=None) -> [N, D]; method 'encode' gives all tokens.

    Raises:
      ValueError: on sizes that do not divide, a width that 4 does not divide.
    """
    check_transformer("audio.vit", embed_dim, depth, num_heads, drop_path)
    patch_size, input_size = tuple(patch_size), tuple(input_size)
    sincos_2d(embed_dim, _grid(input_size, patch_size))
    return SpectrogramViT(patch_size, input_size, embed_dim, depth, num_heads, mlp_ratio, drop_path, dtype, remat)


def _grid(size, patch_size):
    if len(patch_size) != 2 or len(size) != 2 or size[0] % patch_size[0] or size[1] % patch_size[1]:
        raise ValueError(f"patch_size={patch_size}: must divide the (bands, frames) {tuple(size)} of the spectrogram.")
    return size[0] // patch_size[0], size[1] // patch_size[1]
