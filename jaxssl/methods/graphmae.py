"""GraphMAE: features of random nodes are hidden, and their directions are predicted from the nodes around."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import scaled_cosine_error
from jaxssl.models.gnn import gcn_decoder
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.models.tokens import needs
from jaxssl.ops import partly_hidden
from jaxssl.ops.graph import masked_nodes
from jaxssl.skeletons.masked import Predicted, masked

CARD = Card("GraphMAE", "arXiv:2205.10803", 2022, "graph", "reconstruction", beats=("untrained",))


def graphmae(encoder: Module, *, masking_ratio: float = 0.5, replace_rate: float = 0.05, alpha: float = 3.0) -> Method:
    """GraphMAE, a masked graph autoencoder.

        x~ = x, but a learned token (or another node's features) at hidden nodes
        h  = W f(x~), set to zero at hidden nodes
        L  = mean over hidden nodes of (1 - cos(x, decoder(h)))^alpha

    floor(ratio * M) nodes of every graph of M nodes are hidden. The targets are stop-gradient.

    Args:
      encoder: a network of models.gnn, which gives all nodes.
      masking_ratio: share of hidden nodes, in (0, 1).
      replace_rate: share of the hidden nodes that get the features of another node of their graph, not the token.
      alpha: exponent of the scaled cosine error, >= 1.

    Batch: `views`, a tuple of one dict of `features` [N, M, F], `node_mask` [N, M], `senders`, `receivers`,
    `edge_mask` [N, E]. Memory: empty.

    Source: Hou, Liu, Cen, Dong, Yang, Wang, Tang, GraphMAE: Self-Supervised Masked Graph Autoencoders, 2022,
    arXiv:2205.10803, https://arxiv.org/abs/2205.10803
    """
    needs(encoder, "methods.graphmae", "patches", "widths", example="models.gnn.gcn")
    for name, value in (("masking_ratio", masking_ratio), ("replace_rate", replace_rate)):
        if not 0 <= value < 1 or (name == "masking_ratio" and not value):
            raise ValueError(f"method.{name}={value}: must lie in {'(0, 1)' if name == 'masking_ratio' else '[0, 1)'}.")
    bridge = projector((), encoder.widths[-1], bias=False, dtype=encoder.dtype)

    def hide(key, x, token):
        key_mask, key_replace, key_other = jax.random.split(key, 3)
        # Of the largest graph that a batch has room for: how many nodes the others have is known to the data alone.
        nodes = x["node_mask"].shape[1]
        partly_hidden(int(masking_ratio * nodes + 1e-4), nodes, option=f"method.masking_ratio={masking_ratio}")
        hidden = masked_nodes(key_mask, x["node_mask"], masking_ratio)
        replaced = hidden & jax.random.bernoulli(key_replace, replace_rate, hidden.shape)
        # The nodes of a graph come ahead of its padding.
        count = x["node_mask"].sum(1, keepdims=True)
        other = jnp.floor(jax.random.uniform(key_other, hidden.shape) * count).astype(jnp.int32)
        others = jnp.take_along_axis(x["features"], other[..., None], axis=1)
        features = jnp.where(hidden[..., None], token, x["features"])
        return hidden, jnp.where(replaced[..., None], others, features)

    def forward_pass(nets, x, key):
        width = x["features"].shape[-1]
        hidden, features = hide(key, x, nets.param("mask_token", lambda: jnp.zeros(width)))
        h = nets("encoder", encoder, {**x, "features": features}, method="encode").patches
        z = jnp.where(hidden[..., None], 0.0, nets("bridge", bridge, h))
        pred = nets("decoder", gcn_decoder(width, encoder.dtype), z, x)
        return Predicted(scaled_cosine_error(pred, x["features"], masked=hidden, alpha=alpha), h[:, 0])

    return masked(encoder, forward_pass, ("encoder", "bridge", "decoder"))
