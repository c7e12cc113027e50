"""Floors for graphs: the features of a node, those of its surroundings, and its place in the graph alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators.features import EvaluationData
from jaxssl.ops.graph import propagate


def propagated(data: EvaluationData, preprocess: Callable, *, num_steps: int = 2) -> Callable:
    """The features of the first node of every graph after `num_steps` of message passing without weights; 0 = its own.

    Where the data has a whole graph as context, of the nodes of the batch in that graph.
    """
    del data

    @jax.jit
    def predict(params, memory, batch):
        del params
        if "senders" in memory.get("context", {}):
            graph = memory["context"]
            h, ends = graph["features"], (graph["senders"], graph["receivers"])
            for _ in range(num_steps):
                h = propagate(h, *ends, jnp.ones(len(ends[0]), bool))
            return {"features": h[batch["node"]]}
        x = preprocess(None, batch)["x"]
        h = x["features"]
        for _ in range(num_steps):
            h = jax.vmap(propagate)(h, x["senders"], x["receivers"], x["edge_mask"])
        return {"features": h[:, 0].astype(jnp.float32)}

    return predict


def spectral(data: EvaluationData, preprocess: Callable, *, dim: int = 64, seed: int = 0) -> Callable:
    """Spectral embedding: eigenvectors of the normalised adjacency (with self-loops) of the whole graph, without features.

    Source: Belkin, Niyogi, Laplacian Eigenmaps for Dimensionality Reduction and Data Representation, 2003,
      doi:10.1162/089976603321780317
    """
    del preprocess
    table = []

    def embedding():
        import scipy.sparse
        import scipy.sparse.linalg

        edges, size = data.extra["edges"], 1 + max(int(data.extra[k].max()) for k in ("edges", "train_nodes"))
        size = max(size, 1 + int(max(data.extra.get("test_nodes", [0]))))
        ones = np.ones(len(edges))
        half = scipy.sparse.coo_matrix((ones, (edges[:, 0], edges[:, 1])), (size, size))
        adjacency = (half + half.T + scipy.sparse.identity(size)).tocsr()
        scale = scipy.sparse.diags(1 / np.sqrt(np.asarray(adjacency.sum(1)).ravel()))
        start = np.random.default_rng(seed).normal(size=size)
        _, vectors = scipy.sparse.linalg.eigsh(scale @ adjacency @ scale, k=min(dim, size - 2), v0=start)
        return vectors.astype(np.float32)

    def predict(params, memory, batch):
        del params, memory
        if not table:
            table.append(embedding())
        return {"features": table[0][np.asarray(batch["node"])]}

    return predict
