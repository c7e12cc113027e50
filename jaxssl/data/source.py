"""Data sets as the rest of the library sees them: a size, and a way to fetch examples by their ids."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxssl.data.draw import Grouped, Mixed


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples 0 .. size-1 that can be fetched in any order.

    fetch(ids [N]) -> {'image': uint8 [N, H, W, C], 'label': int32 [N] (-1 = none), 'index': int32 [N]}; another kind of
        data has other arrays [N, ...] in the place of 'image', by the names that its augmentations know.
        A source that finds an example unreadable puts the next readable one in its place, with the label and
        the index of the example that is really there.
    fetch(ids, substitute=False) -> the same and '_mask' bool [N]; an unreadable example keeps its place,
        label and index, is black, and has _mask False.
    arrays: the whole data set as arrays when it lies in memory, which allows the resident path; else None.
    names: ids -> file names, for messages and reports; None when examples have no names.
    extra: data beside the examples that only evaluators read, by name: edges, pairs of sentences with scores, prompts.
    context: data beside the examples that every training step may read and none changes, by name: a whole graph, item
        features. Methods find it in `batch['context']` of `init` and in `memory['context']`.
    columns: arrays [size, ...] of small numbers that are known without reading an example, such as `label`.
    withheld: names of the batch's arrays that only evaluators see. What a loss may learn from is `target` int32 [N]
        (-1 = hidden), which `data.subset` makes.
    num_targets: classes of `target`; 0 where they are those of `label`.
    num_ids: `index` lies in 0 .. num_ids-1. A part of another source keeps the indices of the whole.
    order: int64 [M], the ids that an epoch of training goes through, repeats allowed; None: all, each once. Evaluation
        sees each example of the source once, whatever the order.
    repeats, strata: of the stream, see `index_stream.batch_ids`; strata are those of the places in `order`.
    draw: batches of groups, or of parts in fixed shares, in the place of `order` and `strata`.
    group: the array of `columns` or of the examples, int [size], that says which belong together: a speaker, a device, a
        file. All examples of a group stand in the same part of a validation split; '' or -1: an example stands alone.
    part: which part of the data evaluators see as their test set: 'test', or 'validation', a part of the training data.
    part_extra: `part_extra(ids, split) -> extra` of the examples `ids` alone, as a source of the split 'train' or 'test',
        where that is not what `data.validation` makes of `extra`; None: it is.
    whole: what this source was a part of before a validation part was held out; files of either fit both.
    """

    size: int
    fetch: Callable[..., dict[str, np.ndarray]]
    arrays: dict[str, np.ndarray] | None = None
    class_names: tuple[str, ...] | None = None
    names: Callable[[np.ndarray], list[str]] | None = None
    num_classes: int = 0
    extra: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    context: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    withheld: tuple[str, ...] = ("label",)
    num_targets: int = 0
    num_ids: int = 0
    order: np.ndarray | None = None
    repeats: int = 1
    strata: int = 1
    draw: Grouped | Mixed | None = None
    group: str = ""
    part: str = "test"
    part_extra: Callable[[np.ndarray, str], Mapping[str, Any]] | None = None
    whole: "Source | None" = None

    def __post_init__(self) -> None:
        if not self.num_ids:
            object.__setattr__(self, "num_ids", self.size)

    @property
    def has_labels(self) -> bool:
        return self.num_classes > 0

    @property
    def epoch_size(self) -> int:
        """Different examples that training sees."""
        if self.draw is not None:
            return sum(len(ids) for ids in self.draw.pools())
        return self.size if self.order is None else len(np.unique(self.order))

    def for_training(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch without the arrays that only evaluators see."""
        return {name: value for name, value in batch.items() if name not in self.withheld}


class Splits(NamedTuple):
    """The examples to train on, and those that only the evaluation sees (None when there are none)."""

    train: Source
    test: Source | None = None

    def sources(self) -> dict[str, Source]:
        """{'train': ..., 'test': ...}, without the one that is missing."""
        return {"train": self.train} if self.test is None else {"train": self.train, "test": self.test}


def from_arrays(
    arrays: Mapping[str, Any], *, class_names: Sequence[str] | None = None, where: str = "arrays"
) -> Source:
    """A source over arrays that lie in memory.

    Args:
      arrays: 'image' uint8 [N, H, W, C] or [N, H, W], or other arrays that all lead with N; 'label' int [N] is optional
        (-1 = no label). 'index' is added by this function.
      where: how error messages call these arrays, e.g. a file name.
      class_names: names of the labels 0, 1, ...; None without names.

    Raises:
      ValueError, TypeError: naming the array that does not fit.
    """
    arrays = {key: np.asarray(value) for key, value in arrays.items()}
    size = _common_length(arrays, where)
    if "image" in arrays:
        arrays["image"] = _checked_image(arrays["image"], where)
    label = arrays.get("label")
    label = np.full(size, -1) if label is None else label
    arrays["label"] = _checked_label(label, class_names, where)
    arrays["index"] = np.arange(size, dtype=np.int32)

    def fetch(ids, substitute=True):
        ids = np.asarray(ids, np.int64)
        batch = {key: value[ids] for key, value in arrays.items()}
        return batch if substitute else batch | {"_mask": np.ones(len(ids), bool)}

    highest = int(arrays["label"].max()) + 1
    num_classes = len(class_names) if class_names and highest > 0 else highest
    return Source(
        size=size,
        fetch=fetch,
        arrays=arrays,
        num_classes=num_classes,
        class_names=tuple(class_names) if class_names else None,
    )


def _common_length(arrays, where):
    if not arrays:
        raise ValueError(f"{where}: no arrays were given; an `image` array uint8 [N, H, W, C] would be right")
    for key, value in arrays.items():
        if value.ndim == 0:
            raise ValueError(f"{where}: `{key}` is a single number; every array must lead with N")
    lengths = {key: len(value) for key, value in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"{where}: the arrays have different numbers of examples: {lengths}")
    size = next(iter(lengths.values()))
    if size == 0:
        raise ValueError(f"{where}: the arrays hold no examples")
    return size


def _checked_image(image, where):
    if image.dtype != np.uint8:
        raise TypeError(f"{where}: `image` is {image.dtype}; it must be uint8 with values 0..255")
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4:
        raise ValueError(f"{where}: `image` has shape {image.shape}; it must be [N, H, W, C] or [N, H, W]")
    return image


def _checked_label(label, class_names, where):
    if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
        raise TypeError(f"{where}: `label` is {label.dtype} {label.shape}; it must be whole numbers [N]")
    if label.min() < -1:
        raise ValueError(f"{where}: `label` holds {label.min()}; labels are 0, 1, ... and -1 for none")
    if label.max() > np.iinfo(np.int32).max:
        raise ValueError(f"{where}: `label` holds {label.max()}; labels are int32")
    if class_names and label.max() >= len(class_names):
        raise ValueError(f"{where}: `label` holds {label.max()} but there are only {len(class_names)} class names")
    return label.astype(np.int32)
