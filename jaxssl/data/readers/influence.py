"""Nodes of a graph with the nodes that influence them: their largest entries in a power of the adjacency."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxssl.data.readers.graph import read_graph, split_graph
from jaxssl.data.reading import MAX_FILE_MB
from jaxssl.data.sets.debian_graph import DEBIAN_FILE
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.whole_graph import check_matrix, whole_splits
from jaxssl.names import shown


def influence(
    *,
    path: str | None = None,
    whole: bool = False,
    power: int = 2,
    cumulative: bool = False,
    num_neighbors: int = 64,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """The nodes of a graph of one's own, or, without `path`, of the bundled one; see `data.readers.graph`.

    An example: `features` float32 [F], `node` its number, `neighbors` int32 [num_neighbors] the numbers of the nodes
    that influence it most (-1 = none), `weights` float32 [num_neighbors] their entries of A^power, or with
    `cumulative` of A + ... + A^power, where A = D^-1 (adjacency + I).

    Args:
      path: as in `data.readers.graph`.
      whole: `Source.context` has the `features` float32 [n, F] of all nodes and their `influence` float32 [n, n], the
        whole matrix; an example is `features` and `node`. For methods that see all nodes in every step.
      power: of A; 0 is the identity, no influence of others.
      cumulative: the sum of the powers up to `power`.
      num_neighbors: the number of influences that are kept of a node, the largest ones.
      test_fraction: part of the nodes whose features and labels only the evaluation sees.
      seed: of the split.
      limit: number of training nodes, and a quarter as many test nodes; with `whole` as in `data.readers.graph`.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError: naming file and row, or the option.
    """
    features, edges, label, class_names, names = read_graph(path, max_file_mb)
    where = shown(path or DEBIAN_FILE.name)
    options = (whole, power, cumulative, num_neighbors, test_fraction, seed, limit)
    return influence_splits(features, edges, label, class_names, names, where, *options)


def adjacency_power(edges: np.ndarray, size: int, power: int, *, cumulative: bool = False) -> Any:
    """A^power, or A + ... + A^power, of A = D^-1 (adjacency + I), as a SciPy sparse matrix [size, size].

    Args:
      edges: int [E, 2], undirected, each once.
      size: number of nodes.
      power: of A; 0 gives the identity.
      cumulative: the sum of the powers up to `power`.
    """
    import scipy.sparse

    if not power:
        return scipy.sparse.identity(size, format="csr")
    half = scipy.sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (size, size))
    adjacency = (half + half.T + scipy.sparse.identity(size)).tocsr()
    adjacency = scipy.sparse.diags(1 / np.asarray(adjacency.sum(1)).ravel()) @ adjacency
    result = total = adjacency
    for _ in range(power - 1):
        result = result @ adjacency
        total = total + result
    return (total if cumulative else result).tocsr()


def influence_splits(
    features: np.ndarray,
    edges: np.ndarray,
    label: np.ndarray | None,
    class_names: Sequence[str] | None,
    names: np.ndarray | None,
    where: str,
    whole: bool,
    power: int,
    cumulative: bool,
    num_neighbors: int,
    test_fraction: float,
    seed: int,
    limit: int | None,
) -> Splits:
    """Nodes with the nodes of most influence on them, as sources: features [N, F], edges [E, 2], label [N] or None."""
    for name, value, least in (("power", power, 0), ("num_neighbors", num_neighbors, 1)):
        if value < least:
            raise ValueError(f"data.{name}={value}: must be at least {least}.")

    def context(features, edges):
        check_matrix(len(features))
        matrix = adjacency_power(edges, len(features), power, cumulative=cumulative)
        return {"features": features, "influence": matrix.toarray().astype(np.float32)}

    if whole:
        known = dict(class_names=class_names, names=names, where=where, test_fraction=test_fraction, seed=seed)
        return whole_splits(features, edges, label, split=split_graph, context=context, limit=limit, **known)
    parts = split_graph(edges, len(features), test_fraction, seed, limit)
    matrix = adjacency_power(parts.extra["edges"], len(features), power, cumulative=cumulative)
    count = min(num_neighbors, len(features))

    def source(nodes, split, extra):
        neighbors = np.full((len(nodes), count), -1, np.int32)
        weights = np.zeros((len(nodes), count), np.float32)
        for row, node in enumerate(nodes):
            entries = matrix[node]
            # Stable, so that equal influences are kept in the order of the nodes everywhere.
            best = np.argsort(-entries.data, kind="stable")[:count]
            neighbors[row, : len(best)], weights[row, : len(best)] = entries.indices[best], entries.data[best]
        arrays = dict(features=features[nodes], node=nodes.astype(np.int32), neighbors=neighbors, weights=weights)
        if label is not None:
            arrays["label"] = label[nodes].astype(np.int32)
        made = from_arrays(arrays, class_names=class_names, where=where)
        named = None if names is None else lambda rows: [str(names[nodes[i]]) for i in np.asarray(rows, np.int64)]
        classes = 0 if label is None else int(label.max()) + 1
        return dataclasses.replace(made, names=named, num_classes=classes, extra={f"{split}_nodes": nodes, **extra})

    train = source(parts.train_nodes, "train", parts.extra)
    return Splits(train, source(parts.test_nodes, "test", {}) if len(parts.test_nodes) else None)
