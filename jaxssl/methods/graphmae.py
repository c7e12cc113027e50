"""GraphMAE: features of random nodes are hidden, and their directions are predicted from the nodes around."""

import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.losses import scaled_cosine_error
from jaxssl.models.gnn import gcn_decoder
from jaxssl.models.heads import projector
from jaxssl.models.module import forward, setup
from jaxssl.ops import partly_hidden
from jaxssl.ops.graph import masked_nodes


def graphmae(encoder, *, masking_ratio: float = 0.5, replace_rate: float = 0.05, alpha: float = 3.0) -> Method:
    """Masked graph autoencoder.

        x~ = x, but a learned token (or another node's features) at hidden nodes
        h  = W f(x~), set to zero at hidden nodes
        L  = mean over hidden nodes of (1 - cos(x, decoder(h)))^alpha

    Hidden are floor(ratio * M) nodes of every graph of M nodes. The targets are stop-gradient.

    Args:
      encoder: a network of models.gnn, with the method `nodes`.
      masking_ratio: share of hidden nodes, in (0, 1).
      replace_rate: share of the hidden nodes that get the features of another node of their graph, not the token.
      alpha: exponent of the scaled cosine error, >= 1.

    Batch: `views`, a tuple of one dict of `features` [N, M, F], `node_mask` [N, M], `senders`, `receivers`,
    `edge_mask` [N, E]. Memory: empty but for `stats`.

    Source: Hou, Liu, Cen, Dong, Yang, Wang, Tang, GraphMAE: Self-Supervised Masked Graph Autoencoders, 2022,
    arXiv:2205.10803, https://arxiv.org/abs/2205.10803
    """
    if not hasattr(encoder, "nodes"):
        raise TypeError("methods.graphmae needs an encoder that gives all nodes: encoder.name='models.gnn.gcn'.")
    for name, value in (("masking_ratio", masking_ratio), ("replace_rate", replace_rate)):
        if not 0 <= value < 1 or (name == "masking_ratio" and not value):
            raise ValueError(f"method.{name}={value}: must lie in (0, 1)")
    width = encoder.widths[-1]
    bridge = projector((), width, bias=False, dtype=encoder.dtype)

    def hide(key, x, token):
        key_mask, key_replace, key_other = jax.random.split(key, 3)
        masked = masked_nodes(key_mask, x["node_mask"], masking_ratio)
        replaced = masked & jax.random.bernoulli(key_replace, replace_rate, masked.shape)
        # The nodes of a graph come ahead of its padding.
        count = x["node_mask"].sum(1, keepdims=True)
        other = jnp.floor(jax.random.uniform(key_other, masked.shape) * count).astype(jnp.int32)
        others = jnp.take_along_axis(x["features"], other[..., None], axis=1)
        hidden = jnp.where(masked[..., None], token, x["features"])
        return masked, jnp.where(replaced[..., None], others, hidden)

    def init(key, batch):
        x, (key_encoder, key_bridge, key_decoder) = batch["views"][0], jax.random.split(key, 3)
        # Of the largest graph that a batch has room for: how many nodes the others have is known to the data alone.
        nodes = x["node_mask"].shape[1]
        partly_hidden(int(masking_ratio * nodes + 1e-4), nodes, option=f"method.masking_ratio={masking_ratio}")
        decoder, params = gcn_decoder(x["features"].shape[-1], encoder.dtype), {}
        params["encoder"], _ = setup(encoder, key_encoder, x)
        h = jnp.zeros((*x["features"].shape[:2], width))
        params["bridge"], _ = setup(bridge, key_bridge, h)
        params["decoder"], _ = setup(decoder, key_decoder, h, x)
        params["mask_token"] = jnp.zeros(x["features"].shape[-1:])
        return params, {"stats": {"encoder": {}}}

    def loss(params, memory, batch, key, step):
        x = batch["views"][0]
        masked, features = hide(key, x, params["mask_token"])
        h, _ = forward(encoder, params["encoder"], {}, x, features, method="nodes")
        z, _ = forward(bridge, params["bridge"], {}, h, train=True)
        z = jnp.where(masked[..., None], 0.0, z)
        pred, _ = forward(gcn_decoder(x["features"].shape[-1], encoder.dtype), params["decoder"], {}, z, x)
        value = scaled_cosine_error(pred, x["features"], masked=masked, alpha=alpha)
        return value, (memory, {"features": h[None, :, 0]})

    def predict(params, memory, batch):
        h, _ = forward(encoder, params["encoder"], {}, batch["x"])
        return {"features": h}

    return Method(init, loss, predict)
