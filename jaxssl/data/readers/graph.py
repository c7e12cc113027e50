"""Graphs whose nodes have features: every example is a node with its surroundings, padded to one size.

With `whole` the graph lies in the context of the data instead, and an example is a node alone. The surroundings (ego
graph) of a node are itself, some of its neighbours and some of theirs, with all edges between them. They do not change
during a run and have at most `num_nodes` nodes, so that a hub costs no more than a leaf.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxssl.data.columns import numbers_of
from jaxssl.data.readers.csv import read_csv
from jaxssl.data.readers.npz import load_npz
from jaxssl.data.reading import MAX_FILE_MB
from jaxssl.data.sets.debian_graph import DEBIAN_FILE, read_debian_graph
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out
from jaxssl.data.whole_graph import edge_context, whole_splits
from jaxssl.names import shown

# With more bytes of node features than this, examples are put together only when they are fetched.
RESIDENT_BYTES = 2**28


def graph(
    *,
    path: str | None = None,
    whole: bool = False,
    num_nodes: int = 24,
    num_edges: int = 96,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """The nodes of a graph of one's own, or, without `path`, of the bundled graph of Debian packages.

    That one has 6,000 nodes: 128 features from the words of the synopsis, edges = dependencies, label = one of 12
    sections (tools/make_debian_graph.py).

    Args:
      path: a .npz file with `features` float [n, F], `edges` int [E, 2] (undirected, numbers of nodes) and perhaps
        `label` int [n] (-1 = none); or a folder with nodes.csv (columns `id`, features, perhaps `label`) and edges.csv
        (columns `source`, `target`).
      whole: the graph is `Source.context`, `features` float32 [n, F], `senders`, `receivers` int32 [2E]; an example is a
        node, its own `features` [F] and its number `node`. For methods that see all nodes in every step.
      num_nodes, num_edges: the most that the surroundings of a node have, itself and both directions counted.
      test_fraction: part of the nodes whose labels and features only the evaluation sees; their edges stay in the
        graph. A twentieth of the edges is taken out of the graph, for the evaluator of links.
      seed: of the split and of the surroundings.
      limit: number of training nodes, and a quarter as many test nodes. With `whole` the graph itself is cut, to
        about this number of training nodes and `test_fraction` of all.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError: naming file and row.
    """
    features, edges, label, class_names, names = read_graph(path, max_file_mb)
    if whole:
        return whole_splits(
            features,
            edges,
            label,
            split=split_graph,
            context=edge_context,
            class_names=class_names,
            names=names,
            test_fraction=test_fraction,
            seed=seed,
            limit=limit,
            where=shown(path or DEBIAN_FILE.name),
        )
    return graph_splits(
        features,
        edges,
        label,
        class_names=class_names,
        names=names,
        num_nodes=num_nodes,
        num_edges=num_edges,
        test_fraction=test_fraction,
        seed=seed,
        limit=limit,
        where=shown(path or DEBIAN_FILE.name),
    )


def read_graph(
    path: str | None, max_file_mb: float = MAX_FILE_MB
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, tuple[str, ...] | None, np.ndarray | None]:
    """(features [n, F], edges [E, 2], label [n] or None, class names, names of nodes) of `path`, as `graph` takes it.

    Args:
      path: as in `graph`.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError: naming file and row.
    """
    if path is None:
        found = read_debian_graph()
    elif Path(path).is_dir():
        found = _read_folder(Path(path), max_file_mb)
    elif Path(path).suffix == ".npz":
        found = _read_npz(path, max_file_mb)
    else:
        raise FileNotFoundError(f"{shown(path)}: a .npz file or a folder with nodes.csv and edges.csv would be right")
    bad = np.flatnonzero(~np.isfinite(found[0]).all(1))
    if bad.size:
        raise ValueError(f"{shown(path or DEBIAN_FILE.name)}: the features of node {int(bad[0])} are not finite")
    return found


def graph_splits(
    features: np.ndarray,
    edges: np.ndarray,
    label: np.ndarray | None,
    *,
    class_names: Sequence[str] | None,
    names: np.ndarray | None,
    num_nodes: int,
    num_edges: int,
    test_fraction: float,
    seed: int,
    where: str,
    limit: int | None = None,
) -> Splits:
    """Training and test nodes of a graph; the options are those of `graph`."""
    if num_nodes < 1 or num_edges < 0:
        raise ValueError(
            f"data.num_nodes={num_nodes}, data.num_edges={num_edges}: must be at least 1 node, and at least 0 edges."
        )
    total = len(features)
    parts = split_graph(edges, total, test_fraction, seed, limit)
    train_nodes, test_nodes, extra = parts.train_nodes, parts.test_nodes, parts.extra
    neighbors = _neighbors(extra["edges"], total)
    num_classes = 0 if label is None else int(label.max()) + 1
    make = lambda nodes, part: _source(
        features,
        neighbors,
        label,
        nodes,
        num_nodes,
        num_edges,
        seed,
        class_names,
        num_classes,
        names,
        {f"{part}_nodes": nodes},
        where,
    )
    train = make(train_nodes, "train")
    train = dataclasses.replace(train, extra={**train.extra, **extra})
    return Splits(train, make(test_nodes, "test") if len(test_nodes) else None)


class Parts(NamedTuple):
    """Nodes to train on and to evaluate on, and the edges for evaluators."""

    train_nodes: np.ndarray
    test_nodes: np.ndarray
    extra: dict[str, np.ndarray]


def split_graph(edges: np.ndarray, total: int, test_fraction: float, seed: int, limit: int | None = None) -> Parts:
    """Splits the nodes 0 .. total-1 and the edges [E, 2]; the options are those of `graph`.

    `extra` has `edges`, which are left, `held_out_edges`, and as many `non_edges`, pairs without an edge.
    """
    check_test_fraction(test_fraction)
    random = np.random.default_rng(seed)
    edges = np.unique(np.sort(edges[edges[:, 0] != edges[:, 1]], axis=1), axis=0)
    held_out = np.zeros(len(edges), bool)
    held_out[random.permutation(len(edges))[: len(edges) // 20]] = True
    tested = hold_out(np.zeros(total, int), test_fraction, random)
    train_nodes, test_nodes = np.flatnonzero(~tested), np.flatnonzero(tested)
    if limit is not None:
        train_nodes, test_nodes = train_nodes[:: max(len(train_nodes) // limit, 1)][:limit], test_nodes[: limit // 4]
    extra = dict(
        edges=edges[~held_out], held_out_edges=edges[held_out], non_edges=_non_edges(edges, held_out, total, random)
    )
    return Parts(train_nodes, test_nodes, extra)


def surroundings(
    node: int, neighbors: Sequence[np.ndarray], num_nodes: int, num_edges: int, seed: int
) -> tuple[list[int], list[int], list[int]]:
    """Nodes (the first one is `node`), and senders and receivers as positions among them; hop by hop, at random."""
    random = np.random.default_rng((seed, node))
    nodes, position, frontier = [node], {node: 0}, [node]
    for fan_out in (max(num_nodes // 2, 1), num_nodes):
        found = [int(n) for f in frontier for n in random.permutation(neighbors[f])[:fan_out]]
        frontier = [n for n in dict.fromkeys(found) if n not in position]
        frontier = [frontier[i] for i in random.permutation(len(frontier))][: num_nodes - len(nodes)]
        for n in frontier:
            position[n] = len(nodes)
            nodes.append(n)
    # The edges of nodes near the root come first, should there be too many.
    pairs = [(i, position[int(n)]) for i, m in enumerate(nodes) for n in neighbors[m] if position.get(int(n), -1) > i]
    pairs = pairs[: num_edges // 2]
    senders = [i for i, j in pairs] + [j for i, j in pairs]
    receivers = [j for i, j in pairs] + [i for i, j in pairs]
    return nodes, senders, receivers


def _source(
    features, neighbors, label, nodes, num_nodes, num_edges, seed, class_names, num_classes, names, extra, where
):
    size = len(nodes)
    ids = np.full((size, num_nodes), -1, np.int32)
    ends = np.zeros((2, size, num_edges), np.int32)
    edge_mask = np.zeros((size, num_edges), bool)
    for row, node in enumerate(nodes):
        around, senders, receivers = surroundings(int(node), neighbors, num_nodes, num_edges, seed)
        ids[row, : len(around)] = around
        ends[0, row, : len(senders)], ends[1, row, : len(senders)] = senders, receivers
        edge_mask[row, : len(senders)] = True
    structure = dict(
        node=nodes.astype(np.int32), node_mask=ids >= 0, senders=ends[0], receivers=ends[1], edge_mask=edge_mask
    )
    if label is not None:
        structure["label"] = label[nodes].astype(np.int32)
    around = lambda rows: features[ids[rows]] * structure["node_mask"][rows][..., None]
    known = dict(class_names=class_names, where=where)
    if features.itemsize * ids.size * features.shape[1] <= RESIDENT_BYTES:
        source = from_arrays({**structure, "features": around(slice(None))}, **known)
    else:
        light = from_arrays(structure, **known)

        def fetch(rows, substitute=True):
            return {**light.fetch(rows, substitute), "features": around(np.asarray(rows, np.int64))}

        source = dataclasses.replace(light, fetch=fetch, arrays=None)
    named = None if names is None else lambda rows: [str(names[nodes[i]]) for i in np.asarray(rows, np.int64)]
    return dataclasses.replace(source, names=named, num_classes=num_classes, extra=extra)


def _neighbors(edges, total):
    """Neighbours of every node, as a list of arrays."""
    both = np.concatenate([edges, edges[:, ::-1]]) if len(edges) else np.zeros((0, 2), np.int64)
    both = both[np.argsort(both[:, 0], kind="stable")]
    return np.split(both[:, 1], np.searchsorted(both[:, 0], np.arange(1, total)))


def _non_edges(edges, held_out, total, random):
    """As many pairs of nodes without an edge as there are edges held out."""
    known = {tuple(e) for e in edges.tolist()}
    # In a graph with nearly all edges there are fewer such pairs.
    wanted, pairs = min(int(held_out.sum()), total * (total - 1) // 2 - len(known)), []
    while len(pairs) < wanted and total > 2:
        pair = tuple(sorted(random.choice(total, 2, replace=False).tolist()))
        if pair not in known:
            pairs.append(pair)
        known.add(pair)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _read_npz(path, max_file_mb):
    data = load_npz(path, max_file_mb, right="option `path` must name a .npz file or a folder")
    path = shown(path)
    if not {"features", "edges"} <= data.keys():
        raise ValueError(f"{path} holds the arrays {sorted(data)}; `features` and `edges` must be among them")
    features, edges, label = data["features"], data["edges"], data.get("label")
    if features.ndim != 2 or features.dtype.kind not in "iuf" or not features.size:
        raise ValueError(f"{path}: `features` is {features.dtype} {features.shape}; it must be numbers [n, F]")
    if edges.ndim != 2 or edges.shape[1:] != (2,) or not np.issubdtype(edges.dtype, np.integer):
        raise ValueError(f"{path}: `edges` is {edges.dtype} {edges.shape}; it must be whole numbers [E, 2]")
    unknown = np.flatnonzero(((edges < 0) | (edges >= len(features))).any(axis=1))
    if unknown.size:
        row = int(unknown[0])
        raise ValueError(
            f"{path}: row {row} of `edges` is {edges[row].tolist()}, but nodes are 0 .. {len(features) - 1}"
        )
    if label is not None and (label.shape != (len(features),) or label.dtype.kind not in "iu"):
        raise ValueError(
            f"{path}: `label` is {label.dtype} {label.shape}; whole numbers, one for each of {len(features)} nodes"
        )
    if label is not None and not -1 <= label.min() <= label.max() < 2**31:
        raise ValueError(f"{path}: `label` holds {label.min()} ... {label.max()}; labels are 0, 1, ... and -1 for none")
    return features.astype(np.float32), edges.astype(np.int64), label, None, None


def _read_folder(folder, max_file_mb):
    import pyarrow.compute as compute

    nodes = _read_cells(folder / "nodes.csv", ("id",), max_file_mb)
    file, columns = shown(folder / "nodes.csv"), [name for name in nodes if name not in ("id", "label")]
    if not columns:
        raise ValueError(f"{file} has no column of features beside `id` and `label`")
    ids, number = nodes["id"].to_pylist(), {}
    for row, name in enumerate(ids):
        if name in number:
            raise ValueError(f"{file}, row {row + 2}: the id {name!r} is there twice")
        number[name] = row
    features = np.zeros((len(ids), len(columns)), np.float32)
    for i, name in enumerate(columns):
        values, strange = numbers_of(compute.utf8_trim_whitespace(nodes[name]))
        if len(strange):
            row, cell = int(strange[0]), nodes[name][int(strange[0])].as_py()
            raise ValueError(f"{file}, row {row + 2}: column {name!r} is {cell!r}, not a number")
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            features[:, i] = values
    file, links = shown(folder / "edges.csv"), _read_cells(folder / "edges.csv", ("source", "target"), max_file_mb)
    ends = [
        np.array([number.get(end, -1) for end in links[name].to_pylist()], np.int64) for name in ("source", "target")
    ]
    edges = np.stack(ends, axis=1)
    for row, column in np.argwhere(edges < 0)[:1]:
        end = ("source", "target")[column]
        raise ValueError(f"{file}, row {row + 2}: {end} {links[end][int(row)].as_py()!r} is no id of nodes.csv")
    label, class_names = None, None
    if "label" in nodes:
        class_names = tuple(sorted(set(nodes["label"].to_pylist()) - {""}))
        codes = {name: i for i, name in enumerate(class_names)}
        label = np.array([codes.get(name, -1) for name in nodes["label"].to_pylist()])
    return features, edges, label, class_names, np.array(ids)


def _read_cells(path, needed, max_file_mb):
    """{column: pyarrow array of text as it stands}."""
    found = read_csv(path, max_file_mb, right="the folder must hold nodes.csv and edges.csv")
    if not len(next(iter(found.values()))):
        raise ValueError(f"{shown(path)} holds no rows below its header")
    for name in needed:
        if name not in found:
            raise ValueError(f"{shown(path)} has the columns {list(found)}; `{name}` must be among them")
    return found
