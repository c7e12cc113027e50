"""Residual networks, with the stride in the 3x3 convolution as in the public ResNet checkpoints.

Source: He et al., Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385,
https://arxiv.org/abs/1512.03385
"""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.conv import Conv, check_images
from jaxssl.models.module import Dtype
from jaxssl.models.norm import norm
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_maps

EXPANSION = {"basic": 1, "bottleneck": 4}


class Residual(nn.Module):
    """relu(shortcut(x) + branch(x)): [N, H, W, C] -> [N, ceil(H/s), ceil(W/s), channels * expansion].

    The branch is 3x3, 3x3 ('basic') or 1x1, 3x3, 1x1 ('bottleneck').
    """

    block: str
    channels: int
    strides: int
    norm: str
    batch_groups: int
    zero_init_last: bool
    implementation: str
    dtype: Any

    def _conv_norm(self, x, train, index, features, size, strides=1, last=False):
        conv, bn = (f"conv{index}", f"bn{index}") if index else ("downsample_conv", "downsample_bn")
        x = Conv(features, size, strides, self.implementation, self.dtype, name=conv)(x)
        layer = norm(
            self.norm,
            features,
            train,
            batch_groups=self.batch_groups,
            zero_init=last and self.zero_init_last,
            dtype=self.dtype,
            name=bn,
        )
        return layer(x)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        out = self.channels * EXPANSION[self.block]
        if self.block == "basic":
            h = nn.relu(self._conv_norm(x, train, 1, self.channels, 3, self.strides))
            h = self._conv_norm(h, train, 2, out, 3, last=True)
        else:
            h = nn.relu(self._conv_norm(x, train, 1, self.channels, 1))
            h = nn.relu(self._conv_norm(h, train, 2, self.channels, 3, self.strides))
            h = self._conv_norm(h, train, 3, out, 1, last=True)
        if self.strides != 1 or x.shape[-1] != out:
            x = self._conv_norm(x, train, 0, out, 1, self.strides)
        return nn.relu(x + h)


class ResNet(nn.Module):
    """Residual network; built by `resnet` and its named sizes."""

    layers: tuple
    block: str
    channels: tuple
    stem_width: int
    stem: str
    norm: str
    batch_groups: int
    zero_init_last: bool
    implementation: str
    dtype: Any
    remat: bool

    can = ("patches",)

    @nn.compact
    def _maps(self, x, train):
        """Last feature map [N, h, w, D] float32, and those of all blocks and stages by name."""
        check_images(x, "resnet")
        imagenet = self.stem == "imagenet"
        size, strides = (7, 2) if imagenet else (3, 1)
        x = Conv(self.stem_width, size, strides, self.implementation, self.dtype, name="conv1")(x)
        layer = norm(self.norm, self.stem_width, train, batch_groups=self.batch_groups, dtype=self.dtype, name="bn1")
        x = nn.relu(layer(x))
        if imagenet:
            x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
        block, maps = nn.remat(Residual, static_argnums=(2,)) if self.remat else Residual, {}
        for stage, (depth, channels) in enumerate(zip(self.layers, self.channels, strict=True)):
            for i in range(depth):
                x = maps[f"layer{stage + 1}_{i}"] = block(
                    self.block,
                    channels,
                    2 if stage > 0 and i == 0 else 1,
                    self.norm,
                    self.batch_groups,
                    self.zero_init_last,
                    self.implementation,
                    self.dtype,
                    name=f"layer{stage + 1}_{i}",
                )(x, train)
            maps[f"layer{stage + 1}"] = x
        return x.astype(jnp.float32), maps

    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Images x [N, H, W, C] -> `models.tokens.Tokens` of the last map.

        layers: 'layer1_0' for a block's map, 'layer1' for that of a stage's last block. hide: must be None.
        """
        check_hide(hide, self)
        return of_maps(*self._maps(x, train), layers, self)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: their mean over the map."""
        return tokens.map.mean((1, 2))

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Images x [N, H, W, C] -> mean-pooled features [N, D] float32."""
        return self._maps(x, train)[0].mean((1, 2))


def resnet(
    *,
    layers: Sequence[int],
    block: str = "basic",
    channels: Sequence[int] | None = None,
    width: int = 64,
    stem_width: int | None = None,
    stem: str = "imagenet",
    norm: str = "batch",
    batch_groups: int = 1,
    zero_init_last: bool = True,
    implementation: str = "auto",
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ResNet:
    """ResNet of any size; the number of input channels is inferred.

    Args:
      layers: blocks of each stage; stages after the first halve the resolution.
      block: 'basic', or 'bottleneck' (output channels times 4).
      channels: inner channels of each stage; default width, 2 width, 4 width, ...
      width: base number of channels, 64 as published; 128 gives the "2x" networks.
      stem_width: output channels of the first convolution; default `width`.
      stem: 'imagenet' (7x7 stride 2, 3x3 max pooling stride 2) or '3x3' (3x3 stride 1) for small images.
      norm: 'batch', or 'group' (group norm, no batch statistics).
      batch_groups: contiguous groups of the batch with own statistics, see `models.norm.GroupedBatchNorm`.
      zero_init_last: start the scale of the last norm of each block at 0, so that blocks begin as identities.
        The convolutions of the branch then have exactly zero gradient in the very first step.
      implementation: of the convolutions, see `models.conv.Conv`.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, H, W, C], train) -> [N, D]; method 'encode' gives the unpooled map, `Tokens.map`.

    Raises:
      ValueError: on an unknown block or stem, channels and layers of unequal lengths.
    """
    layers = tuple(layers)
    channels = tuple(width * 2**i for i in range(len(layers))) if channels is None else tuple(channels)
    if block not in EXPANSION:
        raise ValueError(f"block={block!r}: must be 'basic' or 'bottleneck' for resnet.")
    if stem not in ("imagenet", "3x3"):
        raise ValueError(f"stem={stem!r}: must be 'imagenet' or '3x3' for resnet.")
    if not layers or len(channels) != len(layers):
        raise ValueError(f"channels={channels}, layers={layers}: must be of one length, at least 1, for resnet.")
    stem_width = width if stem_width is None else stem_width
    return ResNet(
        layers,
        block,
        channels,
        stem_width,
        stem,
        norm,
        batch_groups,
        zero_init_last,
        implementation,
        dtype,
        remat,
    )


def _named(name, layers, block):
    factory = functools.partial(resnet, layers=layers, block=block)
    factory.__name__ = name
    dim = 8 * EXPANSION[block]
    factory.__doc__ = f"{name}: layers={layers}, block={block!r}, D = {dim} * width; options as in `resnet`."
    return factory


resnet18 = _named("resnet18", (2, 2, 2, 2), "basic")
resnet34 = _named("resnet34", (3, 4, 6, 3), "basic")
resnet50 = _named("resnet50", (3, 4, 6, 3), "bottleneck")
