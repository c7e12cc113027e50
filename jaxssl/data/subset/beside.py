"""Arrays of a file, such as those that an earlier stage has computed, beside each example."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxssl.data.source import Source, Splits
from jaxssl.data.views import fingerprint, index_of, joined, plain_type, read_arrays, refuse, splits_of, with_target
from jaxssl.names import shown

KEPT = ("index", "fingerprint")


def beside(
    *, of: Splits, file: str, names: Sequence[str] = (), missing: Literal["refuse", "hide"] = "refuse"
) -> Splits:
    """Gives the training examples arrays of a file: units, features of a teacher, pseudo-labels, pairs.

    Args:
      of: the data.
      file: .npz of arrays [N, ...] and, unless they are of the ids 0 .. N-1 in order, `index` int [N]. Where it holds
        `fingerprint` (`data.views.fingerprint`), the data must be what the file was made for.
      names: arrays to take; () takes all. `target` int [N] is what a loss may learn from, -1 = hidden.
      missing: 'hide': an example that the file lacks has -1 in arrays of whole numbers, and 0 in others.

    Raises:
      FileNotFoundError; ValueError: a file for other data, one that lacks examples, an array that is there already.
    """
    splits = splits_of(of, "beside")
    source, where, arrays = splits.train, shown(Path(file).name), read_arrays(file, "beside", "file")
    if "" in arrays:
        raise refuse("beside", "file", where, "is one array; a .npz file of named arrays would be right")
    names = tuple(names) or tuple(name for name in arrays if name not in KEPT)
    _check(source, arrays, names, where)
    index = np.asarray(arrays.get("index", np.arange(source.num_ids)), np.int64)
    tables = {name: _table(source, index, plain_type(arrays[name]), missing, where) for name in names}
    target = tables.pop("target", None)
    made = splits._replace(train=joined(source, tables)) if tables else splits
    return made if target is None else with_target(made, target, int(target.max()) + 1)


def _check(source: Source, arrays: dict[str, np.ndarray], names: Sequence[str], where: str) -> None:
    there = set(source.fetch(np.zeros(0, np.int64))) - {"target"}
    for name in names:
        if name not in arrays or name in KEPT:
            held = ", ".join(sorted(set(arrays) - set(KEPT))) or "nothing"
            raise refuse("beside", "names", name, f"{where} has no such array; it holds {held}")
        if name in source.withheld:
            raise refuse("beside", "names", name, "is what evaluators read; call what a loss may learn from `target`")
        if name in there:
            raise refuse("beside", "names", name, "the examples have an array of that name already")
    if not names:
        raise ValueError(f"{where} holds no array beside {' and '.join(sorted(arrays)) or 'nothing'}.")
    rows = {name: len(arrays[name]) if arrays[name].ndim else 0 for name in ("index", *names) if name in arrays}
    count = rows.get("index", source.num_ids)
    if len(set(rows.values())) > 1:
        raise ValueError(f"{where}: the arrays have different numbers of examples: {rows}.")
    if "index" not in arrays and rows[names[0]] != count:
        raise ValueError(f"{where} was made for {rows[names[0]]} training examples, this source has {count}.")
    if "fingerprint" in arrays and str(arrays["fingerprint"]) != fingerprint(source):
        raise ValueError(f"{where} was made for other data: sizes, labels or names of the examples differ.")
    if "target" in names:
        target = arrays["target"]
        if target.ndim != 1 or target.dtype.kind not in "iu" or target.min() < -1:
            raise ValueError(
                f"{where}: `target` is {target.dtype} {list(target.shape)}; whole numbers [N] of at least -1 would be right."
            )
    for name in ("index", *names):
        if name in arrays and arrays[name].dtype.kind not in "biuf":
            raise ValueError(f"{where}: `{name}` is {arrays[name].dtype}; numbers would be right.")


def _table(source: Source, index: np.ndarray, values: np.ndarray, missing: str, where: str) -> np.ndarray:
    """values [N, ...] as [num_ids, ...]."""
    if index.ndim != 1 or index.min() < 0 or len(np.unique(index)) < len(index):
        raise ValueError(f"{where}: `index` must name examples, each once, by numbers of at least 0.")
    if index.max() >= source.num_ids:
        raise ValueError(f"{where} holds {index.max()} but the source has ids 0 ... {source.num_ids - 1}.")
    lacking = np.setdiff1d(index_of(source), index)
    if lacking.size and missing == "refuse":
        raise ValueError(
            f"{where} lacks {lacking.size} of the {source.size} ids, the first is {lacking[0]}; missing='hide' gives them"
            " -1, or 0 where numbers are not whole."
        )
    table = np.full((source.num_ids, *values.shape[1:]), -1 if values.dtype.kind == "i" else 0, values.dtype)
    table[index] = values
    return table
