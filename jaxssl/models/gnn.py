"""Message-passing networks on padded graphs."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.tokens import Hide, Tokens, check_hide, check_layers
from jaxssl.ops.graph import propagate

propagate_all = jax.vmap(propagate)


class GCNLayer(nn.Module):
    """propagate(h W) + b: [N, M, D] -> [N, M, features]; see `ops.graph.propagate`."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, h: jax.Array, x: Mapping[str, jax.Array]) -> jax.Array:
        h = Dense(self.features, use_bias=False, dtype=self.dtype, name="linear")(h)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return propagate_all(h, x["senders"], x["receivers"], x["edge_mask"]) + bias.astype(self.dtype)


class PReLU(nn.Module):
    """max(x, 0) + a min(x, 0), with one learned a, initially 0.25."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        slope = self.param("slope", nn.initializers.constant(0.25), (1,), jnp.float32).astype(x.dtype)
        return jnp.where(x > 0, x, slope * x)


class GCN(nn.Module):
    """Graph convolutions with PReLU; built by `gcn`."""

    widths: tuple
    dtype: Any
    remat: bool

    can = ("patches",)

    @nn.compact
    def encode(
        self, x: Mapping[str, jax.Array], train: bool = False, hide: Hide | None = None, layers: Sequence[str] = ()
    ) -> Tokens:
        """Graphs x -> `models.tokens.Tokens` [N, M, D] of all nodes, with x's `node_mask` where it has one.

        train: has no effect. hide: must be None; nodes are hidden in x. layers: 'layer0', ..., after its PReLU.
        """
        check_hide(hide, self)
        check_layers(layers, [f"layer{i}" for i in range(len(self.widths))], self)
        h, outputs = x["features"].astype(self.dtype), {}
        layer = nn.remat(GCNLayer) if self.remat else GCNLayer
        for i, width in enumerate(self.widths):
            h = outputs[f"layer{i}"] = PReLU(name=f"act{i}")(layer(width, self.dtype, name=f"layer{i}")(h, x))
        made = lambda h, **more: Tokens(h.astype(jnp.float32), h.shape[1:2], mask=x.get("node_mask"), **more)
        return made(h, layers={name: made(outputs[name]) for name in layers})

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: those of the first node of every graph."""
        return tokens.h[:, 0]

    def __call__(self, x: Mapping[str, jax.Array]) -> jax.Array:
        """Features of the first node of every graph, [N, D] float32."""
        return self.pooled(self.encode(x))


def gcn(*, widths: Sequence[int] = (256, 256), dtype: Dtype = "float32", remat: bool = False) -> GCN:
    """Graph convolutional network.

        h' = PReLU(D^-1/2 (A + I) D^-1/2 h W + b), a layer for every width

    Args:
      widths: of the layers; the last one is D.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each layer in the backward pass.

    Returns:
      Flax module: x, a dict of `features` [N, M, F], `senders`, `receivers` int [N, E] and `edge_mask` bool [N, E],
      -> features [N, D] of the first node of every graph; method 'encode' gives those of all nodes.

    Source: Kipf, Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2016, arXiv:1609.02907,
    https://arxiv.org/abs/1609.02907
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths={tuple(widths)}: must be one number or more, each at least 1, for gcn.")
    return GCN(tuple(widths), dtype, remat)


def gcn_decoder(features: int, dtype: Dtype = "float32") -> GCNLayer:
    """One graph convolution: Flax module (h [N, M, D], graphs x as in `gcn`) -> [N, M, features]."""
    return GCNLayer(features, dtype)
