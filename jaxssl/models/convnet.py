"""A small convolutional network for small images, quick enough to train on a CPU."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.conv import Conv, check_images
from jaxssl.models.module import Dtype
from jaxssl.models.norm import norm
from jaxssl.models.pooling import largest
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_maps


class ConvBlock(nn.Module):
    """relu(norm(conv3x3(x))): [N, H, W, C] -> [N, ceil(H/s), ceil(W/s), features]."""

    features: int
    strides: int
    norm: str
    batch_groups: int
    implementation: str
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = Conv(self.features, 3, self.strides, self.implementation, self.dtype, name="conv")(x)
        layer = norm(self.norm, self.features, train, batch_groups=self.batch_groups, dtype=self.dtype, name="norm")
        return nn.relu(layer(x))


class ConvNet(nn.Module):
    """Blocks of 3x3 convolution, norm and ReLU, then global pooling; built by `convnet`."""

    widths: tuple
    strides: tuple
    pool: str
    norm: str
    batch_groups: int
    implementation: str
    dtype: Any
    remat: bool

    can = ("patches",)

    @nn.compact
    def _maps(self, x, train):
        """Last feature map [N, h, w, D] float32, and those of all blocks by name."""
        check_images(x, "convnet")
        block, maps = nn.remat(ConvBlock, static_argnums=(2,)) if self.remat else ConvBlock, {}
        for i, (width, stride) in enumerate(zip(self.widths, self.strides, strict=True)):
            options = (width, stride, self.norm, self.batch_groups, self.implementation, self.dtype)
            x = maps[f"block{i}"] = block(*options, name=f"block{i}")(x, train)
        return x.astype(jnp.float32), maps

    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Images x [N, H, W, C] -> `models.tokens.Tokens` of the last map; layers: 'block0', ...; hide: must be None."""
        check_hide(hide, self)
        return of_maps(*self._maps(x, train), layers, self)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`, as `pool` says."""
        return self._pool(tokens.map)

    def _pool(self, x):
        if self.pool == "mean":
            return x.mean((1, 2))
        return jnp.concatenate([x.mean((1, 2)), largest(rearrange(x, "n h w d -> n (h w) d"), 1)], axis=-1)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Images x [N, H, W, C] -> features [N, D] float32."""
        return self._pool(self._maps(x, train)[0])


def convnet(
    *,
    widths: Sequence[int] = (32, 64, 128, 256),
    strides: Sequence[int] | None = None,
    pool: str = "mean_max",
    norm: str = "batch",
    batch_groups: int = 1,
    implementation: str = "auto",
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ConvNet:
    """Small ConvNet: one block of 3x3 convolution, norm and ReLU per width.

    Args:
      widths: channels of each block.
      strides: stride of each block; default 1 for the first and 2 for the rest.
      pool: 'mean' -> D = widths[-1]; 'mean_max' concatenates global mean and maximum -> D = 2 * widths[-1].
      norm: 'batch' or 'group'.
      batch_groups: contiguous groups of the batch with own statistics, see `models.norm.GroupedBatchNorm`.
      implementation: of the convolutions, see `models.conv.Conv`.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, H, W, C], train) -> features [N, D]; method 'encode' gives the last map, `Tokens.map`.

    Raises:
      ValueError: on an unknown `pool` or strides of another length than widths.
    """
    widths = tuple(widths)
    strides = (1,) + (2,) * (len(widths) - 1) if strides is None else tuple(strides)
    if not widths or len(strides) != len(widths):
        raise ValueError(f"strides={strides}, widths={widths}: must be of one length, at least 1, for convnet.")
    if pool not in ("mean", "mean_max"):
        raise ValueError(f"pool={pool!r}: must be 'mean' or 'mean_max' for convnet.")
    return ConvNet(widths, strides, pool, norm, batch_groups, implementation, dtype, remat)
