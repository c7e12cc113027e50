"""Batches of groups: several examples of a class, bags of near duplicates."""

import dataclasses

import numpy as np

from jaxssl.data.draw import Grouped
from jaxssl.data.index_stream import groups_of
from jaxssl.data.source import Source, Splits
from jaxssl.data.views import class_name, column, index_of, pool, read_ids, refuse, splits_of


def grouped(*, of: Splits, array: str, per_group: int) -> Splits:
    """Batches in which examples of one group stand side by side, `per_group` of each.

    Each example comes once an epoch, so that larger groups come more often (`index_stream.group_ids`).

    Args:
      of: the data.
      array: of the examples, int [N], which says the group, such as 'label' or what `data.subset.beside` has added; or
        a .npy file, the group of each `index`. An example in no group (-1) is left out.
      per_group: m, which must divide batch_size.

    Raises:
      ValueError: per_group below 2; a group of fewer examples; no such array.
    """
    splits = splits_of(of, "grouped")
    if per_group < 2:
        raise refuse("grouped", "per_group", per_group, "must be at least 2")
    source, ids = splits.train, np.unique(pool(splits.train, "grouped"))
    group = group_numbers(source, array, "grouped", "array")[ids]
    ids, group = ids[group >= 0], group[group >= 0]
    numbers, sizes = np.unique(group, return_counts=True)
    if sizes.min() < per_group:
        number = int(numbers[sizes.argmin()])
        name = class_name(source, number) if array == "label" else number
        some = f"{sizes.min()} example{'s' * int(sizes.min() > 1)}"
        raise refuse("grouped", "per_group", per_group, f"group {name} of '{array}' has {some}")
    members = groups_of(group, ids, per_group)
    return splits._replace(train=dataclasses.replace(source, order=None, draw=Grouped(members, per_group)))


def group_numbers(source: Source, array: str, view: str, option: str) -> np.ndarray:
    """The group of every example, int64 [size], -1 for none: by an array of the examples, or a file by `index`."""
    if array.endswith((".npy", ".npz")):
        found, where = read_ids(array, view, option, "group")
        if found.shape != (source.num_ids,):
            right = f"the group of each of the {source.num_ids} ids, [{source.num_ids}], would be right"
            raise ValueError(f"{where} is {list(found.shape)}; {right}.")
        found = found[index_of(source)]
    else:
        found = column(source, array, view)
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise refuse(view, option, array, f"is {found.dtype} {list(found.shape)}; one whole number an example")
    if not (found >= 0).any():
        raise refuse(view, option, array, "no example is in a group")
    return found.astype(np.int64)
