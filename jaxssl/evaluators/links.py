"""Do the features tell which nodes of a graph are linked?"""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.anomaly import auroc
from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable


@columns(Column("links/auroc", "links, AUROC"))
def links(data: EvaluationData) -> Callable:
    """`links/auroc`: how well the cosine of two nodes' features tells edges held out of the graph from pairs without one.

    Area under the receiver operating characteristic, 0.5 by chance. Pairs with a node that has no features are left out.

    Raises:
      NotApplicable: the data has no `held_out_edges`, `non_edges` and `train_nodes` in its `extra`.
    """
    needed = ("held_out_edges", "non_edges", "train_nodes")
    missing = [name for name in needed if not len(data.extra.get(name, ()))]
    if missing:
        raise NotApplicable(f"links needs a graph; the data has no {', '.join(missing)}")

    def run(predict, state) -> dict[str, float]:
        f = data.features(predict, state)
        parts = [(data.extra["train_nodes"], f.train_x)]
        if f.test_x is not None:
            parts.append((data.extra["test_nodes"], f.test_x))
        pairs = [np.asarray(data.extra[name]) for name in needed[:2]]
        rows = np.full(1 + max(p.max() for p in (*pairs, *(nodes for nodes, _ in parts))), -1)
        rows[np.concatenate([nodes for nodes, _ in parts])] = np.arange(sum(len(nodes) for nodes, _ in parts))
        x = np.concatenate([x for _, x in parts])
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        scores = []
        for pair in pairs:
            ends = rows[pair]
            ends = ends[(ends >= 0).all(axis=1)]
            scores.append((x[ends[:, 0]] * x[ends[:, 1]]).sum(1))
        if not all(len(s) for s in scores):
            raise NotApplicable("links: no pair has features of both its nodes")
        return {"links/auroc": auroc(*scores)}

    return run
