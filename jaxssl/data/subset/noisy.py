"""Wrong labels, as annotators make them."""

from typing import Literal

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.data.views import by_index, refuse, splits_of, targets, with_target


def noisy(*, of: Splits, rate: float, seed: int = 0, kind: Literal["symmetric", "pair"] = "symmetric") -> Splits:
    """Gives the training examples a `target` that is wrong for `rate` of them; `label`, which evaluators read, stays.

    Args:
      of: the data; where it has `target`, that is made wrong, and what is hidden stays hidden.
      rate: probability of another class.
      seed: of the draw; a higher rate keeps wrong what a lower one made wrong.
      kind: 'symmetric': any other class, by even chance; 'pair': the next one.

    Raises:
      ValueError: a rate outside of [0, 1]; fewer than two classes.
    """
    splits = splits_of(of, "noisy")
    if not 0 <= rate <= 1:
        raise refuse("noisy", "rate", rate, "must lie in [0, 1]")
    source = splits.train
    target, count = targets(source, "noisy"), source.num_targets or source.num_classes
    if count < 2:
        raise ValueError(f"data.subset.noisy: the data has {count} class; two at least would be right.")
    # Drawn by index, for all ids, so that the noise of an example does not depend on which others are there.
    random = np.random.default_rng(seed)
    chance, shift = random.random(source.num_ids), random.integers(1, count, source.num_ids)
    clean = by_index(source, target, -1)
    wrong = (clean + (shift if kind == "symmetric" else 1)) % count
    return with_target(splits, np.where((clean >= 0) & (chance < rate), wrong, clean), source.num_targets)
