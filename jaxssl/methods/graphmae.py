"""GraphMAE: features of random nodes are hidden, and their directions are predicted from the nodes around."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import masked_token_mse, scaled_cosine_error
from jaxssl.models.gnn import bridge, of_nodes
from jaxssl.models.module import Module
from jaxssl.models.tokens import needs
from jaxssl.ops import partly_hidden
from jaxssl.ops.graph import drop_edges, masked_nodes, replacements
from jaxssl.skeletons.masked import Predicted, masked
from jaxssl.skeletons.whole_graph import on_whole_graph

CARD = Card("GraphMAE", "arXiv:2205.10803", 2022, "graph", "reconstruction", beats=("untrained",))


def graphmae(
    encoder: Module,
    *,
    masking_ratio: float = 0.5,
    replace_rate: float = 0.05,
    drop_edge_rate: float = 0.0,
    alpha: float = 3.0,
    error: Literal["scaled_cosine", "squared"] = "scaled_cosine",
) -> Method:
    """GraphMAE, a masked graph autoencoder.

        x~ = x, but a learned token (or another node's features) at hidden nodes
        h  = W f(x~, edges that are kept), set to zero at hidden nodes
        L  = mean over hidden nodes of (1 - cos(x, decoder(h, all edges)))^alpha

    floor(ratio * M) nodes of every graph of M nodes are hidden. The decoder is one layer of the encoder's kind. The
    targets are stop-gradient.

    As published where the data's context has the whole graph (`data.whole=True`): every step sees all nodes, and the
    batch only says whose features the monitor watches. Else every example is the graph around a node, with ratio and
    replacements inside a batch of these; the publication has no such form, which is for graphs that fit no memory.

    The release differs in this: its edges that are left out take their nodes' own loops along and get them back, so that
    the loops that were not left out count twice (here once); by rounding it leaves a hidden node as it is (here the
    token); its decoder may be another kind of network than its encoder; its features may be those of all layers side by
    side (an option that none of its settings takes).

    Args:
      encoder: a network of models.gnn, which gives all nodes; the publication's is `models.gnn.gat`.
      masking_ratio: share of hidden nodes, in (0, 1).
      replace_rate: share of the hidden nodes that get the features of another node, drawn from all nodes of the batch or
        of the whole graph, none twice; not the token.
      drop_edge_rate: chance of every edge, in each direction, to be kept from the encoder, in [0, 1).
      alpha: exponent of the scaled cosine error, >= 1.
      error: 'squared' takes the mean of (x - decoder(h))^2 over hidden nodes and features; for comparison.

    Batch: `views`, a tuple of one dict of `features` [N, M, F], `node_mask` [N, M], `senders`, `receivers`,
    `edge_mask` [N, E], and perhaps `all_edges` [N, E], the mask that the decoder sees; or `node` int [N], with the context
    of `data.readers.graph`. Memory: empty.

    Source: Hou, Liu, Cen, Dong, Yang, Wang, Tang, GraphMAE: Self-Supervised Masked Graph Autoencoders, 2022,
    arXiv:2205.10803, https://arxiv.org/abs/2205.10803
    """
    needs(encoder, "methods.graphmae", "patches", "widths", "decoder", example="models.gnn.gat")
    for name, value in (("masking_ratio", masking_ratio), ("replace_rate", replace_rate)):
        if not 0 <= value < 1 or (name == "masking_ratio" and not value):
            raise ValueError(f"method.{name}={value}: must lie in {'(0, 1)' if name == 'masking_ratio' else '[0, 1)'}.")
    if not 0 <= drop_edge_rate < 1:
        raise ValueError(f"method.drop_edge_rate={drop_edge_rate}: must lie in [0, 1).")
    if error not in ("scaled_cosine", "squared"):
        raise ValueError(f"method.error={error!r}: must be 'scaled_cosine' or 'squared'.")

    def hide(key, x, token):
        key_mask, key_replace, key_other = jax.random.split(key, 3)
        # Of the largest graph that a batch has room for: how many nodes the others have is known to the data alone.
        nodes = x["node_mask"].shape[1]
        partly_hidden(int(masking_ratio * nodes + 1e-4), nodes, option=f"method.masking_ratio={masking_ratio}")
        hidden = masked_nodes(key_mask, x["node_mask"], masking_ratio)
        features = jnp.where(hidden[..., None], token, x["features"])
        if not replace_rate:
            return hidden, features
        # One share of all hidden nodes of the batch: of a small graph it would often be none.
        replaced = masked_nodes(key_replace, hidden.reshape(1, -1), replace_rate).reshape(hidden.shape)
        every = x["features"].reshape(-1, x["features"].shape[-1])
        others = every[replacements(key_other, replaced, x["node_mask"])]
        return hidden, jnp.where(replaced[..., None], others, features)

    def forward_pass(nets, x, key):
        width, (key_hide, key_edges, key_encoder, key_decoder) = x["features"].shape[-1], jax.random.split(key, 4)
        hidden, features = hide(key_hide, x, nets.param("mask_token", lambda: jnp.zeros(width)))
        kept = drop_edges(key_edges, x["edge_mask"], drop_edge_rate) if drop_edge_rate else x["edge_mask"]
        seen = {**x, "features": features, "edge_mask": kept}
        whole = {**x, "edge_mask": x.get("all_edges", x["edge_mask"])}
        h = nets("encoder", encoder, seen, key=key_encoder, method="encode").patches
        z = jnp.where(hidden[..., None], 0.0, nets("bridge", bridge(encoder.widths[-1], encoder.dtype), h))
        pred = nets("decoder", encoder.decoder(width), z, whole, key=key_decoder).astype(jnp.float32)
        if error == "squared":
            value = masked_token_mse(pred, x["features"], hidden, normalize_targets=False)
        else:
            value = scaled_cosine_error(pred, x["features"], masked=hidden, alpha=alpha)
        return Predicted(value, of_nodes(h, x))

    return on_whole_graph(masked(encoder, forward_pass, ("encoder", "bridge", "decoder")))
