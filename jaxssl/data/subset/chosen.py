"""The examples that a file names."""

from collections.abc import Sequence

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.data.views import Evaluate, picked, places_of, pool, read_ids, splits_of


def chosen(*, of: Splits, ids: str | Sequence[int], key: str = "index", evaluate: Evaluate = "all") -> Splits:
    """Trains on the examples that `ids` names, one as often as it is named.

    Args:
      of: the data.
      ids: `index` of the examples, or a .npy file of them, int [M], or a .npz file.
      key: the array of the .npz file.
      evaluate: 'all': evaluators see all training examples of `of`; 'chosen': only those named.

    Raises:
      ValueError: ids that are no whole numbers, none, or not in `of`.
    """
    splits = splits_of(of, "chosen")
    index, where = read_ids(ids, "chosen", "ids", key)
    order = places_of(splits.train, index.reshape(-1), where)
    strangers = order[~np.isin(order, pool(splits.train, "chosen"))]
    if strangers.size:
        raise ValueError(f"{where} holds examples that `of` leaves out of training, {strangers.size} of {order.size}.")
    return picked(splits, order, evaluate)
