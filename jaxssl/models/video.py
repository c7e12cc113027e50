"""Networks for video clips: (2+1)-D convolutional networks, residual networks, and a transformer over tubelets.

A (2+1)-D convolution is one over space followed by one over time. The latter is a matrix product of shifted frames, on a
CPU far faster than a convolution in three dimensions.

Sources: Tran et al., A Closer Look at Spatiotemporal Convolutions for Action Recognition, 2017, arXiv:1711.11248,
https://arxiv.org/abs/1711.11248; Feichtenhofer et al., SlowFast Networks for Video Recognition, 2018, arXiv:1812.03982,
https://arxiv.org/abs/1812.03982; Tong et al., VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training, 2022, arXiv:2203.12602, https://arxiv.org/abs/2203.12602
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.conv import Conv, kernel_init
from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.norm import norm
from jaxssl.models.positions import patch_grid, sincos_3d, take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks, of_maps
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, run_blocks


def check_clips(x: jax.Array, module: str) -> None:
    """Raises ValueError unless x is a floating array [N, T, H, W, C]."""
    if x.ndim != 5:
        raise ValueError(f"x of shape {tuple(x.shape)}: {module} takes clips [N, T, H, W, C].")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x of {x.dtype}: {module} takes floating clips; augment or standardise them first.")


class TimeConv(nn.Module):
    """Convolution over time without bias: [N, T, ..., C] -> [N, ceil(T/s), ..., D].

    Zero padding is k // 2 on both sides. The parameter is `kernel` [k, C, D], He-normal (fan out) at the start.

    Attributes:
      features: D.
      kernel_size: odd k.
      strides: s.
      dtype: compute dtype; the parameter is float32.
    """

    features: int
    kernel_size: int = 3
    strides: int = 1
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        k, s, channels = self.kernel_size, self.strides, x.shape[-1]
        kernel = self.param("kernel", kernel_init, (k, channels, self.features), jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        pad = [(0, 0)] * x.ndim
        pad[1] = (k // 2, k // 2)
        padded, length = jnp.pad(x, pad), x.shape[1]
        taps = [padded[:, i : i + length : s] for i in range(k)]
        return jnp.concatenate(taps, axis=-1) @ rearrange(kernel, "k c d -> (k c) d")


class SpaceConv(nn.Module):
    """`models.conv.Conv` on every frame: [N, T, H, W, C] -> [N, T, ceil(H/s), ceil(W/s), D]."""

    features: int
    kernel_size: int = 3
    strides: int = 1
    implementation: str = "auto"
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layer = Conv(self.features, self.kernel_size, self.strides, self.implementation, self.dtype, name="conv")
        h = layer(rearrange(x, "n t h w c -> (n t) h w c"))
        return rearrange(h, "(n t) h w d -> n t h w d", n=x.shape[0])


def _norm(owner, features, train, name, zero_init=False):
    """The normalisation layer with the options of the block `owner`."""
    options = dict(batch_groups=owner.batch_groups, dtype=owner.dtype, zero_init=zero_init, name=name)
    return norm(owner.norm, features, train, **options)


class ClipBlock(nn.Module):
    """(2+1)-D convolution: relu(norm(time(relu(norm(space(x)))))); relu(norm(space(x))) for k_t = s_t = 1."""

    features: int
    strides: int
    time_kernel: int
    time_strides: int
    norm: str
    batch_groups: int
    implementation: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        h = SpaceConv(self.features, 3, self.strides, self.implementation, self.dtype, name="space")(x)
        h = nn.relu(_norm(self, self.features, train, "norm_space")(h))
        if self.time_kernel == 1 and self.time_strides == 1:
            return h
        h = TimeConv(self.features, self.time_kernel, self.time_strides, self.dtype, name="time")(h)
        return nn.relu(_norm(self, self.features, train, "norm_time")(h))


class ClipMaps(nn.Module):
    """A network of maps over time and space: `_maps` of a subclass gives the last map and those of all layers by name."""

    can = ("patches",)

    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Clips x [N, T, H, W, C] -> `models.tokens.Tokens` of the last map.

        layers: 'block0', ... of `convnet`; of `resnet` 'layer1_0' for a block's map, 'layer1' for that of a stage's last
        block. hide: must be None.
        """
        check_hide(hide, self)
        return of_maps(*self._maps(x, train), layers, self)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: their mean over time and space."""
        return tokens.map.mean((1, 2, 3))

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Clips x [N, T, H, W, C] -> features [N, D] float32."""
        return self._maps(x, train)[0].mean((1, 2, 3))


class ClipConvNet(ClipMaps):
    """(2+1)-D blocks, then the mean over time and space; built by `convnet`."""

    widths: tuple
    strides: tuple
    time_kernels: tuple
    time_strides: tuple
    norm: str
    batch_groups: int
    implementation: str
    dtype: Any
    remat: bool

    @nn.compact
    def _maps(self, x, train):
        """Last map [N, T', h, w, D] float32, and those of all blocks by name."""
        check_clips(x, "video.convnet")
        block, maps = nn.remat(ClipBlock, static_argnums=(2,)) if self.remat else ClipBlock, {}
        shapes = zip(self.widths, self.strides, self.time_kernels, self.time_strides, strict=True)
        for i, shape in enumerate(shapes):
            options = (self.norm, self.batch_groups, self.implementation, self.dtype)
            x = maps[f"block{i}"] = block(*shape, *options, name=f"block{i}")(x, train)
        return x.astype(jnp.float32), maps


def convnet(
    *,
    widths: Sequence[int] = (16, 32, 64, 128),
    strides: int | Sequence[int] = (2, 2, 2, 1),
    time_kernels: int | Sequence[int] = 3,
    time_strides: int | Sequence[int] = (1, 2, 2, 1),
    norm: str = "batch",
    batch_groups: int = 1,
    implementation: str = "auto",
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ClipConvNet:
    """Small (2+1)-D ConvNet, quick enough to train on a CPU.

    Args:
      widths, strides: channels and stride over space of each block.
      time_kernels, time_strides: taps (odd) and stride over time of each block, or one number for all.
      norm, batch_groups: as in `models.convnet`.
      implementation: of the convolutions over space, see `models.conv.Conv`.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, T, H, W, C], train) -> [N, widths[-1]].

    Raises:
      ValueError: lists of unequal lengths, an even number of taps.
    """
    widths = tuple(widths)
    strides, time_kernels, time_strides = (_each(v, len(widths)) for v in (strides, time_kernels, time_strides))
    if not widths or {len(strides), len(time_kernels), len(time_strides)} != {len(widths)}:
        raise ValueError(
            f"widths={widths}, strides={strides}, time_kernels={time_kernels}, time_strides={time_strides}: must be equally"
            " many, at least 1, for video.convnet."
        )
    _check_taps("video.convnet", time_kernels)
    return ClipConvNet(widths, strides, time_kernels, time_strides, norm, batch_groups, implementation, dtype, remat)


class ClipResidual(nn.Module):
    """relu(shortcut(x) + branch(x)).

    The branch of a 'bottleneck' block is a convolution over time of `time_kernel` taps, then 3x3, then 1x1; that of a
    'basic' block is twice 3x3 and a convolution over time, which is left out for one tap.
    """

    block: str
    channels: int
    strides: int
    time_kernel: int
    norm: str
    batch_groups: int
    zero_init_last: bool
    implementation: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def space(h, features, size, strides, name):
            return SpaceConv(features, size, strides, self.implementation, self.dtype, name=name)(h)

        def time(h, features, name):
            return TimeConv(features, self.time_kernel, 1, self.dtype, name=name)(h)

        if self.block == "bottleneck":
            out = 4 * self.channels
            h = nn.relu(_norm(self, self.channels, train, "norm1")(time(x, self.channels, "conv1")))
            h = nn.relu(_norm(self, self.channels, train, "norm2")(space(h, self.channels, 3, self.strides, "conv2")))
            h = space(h, out, 1, 1, "conv3")
        else:
            out = self.channels
            h = space(x, out, 3, self.strides, "conv1")
            if self.time_kernel > 1:
                h = time(nn.relu(_norm(self, out, train, "norm1_space")(h)), out, "conv1_time")
            h = space(nn.relu(_norm(self, out, train, "norm1")(h)), out, 3, 1, "conv2")
            if self.time_kernel > 1:
                h = time(nn.relu(_norm(self, out, train, "norm2_space")(h)), out, "conv2_time")
        h = _norm(self, out, train, "norm_last", zero_init=self.zero_init_last)(h)
        if self.strides != 1 or x.shape[-1] != out:
            x = _norm(self, out, train, "downsample_norm")(space(x, out, 1, self.strides, "downsample"))
        return nn.relu(x + h)


class ClipResNet(ClipMaps):
    """Residual network for clips; built by `resnet`."""

    layers: tuple
    block: str
    width: int
    time_kernels: tuple
    stem: str
    norm: str
    batch_groups: int
    zero_init_last: bool
    implementation: str
    dtype: Any
    remat: bool

    @nn.compact
    def _maps(self, x, train):
        """Last map [N, T', h, w, D] float32, and those of all blocks and stages by name."""
        check_clips(x, "video.resnet")
        if self.stem == "5x7x7":
            pads = [(2, 2), (3, 3), (3, 3)]
            options = dict(use_bias=False, kernel_init=kernel_init, dtype=self.dtype, name="stem")
            h = nn.Conv(self.width, (5, 7, 7), (2, 2, 2), padding=pads, **options)(x.astype(self.dtype))
        else:
            h = SpaceConv(self.width, 3, 1, self.implementation, self.dtype, name="stem")(x)
        h = nn.relu(_norm(self, self.width, train, "norm_stem")(h))
        if self.stem == "5x7x7":
            h = nn.max_pool(h, (1, 3, 3), (1, 2, 2), padding=((0, 0), (1, 1), (1, 1)))
        block, maps = nn.remat(ClipResidual, static_argnums=(2,)) if self.remat else ClipResidual, {}
        for stage, (depth, taps) in enumerate(zip(self.layers, self.time_kernels, strict=True)):
            for i in range(depth):
                h = maps[f"layer{stage + 1}_{i}"] = block(
                    self.block,
                    self.width * 2**stage,
                    2 if stage > 0 and i == 0 else 1,
                    taps,
                    self.norm,
                    self.batch_groups,
                    self.zero_init_last,
                    self.implementation,
                    self.dtype,
                    name=f"layer{stage + 1}_{i}",
                )(h, train)
            maps[f"layer{stage + 1}"] = h
        return h.astype(jnp.float32), maps


def resnet(
    *,
    layers: Sequence[int] = (3, 4, 6, 3),
    block: str = "bottleneck",
    width: int = 64,
    time_kernels: int | Sequence[int] = (1, 1, 3, 3),
    stem: str = "5x7x7",
    norm: str = "batch",
    batch_groups: int = 1,
    zero_init_last: bool = True,
    implementation: str = "auto",
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ClipResNet:
    """Residual network for clips; the defaults are CVRL's R3D-50, which convolves over time in the last two stages only.

    Args:
      layers: blocks of each stage; stages after the first halve height and width, and double the channels.
      block: 'bottleneck' (output channels times 4), or 'basic'; with layers=(2, 2, 2, 2) and time_kernels=3 the latter is
        an R(2+1)D-18, except for the width between the convolutions over space and time.
      width: channels of the stem and the first stage.
      time_kernels: taps (odd) over time of each stage, or one number for all.
      stem: '5x7x7' (stride 2 over time and space, 3x3 max pooling stride 2), or '3x3' over space (stride 1) for small
        clips.
      norm, batch_groups, zero_init_last: as in `models.resnet.resnet`.
      implementation, dtype, remat: as in `convnet`.

    Returns:
      Flax module (x [N, T, H, W, C], train) -> [N, D].

    Raises:
      ValueError: on an unknown block or stem, an even number of taps, time_kernels and layers of unequal lengths.
    """
    layers = tuple(layers)
    time_kernels = _each(time_kernels, len(layers))
    if block not in ("basic", "bottleneck"):
        raise ValueError(f"block={block!r}: must be 'basic' or 'bottleneck' for video.resnet.")
    if stem not in ("5x7x7", "3x3"):
        raise ValueError(f"stem={stem!r}: must be '5x7x7' or '3x3' for video.resnet.")
    if not layers or len(time_kernels) != len(layers):
        raise ValueError(
            f"time_kernels={time_kernels}, layers={layers}: must be equally many, at least 1, for video.resnet."
        )
    _check_taps("video.resnet", time_kernels)
    return ClipResNet(
        layers, block, width, time_kernels, stem, norm, batch_groups, zero_init_last, implementation, dtype, remat
    )


class ClipViT(nn.Module):
    """Transformer over tubelets, cuboids of `tubelet` frames and patch_size pixels a side; built by `vit`."""

    patch_size: int
    tubelet: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    drop_path: float
    dtype: Any
    remat: bool

    can = ("patches", "visible_ids", "targets")

    def grid_of(self, x: jax.Array) -> tuple[int, ...]:
        """(in time, rows, columns) of the tubelets of clips [N, T, H, W, C]; ValueError unless they fit."""
        check_clips(x, "video.vit")
        if x.shape[1] % self.tubelet:
            raise ValueError(f"tubelet={self.tubelet}: must divide the {x.shape[1]} frames of a clip.")
        return (x.shape[1] // self.tubelet, *patch_grid(x.shape[2:4], self.patch_size))

    def patches_of(self, x: jax.Array) -> jax.Array:
        """Tubelets of clips [N, T, H, W, C], frames first, then row by row: [N, L, tubelet * P * P * C]."""
        self.grid_of(x)
        sizes = dict(f=self.tubelet, p=self.patch_size, q=self.patch_size)
        return rearrange(x, "n (t f) (row p) (column q) c -> n (t row column) (f p q c)", **sizes)

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Encodes clips to tokens after the final norm.

        Args:
          x: [N, T, H, W, C], T divisible by tubelet, H and W by patch_size.
          train: apply drop path.
          hide: `models.tokens.Hide` of visible_ids, or None for nothing; tubelets are counted frames first, then row by row.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens`.
        """
        hide, grid = check_hide(hide, self), self.grid_of(x)
        init = nn.initializers.xavier_uniform()
        embed = Dense(self.embed_dim, kernel_init=init, dtype=self.dtype, name="patch_embed")
        h = embed(self.patches_of(x).astype(self.dtype))
        h = h + jnp.asarray(sincos_3d(self.embed_dim, grid)).astype(self.dtype)
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
        """Clips x [N, T, H, W, C] -> mean of the tokens [N, D] float32; arguments as in `encode`."""
        return self.pooled(self.encode(x, train, hide))


def vit(
    *,
    patch_size: int = 8,
    tubelet: int = 2,
    embed_dim: int = 192,
    depth: int = 12,
    num_heads: int = 3,
    mlp_ratio: float = 4.0,
    drop_path: float = 0.0,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ClipViT:
    """Vision transformer over tubelets with fixed sine-cosine positions; features are the mean of the tokens.

    Args:
      patch_size, tubelet: pixels a side, and frames, of a tubelet.
      embed_dim, depth, num_heads, mlp_ratio: D (a multiple of 16), number of blocks, heads, MLP hidden width over D.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, T, H, W, C], train, hide=None) -> [N, D]; method 'encode' gives all tokens.

    Raises:
      ValueError: on sizes that do not divide.
    """
    check_transformer("video.vit", embed_dim, depth, num_heads, drop_path)
    if patch_size < 1 or tubelet < 1:
        raise ValueError(f"patch_size={patch_size}, tubelet={tubelet}: both must be at least 1 for video.vit.")
    sincos_3d(embed_dim, (1, 1, 1))
    return ClipViT(patch_size, tubelet, embed_dim, depth, num_heads, mlp_ratio, drop_path, dtype, remat)


def _each(value, count):
    return (value,) * count if isinstance(value, int) else tuple(value)


def _check_taps(name, time_kernels):
    if any(k < 1 or k % 2 == 0 for k in time_kernels):
        raise ValueError(f"time_kernels={time_kernels}: must be odd and positive for {name}.")
