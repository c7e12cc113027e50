"""Batches with one example of each group, or equally many."""

import dataclasses
from pathlib import Path

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.data.subset.grouped import group_numbers
from jaxssl.data.views import ordered, places_of, pool, read_ids, refuse, splits_of


def stratified(*, of: Splits, groups: str, balance: bool = False) -> Splits:
    """Batches in which every K rows hold one example of each of the K groups; batch_size is a multiple of K.

    In each epoch the examples of a group come in a new order, each once.

    Args:
      of: the data.
      groups: an array of the examples, int [N], such as 'label'; or a .npy file, either int [N], the group of each
        `index`, or int [m, K], a column of `index` for each group. An example in no group (-1) is left out.
      balance: groups of unequal size: the smaller ones are repeated up to the largest (class-balanced sampling).

    Raises:
      ValueError: groups of unequal size without `balance`; an example in two places of the file.
    """
    splits = splits_of(of, "stratified")
    source, ids = splits.train, pool(splits.train, "stratified")
    if groups.endswith((".npy", ".npz")):
        table, where = read_ids(groups, "stratified", "groups", "groups")
        if table.ndim == 2:
            places = places_of(source, table, where)
            if len(np.unique(places)) < places.size:
                raise ValueError(f"{where} names an example twice; each in one place would be right.")
            strangers = ~np.isin(places, ids)
            if strangers.any():
                raise ValueError(f"{where} holds {strangers.sum()} examples that `of` leaves out of training.")
            return _in_strata(splits, places)
    group = group_numbers(source, groups, "stratified", "groups")[ids]
    numbers, sizes = np.unique(group[group >= 0], return_counts=True)
    if sizes.min() < sizes.max() and not balance:
        wrong = f"groups of {sizes.min()} to {sizes.max()} examples; equal groups, or balance=True, would be right"
        raise refuse("stratified", "groups", Path(groups).name, wrong)
    columns = [np.resize(ids[group == number], sizes.max()) for number in numbers]
    return _in_strata(splits, np.stack(columns, axis=1))


def _in_strata(splits: Splits, places: np.ndarray) -> Splits:
    """places: ids [m, K], a column for each stratum."""
    train = ordered(splits.train, places.reshape(-1))
    return splits._replace(train=dataclasses.replace(train, strata=places.shape[1]))
