"""Features of examples that no split serves: pairs that only evaluators read."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxssl.evaluators.extract import ask

CHUNK = 256


def features_of(predict: Callable, state: Any, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """`features` [P, D] under `predict` of examples given as arrays [P, ...], by the names that the source uses.

    Raises:
      ValueError: for features that are not finite.
    """
    size = len(next(iter(arrays.values())))
    # One shape for all chunks, so that predict is compiled once.
    step, found, asked = min(size, CHUNK), [], ask(predict, ("features",))
    for start in range(0, size, step):
        rows = np.minimum(np.arange(start, start + step), size - 1)
        batch = {**{k: v[rows] for k, v in arrays.items()}, "label": np.full(step, -1, np.int32)}
        batch["index"] = rows.astype(np.int32)
        found.append(np.asarray(asked(state.params, state.memory, batch)["features"], np.float32))
    x = np.concatenate(found)[:size]
    if not np.isfinite(x).all():
        raise ValueError("the features of pairs in data.extra are not finite")
    return x


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of x [P, D] as float64 of length 1; zero rows stay zero."""
    x = np.asarray(x, np.float64)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1)
