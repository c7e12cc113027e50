"""A method of graphs on one graph, the whole one, that lies in the data's context."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxssl.core import Batch, Method


def graph_of(context: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """The graph of a context as a batch of one graph, as networks of `models.gnn` take it.

    Args:
      context: `features` [n, F], `senders`, `receivers` int [E] (see `data.readers.graph`).
      rows: int [N], the nodes that the batch is about.
    """
    features, senders = context["features"], context["senders"]
    return {
        "features": features[None],
        "node_mask": jnp.ones((1, len(features)), bool),
        "senders": senders[None],
        "receivers": context["receivers"][None],
        "edge_mask": jnp.ones((1, len(senders)), bool),
        "rows": rows,
    }


def on_whole_graph(method: Method) -> Method:
    """The method, whose view and input are the whole graph where the data's context has one.

    Every step then sees all nodes, and `predict` gives the features of the nodes of its batch. Without a graph in the
    context the method is as it was.
    """

    def given(held: Mapping[str, Any], batch: Batch) -> Batch:
        context = held.get("context", {})
        if "senders" not in context:
            return batch
        x = graph_of(context, batch["node"])
        return {**batch, "views": (x,), "x": x}

    def init(key, batch):
        return method.init(key, given(batch, batch))

    def loss(params, memory, batch, key, step):
        return method.loss(params, memory, given(memory, batch), key, step)

    def predict(params, memory, batch):
        return method.predict(params, memory, given(memory, batch))

    return method._replace(init=init, loss=loss, predict=predict, split=None)
