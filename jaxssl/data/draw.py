"""Which examples of a source are in the batch of a step, on the host and under jit alike.

A source says how it is to be drawn by `order`, `repeats`, `strata` and `draw`; the functions here turn that into ids. The
arrays that this needs are arguments (`draw_arrays`), since a compiled program must not hold them as constants.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxssl.data.index_stream import Groups, batch_ids, check_batch_size, group_ids, groups_of, mixed_ids

if TYPE_CHECKING:
    from jaxssl.data.source import Source


class Grouped(NamedTuple):
    """Batches of groups, `per_group` examples of each side by side (`index_stream.group_ids`)."""

    members: Groups
    per_group: int

    def arrays(self) -> Groups:
        """The NumPy arrays that `ids` reads."""
        return self.members

    def pools(self) -> tuple[np.ndarray, ...]:
        """The ids that are drawn from."""
        return (np.unique(self.members.members),)

    def without(self, place: np.ndarray) -> "Grouped":
        """The same of fewer examples: place [size] is the new id of each, -1 of one that is left out.

        A group of which fewer than `per_group` are left comes in no batch.
        Raises ValueError where no group is left.
        """
        first = np.unique(np.stack([self.members.start, self.members.size], axis=1), axis=0)
        parts = [place[self.members.members[start : start + size]] for start, size in first]
        parts = [part[part >= 0] for part in parts]
        parts = [part for part in parts if len(part) >= self.per_group]
        if not parts:
            raise ValueError(f"no group has per_group={self.per_group} examples left; a smaller share would be right.")
        number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return Grouped(groups_of(number, np.concatenate(parts), self.per_group), self.per_group)

    def check(self, batch_size: int) -> None:
        """Raises ValueError where no batch of this size can be made."""
        check_batch_size(batch_size, self.per_group, option="per_group")

    def ids(self, arrays: Any, seed: int, step: Any, batch_size: int, xp: Any) -> Any:
        """Ids [batch_size] of a step."""
        return group_ids(seed, step, batch_size=batch_size, members=arrays, per_group=self.per_group, xp=xp)


class Mixed(NamedTuple):
    """Batches that begin with rows of the first part, `share` of them, and end with rows of the second."""

    parts: tuple[np.ndarray, np.ndarray]
    share: float

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The NumPy arrays that `ids` reads."""
        return self.parts

    def pools(self) -> tuple[np.ndarray, ...]:
        """The ids that are drawn from."""
        return tuple(np.unique(part) for part in self.parts)

    def without(self, place: np.ndarray) -> "Mixed":
        """The same of fewer examples: place [size] is the new id of each, -1 of one that is left out.

        Raises ValueError where nothing is left of a part.
        """
        first, second = (place[part][place[part] >= 0] for part in self.parts)
        if not len(first) or not len(second):
            raise ValueError("one of the two parts of a batch has no example left; a smaller share would be right.")
        return Mixed((first, second), self.share)

    def counts(self, batch_size: int) -> tuple[int, int]:
        """Rows of a batch from each part."""
        first = round(self.share * batch_size)
        return first, batch_size - first

    def check(self, batch_size: int) -> None:
        """Raises ValueError where no batch of this size can be made."""
        if not 0 < self.counts(batch_size)[0] < batch_size:
            raise ValueError(
                f"share={self.share:g}: leaves one of the two parts of batch_size={batch_size} without a row."
            )

    def ids(self, arrays: Any, seed: int, step: Any, batch_size: int, xp: Any) -> Any:
        """Ids [batch_size] of a step."""
        return mixed_ids(seed, step, counts=self.counts(batch_size), parts=arrays, xp=xp)


def draw_arrays(source: "Source") -> Any:
    """The tree of int32 NumPy arrays that `draw_ids` reads; {} for a source that is drawn as it is."""
    order = {} if source.order is None else {"order": source.order}
    arrays = {"draw": source.draw.arrays()} if source.draw is not None else order
    return _as_int32(arrays)


def draw_ids(source: "Source", arrays: Any, seed: int, step: Any, *, batch_size: int, xp: Any = np) -> Any:
    """Ids of the examples in the global batch of a step, as `index_stream.batch_ids` returns them.

    Args:
      source: how to draw; none of its arrays is read.
      arrays: `draw_arrays(source)`, of NumPy or on the device.
      seed, step, batch_size, xp: as in `index_stream.batch_ids`.

    Raises:
      ValueError: as `check_draw`.
    """
    if source.draw is None:
        order = arrays.get("order")
        size = source.size if order is None else len(order)
        ways = dict(repeats=source.repeats, strata=source.strata)
        return batch_ids(seed, step, batch_size=batch_size, size=size, order=order, **ways, xp=xp)
    check_batch_size(batch_size, source.repeats)
    ids = source.draw.ids(arrays["draw"], seed, step, batch_size // source.repeats, xp)
    return xp.repeat(ids, source.repeats)


def check_draw(source: "Source", batch_size: int) -> None:
    """Raises ValueError, naming batch_size, where batches of that size cannot be drawn from the source."""
    check_batch_size(batch_size, source.repeats, source.strata)
    if source.draw is not None:
        source.draw.check(batch_size // source.repeats)


def _as_int32(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _as_int32(value) for name, value in tree.items()}
    if isinstance(tree, tuple):
        values = [_as_int32(value) for value in tree]
        return type(tree)(*values) if hasattr(tree, "_fields") else tuple(values)
    return np.asarray(tree, np.int32)
