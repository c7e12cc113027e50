"""The features of a state, extracted once and shared by all evaluators."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxssl.data.splits import validation_rows
from jaxssl.data.validation import SEED, SHARE, validation_index, with_validation
from jaxssl.evaluators.extract import LabelsNeeded, NotApplicable, extract


class Features(NamedTuple):
    """Features on the host, rows in the order of the example ids; label -1 = no label; no test set: None."""

    train_x: np.ndarray  # float32 [N, D]
    train_y: np.ndarray  # int32 [N]
    test_x: np.ndarray | None  # float32 [M, D]
    test_y: np.ndarray | None  # int32 [M]
    train_index: np.ndarray  # int64 [N], example ids, increasing
    num_classes: int | None = None


@dataclasses.dataclass
class EvaluationData:
    """Where evaluators get their features from.

    `train_batches()` and `test_batches()` return finite iterators of batches: dicts with what `predict`
    reads, 'label' int32 [N] (-1 = no label), 'index' [N] (example id) and optionally '_mask' bool [N] (False
    = padding row, dropped). With several processes all of them must yield the same number of batches of the
    same shape. `extra`: that of both sources, see `data.source.Source`.
    `serve(source)`: the batches of any source, for `of`. `part`: 'validation' holds a part of the training data of other
    sources out too, in the place of their test sets. `held_out()`: the ids of the training examples in `validation`; None:
    drawn by the labels of the batches.

    `predict(params, memory, batch) -> {name: [N, ...]}`; one that has an option `names` is asked for the outputs that are
    needed, and for no other.
    """

    train_batches: Callable[[], Iterator[dict[str, Any]]]
    test_batches: Callable[[], Iterator[dict[str, Any]]] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    serve: Callable[[Any], Iterator[dict[str, Any]]] | None = None
    part: str = "test"
    held_out: Callable[[], np.ndarray] | None = None
    _key: tuple | None = dataclasses.field(default=None, init=False, repr=False)
    _found: dict[str, dict[str, dict[str, np.ndarray]]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def of(self, splits: Any) -> "EvaluationData":
        """The same evaluation over other data, a `data.source.Splits`: batch size, devices and preprocessing stay.

        Raises:
          NotApplicable: made without `serve`.
        """
        if self.serve is None:
            raise NotApplicable("this evaluation cannot serve other data: it was made of batches, not of sources")
        train, test = with_validation(splits) if self.part == "validation" else splits
        return EvaluationData(
            train_batches=functools.partial(self.serve, train),
            test_batches=None if test is None else functools.partial(self.serve, test),
            num_classes=train.num_classes,
            class_names=train.class_names,
            extra={**train.extra, **({} if test is None else test.extra)},
            serve=self.serve,
            part=self.part,
            held_out=functools.partial(validation_index, train),
        )

    def features(self, predict: Callable, state: Any, of: str = "features", label: str = "label") -> Features:
        """Features of all examples: the output `of` [N, D] of `predict(state.params, state.memory, batch)`.

        The answers for the last predict, params, memory (by identity) and step are remembered.

        Args:
          of: the output of `predict`, as 'projector'.
          label: the array int [N] of the batches that is read as the label; -1 = no label.

        Raises:
          NotApplicable: no such output.
          LabelsNeeded: no such array.
          ValueError: features that are not [N, D] or not finite, an example served twice, or no example.
        """
        # The objects themselves, because the id of a freed object may be given to a new one.
        key = (predict, state.params, state.memory, int(state.step))
        if self._key is None or not _same(self._key, key):
            self._key, self._found = key, {}
        if of not in self._found:
            # The file of a source may hold what an evaluator reads later: every [N] is kept, being small.
            sides = {"train": self.train_batches, "test": self.test_batches}
            self._found[of] = {
                side: extract(predict, state, batches(), side, (of,), arrays=None, rank=2)
                for side, batches in sides.items()
                if batches is not None
            }
        train, test = self._found[of]["train"], self._found[of].get("test")
        x = lambda side: None if side is None else side[of].astype(np.float32, copy=False)
        train_y, test_y = (None if side is None else _labels(side, label) for side in (train, test))
        num_classes = self.num_classes
        if label != "label":
            num_classes = 1 + max(int(y.max()) for y in (train_y, test_y) if y is not None)
        return Features(x(train), train_y, x(test), test_y, train["index"], num_classes)

    def validation(self, predict: Callable, state: Any, of: str = "features", label: str = "label") -> Features:
        """`features` of the training examples alone, a tenth of them, held out, in the place of the test set.

        For what an evaluator chooses, as a penalty or the direction of a score: the test set is not looked at. The same
        share of every class is held out, and whole groups (`data.validation.held_out_rows`). The encoder has seen these
        examples in training, unless the run was told otherwise (`evaluate.part`).

        Args:
          of, label: as in `features`.

        Raises:
          As `features`; ValueError where nothing can be held out.
        """
        f = self.features(predict, state, of, label)
        held = self._held(f.train_index, f.train_y)
        return f._replace(
            train_x=f.train_x[~held],
            train_y=f.train_y[~held],
            test_x=f.train_x[held],
            test_y=f.train_y[held],
            train_index=f.train_index[~held],
        )

    def _held(self, index: np.ndarray, label: np.ndarray) -> np.ndarray:
        """bool [N]: which training examples are of the validation part."""
        if self.held_out is not None:
            return np.isin(index, self.held_out())
        return validation_rows(label, SHARE, SEED)

    def outputs(
        self,
        predict: Callable,
        state: Any,
        names: tuple[str, ...],
        *,
        split: str = "test",
        arrays: tuple[str, ...] = (),
        reduce: Callable[[dict[str, Any], dict[str, jax.Array]], dict[str, jax.Array]] | None = None,
    ) -> dict[str, np.ndarray]:
        """Outputs of `predict` by name, of any rank [N, ...], with 'label' and 'index' [N], in the order of the ids.

        Args:
          names: of the outputs.
          split: 'train', 'test', or 'validation', those training examples that `validation` holds out.
          arrays: names of arrays [N, ...] of the batches that come along.
          reduce: `reduce(batch, found) -> {name: [N, ...]}`, jitted and called batch by batch on the device; what it gives
            takes the place of the outputs `found`, which then never lie on the host together. A row of padding is
            dropped afterwards. Give the same function again, not a new lambda, where it shall not be compiled again.

        Raises:
          NotApplicable: no such split, or an output that `predict` or an array that the batches do not have.
          ValueError: as `features`.
        """
        if split == "validation":
            found = self.outputs(predict, state, names, split="train", arrays=arrays, reduce=reduce)
            held = self._held(found["index"], found["label"])
            return {name: x[held] for name, x in found.items()}
        batches = self.train_batches if split == "train" else self.test_batches
        if batches is None:
            raise NotApplicable(f"the data has no {split} set")
        return extract(predict, state, batches(), split, names, arrays=arrays, reduce=reduce)

    def array(self, name: str, *, split: str = "test") -> np.ndarray:
        """An array [N, ...] of the batches, in the order of the ids; `predict` is not called. `split`: as in `outputs`.

        Raises:
          NotApplicable: no such split or array.
        """
        for found in self._found.values():
            if name in found.get(split, {}):
                return found[split][name]
        return self.outputs(None, None, (), split=split, arrays=(name,))[name]

    def need_labels(self, evaluator: str, label: str = "label") -> None:
        """Raises LabelsNeeded, naming `evaluator`, unless there are two classes or more and a test set.

        Classes of another array than 'label' are counted later, when it is read.
        """
        if label == "label" and (self.num_classes is None or self.num_classes < 2):
            raise LabelsNeeded(f"{evaluator} needs labels of at least 2 classes; the data has {self.num_classes}")
        if self.test_batches is None:
            raise LabelsNeeded(f"{evaluator} needs a labelled test set; the data has none")

    def labelled_features(
        self, predict: Callable, state: Any, evaluator: str, of: str = "features", label: str = "label"
    ) -> Features:
        """`features` without the rows that have no label.

        Raises:
          LabelsNeeded: no labelled row.
          ValueError: a label of num_classes or more.
        """
        features = self.features(predict, state, of, label)
        kept = {}
        for split, y in (("train", features.train_y), ("test", features.test_y)):
            rows = np.flatnonzero(y >= 0)
            if not rows.size:
                raise LabelsNeeded(f"{evaluator}: no example of the {split} set has a label (all {y.size} are -1)")
            if y.max() >= features.num_classes:
                raise ValueError(f"{evaluator}: {split} label {y.max()} but num_classes={features.num_classes}")
            kept[split] = rows
        if kept["train"].size == features.train_y.size and kept["test"].size == features.test_y.size:
            return features
        train, test = kept["train"], kept["test"]
        return features._replace(
            train_x=features.train_x[train],
            train_y=features.train_y[train],
            test_x=features.test_x[test],
            test_y=features.test_y[test],
            train_index=features.train_index[train],
        )


def scope_of(of: str = "features", label: str = "label") -> str:
    """The scope (see `columns.scoped`) of results that read another output or label than the default; else ''."""
    return "/".join(name for name, usual in ((of, "features"), (label, "label")) if name != usual)


def _same(old: tuple, new: tuple) -> bool:
    return all(a is b for a, b in zip(old[:-1], new[:-1], strict=True)) and old[-1] == new[-1]


def _labels(found: dict[str, np.ndarray], label: str) -> np.ndarray:
    if label not in found:
        own = sorted(name for name, x in found.items() if x.ndim == 1 and name not in ("index", "_mask"))
        raise LabelsNeeded(f"label='{label}': the batches have no such array [N]; they have {own}")
    if not np.issubdtype(found[label].dtype, np.integer):
        raise ValueError(f"label='{label}': its values are {found[label].dtype}; integers would be right, -1 = none")
    return found[label].astype(np.int32)
