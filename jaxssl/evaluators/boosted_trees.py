"""Boosted trees on frozen features: on a table itself they are the classical floor."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable


@columns(Column("trees/top1", "boosted trees"))
def boosted_trees(data: EvaluationData, *, max_width: int = 512, iterations: int = 100, seed: int = 0) -> Callable:
    """Test accuracy of scikit-learn's HistGradientBoostingClassifier, as `trees/top1` in [0, 1].

    Args:
      max_width: rows of the table of results with more features than this are left out: trees need time for each.
      iterations: rounds of boosting; no training row is held out.
      seed: of the trees.

    Raises:
      LabelsNeeded: at build time, without labels or a test set.
      NotApplicable: when run, with more than `max_width` features.
    """
    data.need_labels("boosted_trees")
    if max_width < 1 or iterations < 1:
        raise ValueError(f"max_width={max_width}, iterations={iterations}: must be at least 1.")

    def run(predict, state) -> dict[str, float]:
        from sklearn.ensemble import HistGradientBoostingClassifier

        f = data.labelled_features(predict, state, "boosted_trees")
        if f.train_x.shape[1] > max_width:
            raise NotApplicable(f"boosted_trees: {f.train_x.shape[1]} features, max_width={max_width}")
        trees = HistGradientBoostingClassifier(max_iter=iterations, early_stopping=False, random_state=seed)
        predicted = trees.fit(f.train_x, f.train_y).predict(f.test_x)
        return {"trees/top1": float(np.mean(predicted == f.test_y))}

    return run
