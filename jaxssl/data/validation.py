"""A validation part: training data that are held out from training, for choices that must not see the test set.

`evaluate.part="validation"` in a config, or the view `data.subset.validation`, evaluates on that part, and the test part
is not read. Example ids (`index`) stay those of the whole, and so does its fingerprint.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxssl.data.source import Source, Splits
from jaxssl.data.splits import validation_rows
from jaxssl.data.views import column, index_of, joined, narrowed, ordered

SHARE, SEED = 0.1, 0
PART = "validation"


def held_out_rows(source: Source, *, share: float = SHARE, seed: int = SEED, group: str = "") -> np.ndarray:
    """bool [size]: the rows of a source's validation part (`splits.validation_rows`), by its labels and groups.

    Args:
      source: the training examples.
      share, seed: of the part.
      group: the array int [size] that says which examples belong together; '': that of the source, `source.group`.

    Raises:
      ValueError: a share outside of (0, 1); no such array, or one that is no whole number an example; a single group.
    """
    group, numbers = group or source.group, None
    if group:
        numbers = column(source, group, PART)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise ValueError(
                f"data.subset.validation.group={group!r}: is {numbers.dtype} {list(numbers.shape)}; one whole number an"
                " example would be right."
            )
    label = column(source, "label", PART)
    try:
        return validation_rows(label, share, seed, numbers)
    except ValueError as error:
        raise ValueError(f"data.subset.validation: {error}") from None


def with_validation(splits: Splits, *, share: float = SHARE, seed: int = SEED, group: str = "") -> Splits:
    """The splits whose test set is a part of the training data, held out from training; the test set is dropped.

    Raises:
      ValueError: as `held_out_rows`; a part of which nothing is left to train on.
    """
    train = splits.train
    held = held_out_rows(train, share=share, seed=seed, group=group)
    return Splits(_without(train, held), _held(train, np.flatnonzero(held)))


def _without(source: Source, held: np.ndarray) -> Source:
    """The source without the rows held [size], drawn as before."""
    kept, place = np.flatnonzero(~held), np.full(source.size, -1)
    place[kept] = np.arange(len(kept))
    part = narrowed(source, kept)
    part = dataclasses.replace(part, extra=_extra(source, part, kept, "train"), whole=source)
    try:
        if source.draw is not None:
            return dataclasses.replace(part, draw=source.draw.without(place))
        return part if source.order is None else ordered(part, _order(source, place))
    except ValueError as error:
        raise ValueError(f"data.subset.validation: {error}") from None


def _order(source: Source, place: np.ndarray) -> np.ndarray:
    """The order [M] with new ids and without those left out; strata that are unequal then repeat examples of the smaller."""
    columns = [place[column][place[column] >= 0] for column in np.asarray(source.order).reshape(-1, source.strata).T]
    if not all(len(column) for column in columns):
        raise ValueError("a stratum has no example left to train on; a smaller share would be right.")
    longest = max(map(len, columns))
    return np.stack([np.resize(column, longest) for column in columns], axis=1).reshape(-1)


def _held(source: Source, rows: np.ndarray) -> Source:
    """The rows of a source as a test set: each once, `target` hidden."""
    part = narrowed(source, rows)
    if "target" in source.columns:
        part = joined(part, {"target": np.full(source.num_ids, -1)})
    plain = dict(draw=None, repeats=1, strata=1, part=PART)
    return dataclasses.replace(part, extra=_extra(source, part, rows, "test"), **plain)


def _extra(source: Source, part: Source, ids: np.ndarray, split: str) -> Mapping[str, Any]:
    """`extra` of a part, the training examples `ids` [M], as a source of the split 'train' or 'test' has it.

    `train_nodes` are called `test_nodes` in a test set. Of {'train': [num_ids], 'test': ...}, which is looked up by
    `index`, both become what the training examples have. What else there is stays, unless the source says otherwise.
    """
    if source.part_extra is not None:
        return source.part_extra(ids, split)
    found = {}
    for name, value in part.extra.items():
        if isinstance(value, Mapping) and "train" in value and set(value) <= {"train", "test"}:
            value = dict.fromkeys(("train", "test"), value["train"])
        found[f"{split}_nodes" if name == "train_nodes" else name] = value
    return found


def validation_index(source: Source) -> np.ndarray:
    """`index` int64 of the examples of the validation part of a training source, as `with_validation` draws it."""
    return index_of(source)[held_out_rows(source)]
