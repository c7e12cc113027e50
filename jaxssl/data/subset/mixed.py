"""Batches with a fixed share of examples that have a target."""

import dataclasses

import numpy as np

from jaxssl.data.draw import Mixed
from jaxssl.data.source import Splits
from jaxssl.data.views import pool, refuse, splits_of


def mixed(*, of: Splits, share: float) -> Splits:
    """Batches that begin with examples that have a target, round(share * batch_size) of them, and end with others.

    Each kind has epochs of its own, so that examples of the rarer kind come more often.

    Args:
      of: the data, with `target`.
      share: of the batch.

    Raises:
      ValueError: a share outside of (0, 1); no target; one of the two kinds is missing.
    """
    splits = splits_of(of, "mixed")
    if not 0 < share < 1:
        raise refuse("mixed", "share", share, "must lie in (0, 1)")
    source = splits.train
    ids = pool(source, "mixed")
    if "target" not in source.columns:
        raise ValueError(
            "data.subset.mixed: `of` has no `target`; data.subset.labelled(of=..., per_class=10) makes it."
        )
    known = np.asarray(source.columns["target"])[ids] >= 0
    if known.all() or not known.any():
        kind = "every" if known.all() else "no"
        raise ValueError(f"data.subset.mixed: {kind} example that `of` trains on has a target; some would be right.")
    return splits._replace(train=dataclasses.replace(source, order=None, draw=Mixed((ids[known], ids[~known]), share)))
