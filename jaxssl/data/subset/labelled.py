"""Few labels: a loss sees those of some examples only."""

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.data.subset.mixed import mixed
from jaxssl.data.views import by_index, class_name, labels, pool, refuse, splits_of, with_target


def labelled(
    *,
    of: Splits,
    per_class: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    share: float | None = None,
) -> Splits:
    """Gives the training examples `target` int32: the label of some, -1 of all others.

    The draws are nested: with more labels, those of fewer are among them. fraction=1 shows all labels.

    Args:
      of: the data; only examples that it trains on get a target.
      per_class: labels of each class.
      fraction: share of the labels of each class, at least one; in the place of `per_class`.
      seed: of the draw.
      share: of a batch that has a target, as `data.subset.mixed`; None: as it comes.

    Raises:
      ValueError: not just one of per_class and fraction; a class with too few examples; data without labels.
    """
    splits = splits_of(of, "labelled")
    if (per_class is None) == (fraction is None):
        raise ValueError(
            f"data.subset.labelled: per_class={per_class}, fraction={fraction}: just one of them would be right."
        )
    if per_class is not None and per_class < 1:
        raise refuse("labelled", "per_class", per_class, "must be at least 1")
    if fraction is not None and not 0 < fraction <= 1:
        raise refuse("labelled", "fraction", fraction, "must lie in (0, 1]")
    source = splits.train
    label, seen = labels(source, "labelled"), np.unique(pool(source, "labelled"))
    target = np.full(source.size, -1)
    for number in np.unique(label[seen][label[seen] >= 0]).tolist():
        rows = seen[label[seen] == number]
        count = per_class or max(1, round(fraction * len(rows)))
        if count > len(rows):
            wrong = f"class {class_name(source, number)} has {len(rows)} examples; at most that many would be right"
            raise refuse("labelled", "per_class", per_class, wrong)
        # A generator of its own for every class: its draw is the same whatever the other classes hold.
        target[np.random.default_rng((seed, number)).permutation(rows)[:count]] = number
    made = with_target(splits, by_index(source, target, -1))
    return made if share is None else mixed(of=made, share=share)
