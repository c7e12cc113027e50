"""Outputs of `predict` over a pass of batches, on the host."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class NotApplicable(ValueError):
    """The data or the row lacks what an evaluator needs; the caller may skip that evaluator and say why."""


class LabelsNeeded(NotApplicable):
    """The data lacks the labels that an evaluator needs."""


def ask(predict: Callable, names: tuple[str, ...]) -> Callable:
    """`predict` for these outputs alone, where it can be asked for some; else as it is."""
    try:
        known = inspect.signature(predict).parameters
    except (TypeError, ValueError):  # a function without a signature
        known = {}
    return functools.partial(predict, names=tuple(names)) if "names" in known else predict


def extract(
    predict: Callable | None,
    state: Any,
    batches: Iterator[Mapping[str, Any]],
    split: str,
    names: tuple[str, ...],
    *,
    arrays: tuple[str, ...] | None = (),
    reduce: Callable | None = None,
    rank: int | None = None,
) -> dict[str, np.ndarray]:
    """Runs `predict` over the batches: its outputs, 'label' and 'index' [N], `arrays`, sorted by id.

    Args:
      predict: as in `features.EvaluationData`; None where no output is asked for.
      state: has `params` and `memory`.
      batches: a finite pass.
      split: its name, for messages.
      names: of the outputs.
      arrays: names of arrays of the batches; None: all [N].
      reduce: as in `EvaluationData.outputs`.
      rank: number of axes that every output must have; None: any.
    """
    asked, reduced = ask(predict, names) if names else None, None if reduce is None else jax.jit(reduce)
    parts, seen = [], 0
    for batch in batches:
        found = asked(state.params, state.memory, batch) if names else {}
        for name in names:
            if name not in found:
                known = jax.eval_shape(predict, state.params, state.memory, batch) if asked is not predict else found
                raise NotApplicable(f"predict gives no '{name}', only {sorted(known)}")
            if rank is not None and found[name].ndim != rank:
                shape = found[name].shape
                raise ValueError(f"predict gave '{name}' of shape {shape} on the {split} set; expected [N, D]")
        found = {name: found[name] for name in names}
        row = {name: _plain(on_host(x)) for name, x in (found if reduced is None else reduced(batch, found)).items()}
        rows = len(jax.tree.leaves(batch)[0])
        for name in [k for k in batch if k not in row and np.shape(batch[k]) == (rows,)] if arrays is None else arrays:
            if name not in batch:
                raise NotApplicable(f"the batches have no '{name}', only {sorted(batch)}")
            row[name] = on_host(batch[name])
        mask = column(batch, "_mask", np.ones(rows, bool)).astype(bool)
        row["label"] = column(batch, "label", np.full(rows, -1, np.int32)).astype(np.int32)
        row["index"] = column(batch, "index", seen + np.arange(rows)).astype(np.int64)
        wrong = {name: x.shape for name, x in row.items() if x.ndim < 1 or len(x) != rows}
        if wrong:
            raise ValueError(f"arrays of the {split} set that do not lead with N = {rows}: {wrong}")
        seen += rows
        parts.append({name: x[mask] for name, x in row.items()})
    if not sum(len(part["index"]) for part in parts):
        raise ValueError(f"the {split} set of the evaluation data is empty")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in names if reduced is None else set(joined) - {"label", "index", *(arrays or ())}:
        bad = int((~np.isfinite(joined[name]).reshape(len(joined[name]), -1).all(axis=1)).sum())
        if bad:
            raise ValueError(f"{bad} of {len(joined[name])} rows of the {split} {name} are not finite")
    # The order of the ids, so that nothing downstream depends on the pipeline or on the number of processes.
    order = np.argsort(joined["index"], kind="stable")
    joined = {name: x[order] for name, x in joined.items()}
    repeated = int((joined["index"][1:] == joined["index"][:-1]).sum())
    if repeated:
        raise ValueError(f"the {split} batches serve {repeated} examples more than once; mask padding by _mask")
    return joined


def _plain(x: np.ndarray) -> np.ndarray:
    """Integers and truth values as they are, all else as float32."""
    return x if x.dtype == bool or np.issubdtype(x.dtype, np.integer) else x.astype(np.float32)


def column(batch: Mapping[str, Any], name: str, default: np.ndarray) -> np.ndarray:
    """The array `name` [N] of a batch on the host, or `default`, which also says what shape is right."""
    if name not in batch:
        return default
    found = on_host(batch[name])
    if found.shape != default.shape:
        raise ValueError(f"batch['{name}'] has shape {found.shape}; expected {default.shape}, one per row")
    return found


def on_host(x: jax.Array | np.ndarray) -> np.ndarray:
    """A global array [N, ...] as NumPy, whole on every process."""
    if jax.process_count() == 1:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
