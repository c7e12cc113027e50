"""A whole graph as what every training step may read (`Source.context`); examples are its nodes."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jaxssl.data.source import Splits, from_arrays

# A dense matrix over the nodes that is larger than this does not fit beside a run.
MAX_MATRIX_BYTES = 2**31


def whole_splits(
    features: np.ndarray,
    edges: np.ndarray,
    label: np.ndarray | None,
    *,
    split: Callable,
    context: Callable,
    class_names: Sequence[str] | None,
    names: np.ndarray | None,
    test_fraction: float,
    seed: int,
    limit: int | None,
    where: str,
) -> Splits:
    """Training and test nodes of a graph [n, F] that lies whole in the context of both.

    An example: `features` float32 [F], `node` its number, perhaps `label`.

    Args:
      features: [n, F]. edges: int [E, 2]. label: [n] or None.
      split: as `data.readers.graph.split_graph`.
      context: (features [n, F], edges [E, 2] less the held-out ones) -> what every step may read, by name.
      class_names, names: of classes and of nodes.
      test_fraction, seed: of the split.
      limit: number of training nodes, about; the graph is cut to the nodes nearest to its largest hub.
      where: how messages call the data.
    """
    classes = 0 if label is None else int(label.max()) + 1
    if limit is not None and limit / (1 - test_fraction) < len(features):
        kept = nearest_to_hub(edges, len(features), max(int(limit / (1 - test_fraction)), 2))
        features, edges = features[kept], renumbered(edges, kept, len(features))
        label, names = (None if x is None else x[kept] for x in (label, names))
    parts = split(edges, len(features), test_fraction, seed)
    held = context(features.astype(np.float32), parts.extra["edges"])

    def source(nodes, part, extra):
        arrays = dict(features=features[nodes].astype(np.float32), node=nodes.astype(np.int32))
        if label is not None:
            arrays["label"] = label[nodes].astype(np.int32)
        made = from_arrays(arrays, class_names=class_names, where=where)
        named = None if names is None else lambda rows: [str(names[nodes[i]]) for i in np.asarray(rows, np.int64)]
        extra = {f"{part}_nodes": nodes, **extra}
        return dataclasses.replace(made, names=named, num_classes=classes, extra=extra, context=held)

    train = source(parts.train_nodes, "train", parts.extra)
    return Splits(train, source(parts.test_nodes, "test", {}) if len(parts.test_nodes) else None)


def edge_context(features: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """`features` float32 [n, F]; `senders`, `receivers` int32 [2E], both directions of every edge, by receiver."""
    both = np.concatenate([edges, edges[:, ::-1]]) if len(edges) else np.zeros((0, 2), np.int64)
    both = both[np.lexsort((both[:, 0], both[:, 1]))]
    return {"features": features, "senders": both[:, 0].astype(np.int32), "receivers": both[:, 1].astype(np.int32)}


def check_matrix(size: int) -> None:
    """Raises ValueError where a dense float32 matrix over `size` nodes is too large."""
    if 4 * size * size > MAX_MATRIX_BYTES:
        raise ValueError(
            f"data.whole=True: the influences of {size} nodes on each other would take {4 * size * size / 2**30:.0f} GiB;"
            " data.whole=False, which takes those inside a batch, would be right."
        )


def nearest_to_hub(edges: np.ndarray, size: int, count: int) -> np.ndarray:
    """`count` of the nodes 0 .. size-1, in order: those nearest to the one of most edges, then any others."""
    import scipy.sparse
    from scipy.sparse.csgraph import breadth_first_order

    adjacency = scipy.sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (size, size)).tocsr()
    hub = int(np.argmax(np.bincount(edges.ravel(), minlength=size)))
    near = breadth_first_order(adjacency, hub, directed=False, return_predecessors=False)
    others = np.setdiff1d(np.arange(size), near)
    return np.sort(np.concatenate([near, others])[:count])


def renumbered(edges: np.ndarray, kept: np.ndarray, size: int) -> np.ndarray:
    """The edges among the nodes `kept` of 0 .. size-1, as positions in `kept`."""
    place = np.full(size, -1)
    place[kept] = np.arange(len(kept))
    ends = place[edges]
    return ends[(ends >= 0).all(axis=1)]
