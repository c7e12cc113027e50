"""The parts of the views of a source (`data.subset`): another order, a selection, further arrays.

`index` names an example through all views: it is looked up by it, never by its place, because a source that finds an
example unreadable puts another one there.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.reading import MAX_FILE_MB, foreign, regular_file
from jaxssl.data.source import Source, Splits
from jaxssl.names import shown

log = logging.getLogger("jaxssl")

# The examples that evaluators see of a view that picks some: all of the section `of`, or those picked.
Evaluate = Literal["all", "chosen"]
BATCH = 256
# Of `Source.extra`: the nodes of a graph that the examples are about, in their order.
NODES = ("train_nodes", "test_nodes")


def splits_of(of: Any, view: str) -> Splits:
    """`of`, the data of another section. Raises TypeError naming the view where it is none."""
    if not isinstance(of, Splits):
        raise TypeError(
            f"data.subset.{view}.of={str(of)[:60]}: is no data; a section of data would be right, as in"
            " of=dict(name='data.sets.fashion_mnist_12k')."
        )
    return of


def refuse(view: str, option: str, value: Any, wrong: str) -> ValueError:
    """An error in the shape of the library: `data.subset.VIEW.OPTION=VALUE: what is wrong; what would be right.`"""
    return ValueError(f"data.subset.{view}.{option}={value!r}: {wrong}.")


def index_of(source: Source) -> np.ndarray:
    """`index` of the examples 0 .. size-1 that the source can fetch: int64 [size]."""
    known = source.columns.get("index")
    return np.arange(source.size) if known is None else np.asarray(known, np.int64)


def column(source: Source, name: str, view: str) -> np.ndarray:
    """The array `name` [size, ...] of all examples: at hand where the source knows it, else by reading every example.

    Raises:
      ValueError: naming the view where examples have no such array.
    """
    for at_hand in (source.columns, source.arrays or {}):
        if name in at_hand:
            return np.asarray(at_hand[name])
    known = sorted(source.fetch(np.zeros(0, np.int64)))
    if name not in known:
        raise ValueError(f"data.subset.{view}: the examples have no array `{name}`; they have {', '.join(known)}.")
    log.info("data.subset.%s reads all %d examples for their `%s`", view, source.size, name)
    batches = evaluation_batches(source, batch_size=BATCH)
    return np.concatenate([batch[name] for batch in batches])[: source.size]


def labels(source: Source, view: str) -> np.ndarray:
    """`label` int [size]. Raises ValueError naming the view where no example has one."""
    found = column(source, "label", view)
    if not (found >= 0).any():
        raise ValueError(f"data.subset.{view}: no training example has a label; data with labels would be right.")
    return found


def class_name(source: Source, number: int) -> str:
    """'3 (Dress)', or '3' where classes have no names."""
    names = source.class_names or ()
    return f"{number} ({names[number]})" if 0 <= number < len(names) else str(number)


def pool(source: Source, view: str) -> np.ndarray:
    """The ids that an epoch of training goes through, int64 [M], where a view of a view begins.

    Raises:
      ValueError: where the source draws groups, strata or mixtures: such a view must be the outermost.
    """
    if source.draw is not None or source.strata > 1:
        raise ValueError(
            f"data.subset.{view}: `of` fixes what is in a batch (grouped, mixed, stratified); let that view be the outer one."
        )
    return np.arange(source.size) if source.order is None else source.order


def ordered(source: Source, order: np.ndarray) -> Source:
    """The source whose training goes through the ids `order` [M] in an epoch; evaluation still sees all examples."""
    order = np.asarray(order, np.int64)
    return dataclasses.replace(source, order=order, fetch=_within(source, np.unique(order)))


def narrowed(source: Source, ids: np.ndarray) -> Source:
    """The examples `ids` [M] of a source, each once and in order, with the `index` that they have there."""
    kept = np.unique(np.asarray(ids, np.int64))
    within = _within(source, kept)
    take = lambda arrays: {name: np.asarray(x)[kept] for name, x in arrays.items()}
    arrays = source.arrays
    if arrays is not None:
        arrays = take({"index": np.arange(source.size, dtype=np.int32), **arrays})
    return dataclasses.replace(
        source,
        size=len(kept),
        fetch=lambda asked, substitute=True: within(kept[np.asarray(asked, np.int64)], substitute),
        arrays=arrays,
        names=source.names and (lambda asked: source.names(kept[np.asarray(asked, np.int64)])),
        columns={**take(source.columns), "index": index_of(source)[kept]},
        extra={name: np.asarray(x)[kept] if name in NODES else x for name, x in source.extra.items()},
        num_ids=source.num_ids,
        order=None,
        part_extra=source.part_extra and (lambda asked, split: source.part_extra(kept[asked], split)),
        whole=None,
    )


def picked(splits: Splits, order: np.ndarray, evaluate: Evaluate) -> Splits:
    """Training goes through the ids `order` [M]; `evaluate` says whether evaluators still see the others."""
    if evaluate == "all":
        return splits._replace(train=ordered(splits.train, order))
    train = narrowed(splits.train, order)
    kept, place = np.unique(order, return_inverse=True)
    return splits._replace(train=train if len(kept) == len(order) else ordered(train, place))


def joined(source: Source, arrays: Mapping[str, np.ndarray]) -> Source:
    """The source whose examples have more arrays, or others: `arrays` [num_ids, ...], looked up by `index`."""
    arrays = {name: plain_type(x) for name, x in arrays.items()}

    def add(batch, index):
        return {**batch, **{name: x[index] for name, x in arrays.items()}}

    def fetch(ids, substitute=True):
        batch = source.fetch(ids, substitute=substitute)
        return add(batch, batch["index"])

    index = index_of(source)
    small = {name: x for name, x in arrays.items() if x.ndim == 1}
    return dataclasses.replace(
        source,
        fetch=fetch,
        arrays=None if source.arrays is None else add(source.arrays, index),
        columns={**source.columns, **{name: x[index] for name, x in small.items()}},
        whole=source.whole and joined(source.whole, arrays),
    )


def with_target(splits: Splits, target: np.ndarray, num_targets: int = 0) -> Splits:
    """The training examples with `target` int [num_ids]; the test examples have it too, hidden, so that batches are alike."""
    train = dataclasses.replace(joined(splits.train, {"target": target}), num_targets=num_targets)
    if splits.test is None:
        return Splits(train)
    return Splits(train, joined(splits.test, {"target": np.full(splits.test.num_ids, -1)}))


def targets(source: Source, view: str) -> np.ndarray:
    """The classes that a loss may learn from, int64 [size]: `target` where a view has made it, else `label`."""
    made = "target" in source.columns
    return np.asarray(source.columns["target"] if made else labels(source, view), np.int64)


def by_index(source: Source, values: np.ndarray, missing: Any) -> np.ndarray:
    """values [size, ...] of the examples as an array [num_ids, ...]; ids that the source lacks get `missing`."""
    made = np.full((source.num_ids, *values.shape[1:]), missing, values.dtype)
    made[index_of(source)] = values
    return made


def plain_type(x: np.ndarray) -> np.ndarray:
    """int64 as int32 and float64 as float32, as on a device."""
    x = np.asarray(x)
    kinds = {"i": np.int32, "u": np.int32, "f": np.float32}
    return x.astype(kinds[x.dtype.kind]) if x.dtype.itemsize > 4 and x.dtype.kind in kinds else x


def read_arrays(file: str, view: str, option: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name, or {'': array} of a .npy file; objects are never unpickled.

    Raises:
      FileNotFoundError, ValueError: naming the file.
    """
    path = Path(file).expanduser()
    regular_file(path, MAX_FILE_MB, right=f"data.subset.{view}.{option} must name a .npy or .npz file")
    with foreign(path, "plain NumPy arrays"):
        found = np.load(path, allow_pickle=False)
        return {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}


def read_ids(file: str | Sequence[int], view: str, option: str, key: str = "index") -> tuple[np.ndarray, str]:
    """(int64 array of any rank, what messages call it): ids given as they are, of a .npy file, or `key` of a .npz file."""
    if not isinstance(file, str):
        found, where = np.asarray(file), option
    else:
        arrays, where = read_arrays(file, view, option), shown(Path(file).name)
        found = arrays.get("", arrays.get(key))
        if found is None:
            raise ValueError(f"{where} holds {', '.join(sorted(arrays))}; an array `{key}` would be right.")
    if not found.size:
        raise ValueError(f"{where} is empty; ids of examples would be right.")
    if found.dtype.kind not in "iu":
        raise ValueError(f"{where} is {found.dtype} {list(found.shape)}; ids are whole numbers.")
    return found.astype(np.int64), where


def places_of(source: Source, index: np.ndarray, where: str) -> np.ndarray:
    """The ids to fetch of examples named by their `index` [...]. Raises ValueError where the source lacks one."""
    place = np.full(source.num_ids, -1)
    place[index_of(source)] = np.arange(source.size)
    outside = index[(index < 0) | (index >= source.num_ids)]
    if outside.size:
        raise ValueError(f"{where} holds {outside.flat[0]} but the source has ids 0 ... {source.num_ids - 1}.")
    found = place[index]
    if (found < 0).any():
        raise ValueError(f"{where} holds {index[found < 0].flat[0]}, which is not among the {source.size} ids of `of`.")
    return found


def fingerprint(source: Source) -> str:
    """sha256 over size, labels and names of the examples: whether a file was made for this source.

    A source of which a validation part was held out has that of the whole.
    """
    if source.whole is not None:
        return fingerprint(source.whole)
    digest = hashlib.sha256(f"{source.size}\n".encode())
    digest.update(np.ascontiguousarray(index_of(source), "<i8"))
    digest.update(np.ascontiguousarray(column(source, "label", "beside"), "<i4"))
    if source.names is not None:
        digest.update("\n".join(source.names(np.arange(source.size))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _within(source: Source, kept: np.ndarray) -> Callable[..., dict[str, np.ndarray]]:
    """`fetch` that puts only examples of `kept` (increasing ids) in the place of unreadable ones."""
    if source.arrays is not None:
        return source.fetch

    def fetch(ids, substitute=True):
        ids = np.array(ids, np.int64)
        batch = source.fetch(ids, substitute=False)
        if not substitute:
            return batch
        for row in np.flatnonzero(~batch["_mask"]):
            start = np.searchsorted(kept, ids[row])
            for i in np.r_[kept[start:], kept[:start]]:
                found = source.fetch([i], substitute=False)
                if found["_mask"][0]:
                    break
            else:
                raise ValueError(f"none of the {len(kept)} examples that this view holds is readable")
            for name, value in batch.items():
                value[row] = found[name][0]
        return {name: value for name, value in batch.items() if name != "_mask"}

    return fetch
