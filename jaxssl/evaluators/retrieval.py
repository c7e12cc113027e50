"""Retrieval: the partner of a test example, among the partners of all of them."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.pairs import features_of

_CHUNK_ELEMENTS = 2**24


@columns(Column("retrieval/recall_at_{n}", "recall at {n}"), Column("retrieval/mrr", "reciprocal rank"))
def retrieval(
    data: EvaluationData,
    *,
    query: str = "image_embedding",
    target: str = "text_embedding",
    groups: str = "",
    pairs: str = "",
    ks: tuple[int, ...] = (1, 5),
) -> Callable:
    """Rank of each query's own target among the targets of the whole test set, by cosine.

    `retrieval/recall_at_<k>`: share of the queries with a hit among the k nearest targets; `retrieval/mrr`: mean of
    1 / (place of the first hit). All in [0, 1]. See `first_hit`.

    Args:
      query, target: outputs of `predict`, [N, D]; row n of both belong together.
      groups: an array of the batches, int [N]: targets of the same number as the query are hits too (one caption under
        several images); '': only its own.
      pairs: an entry of `data.extra` in the place of the test set and its outputs: a dict of `query` and `target`, each a
        dict of arrays [P, ...] as those of an example, whose `features` are compared; row n of both belong together.
      ks: the k to report.

    Raises:
      NotApplicable: no test set, no such output, no such array, no such pairs.
      ValueError: bad options.
    """
    if pairs and pairs not in data.extra:
        raise NotApplicable(f"retrieval needs pairs; the data has no extra '{pairs}'")
    if not pairs and data.test_batches is None:
        raise NotApplicable("retrieval needs a test set; the data has none")
    if not ks or not all(isinstance(k, int) and k > 0 for k in ks):
        raise ValueError(f"ks={ks}: must be one or more positive integers.")

    def run(predict, state) -> dict[str, float]:
        if pairs:
            x, y = (features_of(predict, state, data.extra[pairs][side]) for side in ("query", "target"))
        else:
            found = data.outputs(predict, state, (query, target), arrays=(groups,) if groups else ())
            x, y = found[query], found[target]
        place = first_hit(x, y, found[groups] if groups and not pairs else None)
        recalls = {f"retrieval/recall_at_{k}": float(np.mean(place <= k)) for k in sorted(set(ks))}
        return recalls | {"retrieval/mrr": float(np.mean(1 / place))}

    return run


def first_hit(query: np.ndarray, target: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Place (1 = first) of the nearest hit among all targets, int [N], for queries and targets [N, D] by cosine.

    Target m is a hit of query n where m = n, or groups[m] = groups[n]. A target as near as the hit counts as nearer,
    so that embeddings which are all equal find nothing.
    """
    query, target = _unit(query), _unit(target)
    groups = np.arange(len(query)) if groups is None else np.asarray(groups)
    rows = max(1, _CHUNK_ELEMENTS // len(target))
    places = []
    for start in range(0, len(query), rows):
        scores = query[start : start + rows] @ target.T
        hit = groups[start : start + rows, None] == groups
        best = np.where(hit, scores, -np.inf).max(axis=1, keepdims=True)
        places.append(1 + np.sum(~hit & (scores >= best), axis=1))
    return np.concatenate(places)


def _unit(x):
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
