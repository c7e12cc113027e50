"""Classes of unequal size, as the world has them."""

from typing import Literal

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.data.views import Evaluate, class_name, labels, narrowed, picked, pool, refuse, splits_of


def long_tail(
    *,
    of: Splits,
    ratio: float,
    kind: Literal["exponential", "step"] = "exponential",
    reverse: bool = False,
    seed: int = 0,
    split: Literal["train", "test"] = "train",
    evaluate: Evaluate = "all",
) -> Splits:
    """Thins out classes, later ones more: class c of C keeps n ratio^(-c / (C - 1)) examples, n those of the smallest.

    Args:
      of: the data.
      ratio: of the largest class to the smallest.
      kind: 'step': the first half of the classes keeps n examples, the second n / ratio.
      reverse: the first classes are the rare ones.
      seed: of the draw; a smaller ratio keeps what a larger one keeps.
      split: 'test' thins out the test examples, which evaluators then see so.
      evaluate: as in `data.subset.chosen`, of the training examples.

    Raises:
      ValueError: a ratio below 1 or too large for the classes; fewer than two classes; no test set.

    Source: Cui, Jia, Lin, Song, Belongie, Class-Balanced Loss Based on Effective Number of Samples, 2019,
      arXiv:1901.05555, https://arxiv.org/abs/1901.05555 (the exponential profile); Buda, Maki, Mazurowski, A systematic
      study of the class imbalance problem, 2018, arXiv:1710.05381, https://arxiv.org/abs/1710.05381 (the step)
    """
    splits = splits_of(of, "long_tail")
    if not ratio >= 1:
        raise refuse("long_tail", "ratio", ratio, "must be at least 1")
    source = splits.train if split == "train" else splits.test
    if source is None:
        raise refuse("long_tail", "split", split, "the data has no test set")
    ids = pool(source, "long_tail")
    label = labels(source, "long_tail")[ids]
    classes, sizes = np.unique(label[label >= 0], return_counts=True)
    if len(classes) < 2:
        raise ValueError("data.subset.long_tail: the data has one class; two at least would be right.")
    depth = np.arange(len(classes)) / (len(classes) - 1)
    depth = (depth >= 0.5).astype(float) if kind == "step" else depth
    wanted = np.round(sizes.min() * ratio ** -(depth[::-1] if reverse else depth)).astype(int)
    if wanted.min() < 1:
        name = class_name(source, int(classes[wanted.argmin()]))
        wrong = f"leaves class {name} without an example; at most {2 * sizes.min() - 1} would be right"
        raise refuse("long_tail", "ratio", ratio, wrong)
    rows = [
        np.random.default_rng((seed, int(c))).permutation(np.flatnonzero(label == c))[:n]
        for c, n in zip(classes, wanted, strict=True)
    ]
    kept = ids[np.sort(np.concatenate(rows))]
    return picked(splits, kept, evaluate) if split == "train" else splits._replace(test=narrowed(source, kept))
