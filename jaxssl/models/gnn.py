"""Message-passing networks on padded graphs."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.tokens import Hide, Tokens, check_hide, check_layers
from jaxssl.ops.graph import propagate, segment_softmax

propagate_all = jax.vmap(propagate)
# torch's xavier_normal_ with the gain of a ReLU.
TORCH_XAVIER = nn.initializers.variance_scaling(2.0, "fan_avg", "normal")


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


class GraphNetwork(nn.Module):
    """Layers over the nodes of graphs, each with a PReLU: the part that `GCN` and `GAT` share."""

    can = ("patches",)

    @nn.nowrap
    def layer(self, i: int) -> Callable[..., jax.Array]:
        """Layer i, (h [N, M, D], x, train) -> [N, M, widths[i]]."""
        raise NotImplementedError

    @nn.compact
    def encode(
        self, x: Mapping[str, jax.Array], train: bool = False, hide: Hide | None = None, layers: Sequence[str] = ()
    ) -> Tokens:
        """Graphs x -> `models.tokens.Tokens` [N, M, D] of all nodes, with x's `node_mask` where it has one.

        train: with dropout, where the network has it. hide: must be None; a node is hidden in its features. layers:
        'layer0', ..., after its PReLU.
        """
        check_hide(hide, self)
        check_layers(layers, [f"layer{i}" for i in range(len(self.widths))], self)
        h, outputs = _features(x).astype(self.dtype), {}
        for i in range(len(self.widths)):
            h = outputs[f"layer{i}"] = PReLU(name=f"act{i}")(self.layer(i)(h, x, train))
        made = lambda h, **more: Tokens(h.astype(jnp.float32), h.shape[1:2], mask=x.get("node_mask"), **more)
        return made(h, layers={name: made(outputs[name]) for name in layers})

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: those of the first node of every graph."""
        return tokens.h[:, 0]

    def __call__(self, x: Mapping[str, jax.Array], train: bool = False) -> jax.Array:
        """Features of the nodes that x is about (`of_nodes`), [N, D] float32."""
        return of_nodes(self.encode(x, train).h, x)


class GCN(GraphNetwork):
    """Graph convolutions with PReLU; built by `gcn`."""

    widths: tuple
    dtype: Any
    remat: bool

    @nn.nowrap
    def layer(self, i: int) -> Callable[..., jax.Array]:
        """Layer i, (h [N, M, D], x, train) -> [N, M, widths[i]]; train has no effect."""
        kind = nn.remat(GCNLayer) if self.remat else GCNLayer
        made = kind(self.widths[i], self.dtype, name=f"layer{i}")
        return lambda h, x, train: made(h, x)

    @nn.nowrap
    def decoder(self, features: int) -> nn.Module:
        """One layer of the same kind, [N, M, D] -> [N, M, features]: module (h, x)."""
        return GCNLayer(features, self.dtype)


def gcn(*, widths: Sequence[int] = (256, 256), dtype: Dtype = "float32", remat: bool = False) -> GCN:
    """Graph convolutional network.

        h' = PReLU(D^-1/2 (A + I) D^-1/2 h W + b), a layer for every width

    Args:
      widths: of the layers; the last one is D.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each layer in the backward pass.

    Returns:
      Flax module: x, a dict of `features` [N, M, F], `senders`, `receivers` int [N, E] and `edge_mask` bool [N, E],
      -> features [N, D] of the first node of every graph, or of the nodes `rows` int [N] of one graph where x has
      them; method 'encode' gives those of all nodes.

    Source: Kipf, Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2016, arXiv:1609.02907,
    https://arxiv.org/abs/1609.02907
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths={tuple(widths)}: must be one number or more, each at least 1, for gcn.")
    return GCN(tuple(widths), dtype, remat)


class GATLayer(nn.Module):
    """Attention of every node over itself and the senders of its edges, [N, M, D] -> [N, M, num_heads * features]."""

    features: int
    num_heads: int
    feature_dropout: float
    attention_dropout: float
    negative_slope: float
    residual: bool
    norm: str | None
    dtype: Any

    @nn.compact
    def __call__(self, h: jax.Array, x: Mapping[str, jax.Array], train: bool) -> jax.Array:
        """h [N, M, D] and the edges of x -> [N, M, num_heads * features]."""
        heads, width = self.num_heads, self.num_heads * self.features
        dense = lambda name: Dense(width, use_bias=False, kernel_init=TORCH_XAVIER, dtype=self.dtype, name=name)
        h = nn.Dropout(self.feature_dropout, deterministic=not train)(h)
        value = dense("linear")(h).reshape(*h.shape[:-1], heads, self.features)
        spread = nn.initializers.normal(2 / math.sqrt(self.features * (heads + 1)))
        of_sender, of_receiver = (
            jnp.sum(value * self.param(name, spread, (heads, self.features), jnp.float32).astype(self.dtype), axis=-1)
            for name in ("sender", "receiver")
        )
        # Every node is also its own sender.
        own = jnp.broadcast_to(jnp.arange(h.shape[1]), h.shape[:2])
        senders, receivers = (jnp.concatenate([x[name], own], axis=1) for name in ("senders", "receivers"))
        mask = jnp.concatenate([x["edge_mask"], jnp.ones(own.shape, bool)], axis=1)
        at = lambda nodes, ids: jax.vmap(lambda n, i: n[i])(nodes, ids)
        logits = nn.leaky_relu(at(of_sender, senders) + at(of_receiver, receivers), self.negative_slope)
        weight = jax.vmap(lambda *a: segment_softmax(a[0], a[1], h.shape[1], a[2]))(logits, receivers, mask)
        weight = nn.Dropout(self.attention_dropout, deterministic=not train)(weight)
        message = jnp.where(mask[..., None, None], weight[..., None] * at(value, senders), 0)
        message = message.reshape(*mask.shape, width)
        out = jax.vmap(lambda m, r: jax.ops.segment_sum(m, r, h.shape[1]))(message, receivers)
        out = out + self.param("bias", nn.initializers.zeros, (width,), jnp.float32).astype(self.dtype)
        if self.residual:
            out = out + (h if h.shape[-1] == width else dense("skip")(h))
        return nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm")(out) if self.norm == "layer" else out


class GAT(GraphNetwork):
    """Layers of graph attention with PReLU; built by `gat`."""

    widths: tuple
    num_heads: int
    feature_dropout: float
    attention_dropout: float
    negative_slope: float
    residual: bool
    norm: str | None
    dtype: Any
    remat: bool

    @nn.nowrap
    def layer(self, i: int) -> Callable[..., jax.Array]:
        """Layer i, (h [N, M, D], x, train) -> [N, M, widths[i]]."""
        kind = nn.remat(GATLayer, static_argnums=(3,)) if self.remat else GATLayer
        options = (self.feature_dropout, self.attention_dropout, self.negative_slope, self.residual, self.norm)
        return kind(self.widths[i] // self.num_heads, self.num_heads, *options, self.dtype, name=f"layer{i}")

    @nn.nowrap
    def decoder(self, features: int) -> nn.Module:
        """One layer of one head with the same dropout, [N, M, D] -> [N, M, features]: module (h, x, train)."""
        options = (self.feature_dropout, self.attention_dropout, self.negative_slope, False, None)
        return GATLayer(features, 1, *options, self.dtype)


def gat(
    *,
    widths: Sequence[int] = (256, 256),
    num_heads: int = 4,
    feature_dropout: float = 0.0,
    attention_dropout: float = 0.0,
    negative_slope: float = 0.2,
    residual: bool = False,
    norm: Literal["layer"] | None = None,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> GAT:
    """Graph attention network, every node also a sender to itself.

        a_ij = softmax over senders j of leaky_relu(s . W h_j + r . W h_i),   h'_i = PReLU(norm(sum_j a_ij W h_j + b + skip_i))

    for every head; heads are concatenated. skip is h_i, or V h_i where the width changes. W and V start from a normal
    distribution of variance 4 / (fan in + fan out), s and r of 4 / (width of a head * (heads + 1)).

    Args:
      widths: of the layers, all heads together; the last one is D.
      num_heads: of every layer; divides the widths.
      feature_dropout: of the input of every layer, of the skip too.
      attention_dropout: of a_ij.
      negative_slope: of the leaky ReLU.
      residual: with the skip.
      norm: 'layer', or none.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each layer in the backward pass.

    Returns:
      Flax module (x, train); x and features as in `gcn`.

    Source: Velickovic, Cucurull, Casanova, Romero, Lio, Bengio, Graph Attention Networks, 2017, arXiv:1710.10903,
    https://arxiv.org/abs/1710.10903; start and dropout are those of GraphMAE's release.
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths={tuple(widths)}: must be one number or more, each at least 1, for gat.")
    if num_heads < 1 or any(width % num_heads for width in widths):
        raise ValueError(f"encoder.num_heads={num_heads}: must divide the widths {tuple(widths)}.")
    for name, rate in (("feature_dropout", feature_dropout), ("attention_dropout", attention_dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"encoder.{name}={rate}: must lie in [0, 1).")
    if norm not in (None, "layer"):
        raise ValueError(f"encoder.norm={norm!r}: must be None or 'layer'.")
    options = (feature_dropout, attention_dropout, negative_slope, residual, norm)
    return GAT(tuple(widths), num_heads, *options, dtype, remat)


class Bridge(nn.Module):
    """A linear map without bias; built by `bridge`."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """[..., D] -> [..., features]."""
        start = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
        # The name that it has in checkpoints of earlier versions.
        return Dense(self.features, use_bias=False, kernel_init=start, dtype=self.dtype, name="linear0")(h)


def bridge(features: int, dtype: Dtype = "float32") -> nn.Module:
    """A linear map without bias that starts as torch's does, uniform of variance 1 / (3 * fan in)."""
    return Bridge(features, dtype)


def of_nodes(h: jax.Array, x: Mapping[str, Any]) -> jax.Array:
    """Features [N, D] of the nodes that a batch is about, of all nodes h [N, M, D].

    They are the first node of every graph; or the nodes x['rows'] int [N] of the one graph, h [1, M, D].
    """
    return h[0, x["rows"]] if "rows" in x else h[:, 0]


def _features(x):
    if not isinstance(x, Mapping):
        raise ValueError(
            f"views: networks of models.gnn need graphs, got an array of shape {jnp.shape(x)}; data.whole=True, or"
            " augment.name='augment.graph.ego' and data.whole=False, would be right."
        )
    return x["features"]
