"""The features of a state, extracted once and shared by all evaluators."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils


class NotApplicable(ValueError):
    """The data or the row lacks what an evaluator needs; the caller may skip that evaluator and say why."""


class LabelsNeeded(NotApplicable):
    """The data lacks the labels that an evaluator needs."""


class Features(NamedTuple):
    """Features on the host, rows in the order of the example ids; label -1 = no label; no test set: None."""

    train_x: np.ndarray  # float32 [N, D]
    train_y: np.ndarray  # int32 [N]
    test_x: np.ndarray | None  # float32 [M, D]
    test_y: np.ndarray | None  # int32 [M]
    train_index: np.ndarray  # int64 [N], example ids, increasing


@dataclasses.dataclass
class EvaluationData:
    """Where evaluators get their features from.

    `train_batches()` and `test_batches()` return finite iterators of batches: dicts with what `predict`
    reads, 'label' int32 [N] (-1 = no label), 'index' [N] (example id) and optionally '_mask' bool [N] (False
    = padding row, dropped). With several processes all of them must yield the same number of batches of the
    same shape. `extra`: that of both sources, see `data.source.Source`.
    """

    train_batches: Callable[[], Iterator[dict[str, Any]]]
    test_batches: Callable[[], Iterator[dict[str, Any]]] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    _key: tuple | None = dataclasses.field(default=None, init=False, repr=False)
    _features: Features | None = dataclasses.field(default=None, init=False, repr=False)

    def features(self, predict, state) -> Features:
        """Features of all examples under `predict(state.params, state.memory, batch)['features']` [N, D].

        Only the last answer is remembered, for the same predict, params, memory (by identity) and step.

        Raises:
          ValueError: features that are not [N, D] or not finite, an example served twice, or no example.
        """
        # The objects themselves, because the id of a freed object may be given to a new one.
        key = (predict, state.params, state.memory, int(state.step))
        if self._key is None or not _same(self._key, key):
            # Both copies need not be alive at once.
            self._key = self._features = None
            train = _extract(predict, state, self.train_batches(), "train", ("features",))
            test = {}
            if self.test_batches is not None:
                test = _extract(predict, state, self.test_batches(), "test", ("features",))
            self._features = Features(
                train["features"], train["label"], test.get("features"), test.get("label"), train["index"]
            )
            self._key = key
        return self._features

    def outputs(self, predict, state, names: tuple[str, ...], *, split: str = "test") -> dict[str, np.ndarray]:
        """Any outputs of `predict` [N, D] by name, with 'label' and 'index' [N], rows in the order of the ids.

        Raises:
          NotApplicable: no such split, or an output that `predict` does not give.
          ValueError: as `features`.
        """
        batches = self.train_batches if split == "train" else self.test_batches
        if batches is None:
            raise NotApplicable(f"the data has no {split} set")
        return _extract(predict, state, batches(), split, names)

    def need_labels(self, evaluator: str) -> None:
        """Raises LabelsNeeded, naming `evaluator`, unless there are two classes or more and a test set."""
        if self.num_classes is None or self.num_classes < 2:
            raise LabelsNeeded(f"{evaluator} needs labels of at least 2 classes; the data has {self.num_classes}")
        if self.test_batches is None:
            raise LabelsNeeded(f"{evaluator} needs a labelled test set; the data has none")

    def labelled_features(self, predict, state, evaluator: str) -> Features:
        """`features` without the rows that have no label.

        Raises:
          LabelsNeeded: no labelled row.
          ValueError: a label of num_classes or more.
        """
        features = self.features(predict, state)
        kept = {}
        for split, y in (("train", features.train_y), ("test", features.test_y)):
            rows = np.flatnonzero(y >= 0)
            if not rows.size:
                raise LabelsNeeded(f"{evaluator}: no example of the {split} set has a label (all {y.size} are -1)")
            if y.max() >= self.num_classes:
                raise ValueError(f"{evaluator}: {split} label {y.max()} but num_classes={self.num_classes}")
            kept[split] = rows
        if kept["train"].size == features.train_y.size and kept["test"].size == features.test_y.size:
            return features
        train, test = kept["train"], kept["test"]
        return Features(
            features.train_x[train],
            features.train_y[train],
            features.test_x[test],
            features.test_y[test],
            features.train_index[train],
        )


def _same(old: tuple, new: tuple) -> bool:
    return all(a is b for a, b in zip(old[:-1], new[:-1], strict=True)) and old[-1] == new[-1]


def _extract(predict, state, batches, split: str, names) -> dict[str, np.ndarray]:
    """Runs `predict` over the batches: its outputs `names` [N, D], 'label' [N], 'index' [N], sorted by example id."""
    parts, seen = [], 0
    for batch in batches:
        found = predict(state.params, state.memory, batch)
        row = {}
        for name in names:
            if name not in found:
                raise NotApplicable(f"predict gives no '{name}', only {sorted(found)}")
            if found[name].ndim != 2:
                raise ValueError(
                    f"predict gave '{name}' of shape {found[name].shape} on the {split} set; expected [N, D]"
                )
            row[name] = on_host(found[name]).astype(np.float32)
        rows = len(row[names[0]])
        mask = column(batch, "_mask", np.ones(rows, bool)).astype(bool)
        row["label"] = column(batch, "label", np.full(rows, -1, np.int32)).astype(np.int32)
        row["index"] = column(batch, "index", seen + np.arange(rows)).astype(np.int64)
        seen += rows
        parts.append({name: x[mask] for name, x in row.items()})
    if not sum(len(part["index"]) for part in parts):
        raise ValueError(f"the {split} set of the evaluation data is empty")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    for name in names:
        bad = int((~np.isfinite(joined[name]).all(axis=1)).sum())
        if bad:
            raise ValueError(f"{bad} of {len(joined[name])} rows of the {split} {name} are not finite")
    # The order of the ids, so that nothing downstream depends on the pipeline or on the number of processes.
    order = np.argsort(joined["index"], kind="stable")
    joined = {name: x[order] for name, x in joined.items()}
    repeated = int((joined["index"][1:] == joined["index"][:-1]).sum())
    if repeated:
        raise ValueError(f"the {split} batches serve {repeated} examples more than once; mask padding by _mask")
    return joined


def column(batch, name, default):
    """The array `name` [N] of a batch on the host, or `default`, which also says what shape is right."""
    if name not in batch:
        return default
    found = on_host(batch[name])
    if found.shape != default.shape:
        raise ValueError(f"batch['{name}'] has shape {found.shape}; expected {default.shape}, one per row")
    return found


def on_host(x) -> np.ndarray:
    """A global array [N, ...] as NumPy, whole on every process."""
    if jax.process_count() == 1:
        return np.asarray(x)
    return np.asarray(multihost_utils.process_allgather(x, tiled=True))
