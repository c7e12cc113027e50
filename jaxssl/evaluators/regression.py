"""Linear regression on frozen features: how well they predict a number, such as an age, a price or a distance."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators import probes
from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable, scope_of


@columns(Column("regression/r2", "R2", ""), Column("regression/mae", "mean absolute error", "", "lower"))
def regression(
    data: EvaluationData,
    *,
    target: str,
    unit: str = "",
    of: str = "features",
    penalties: tuple[float, ...] = (1e1, 1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
) -> Callable:
    """Ridge regression of a target on features standardised with the training set; no test row is seen.

    `<target>/regression/r2`: 1 - (squared error) / (variance of the test targets about their mean). 1 is perfect, 0 is
      as good as their mean, and there is no lower bound.
    `<target>/regression/mae`: mean absolute error, in the unit of the target. Of several targets [N, T], both are
      means.
    `<target>/regression/penalty`: the penalty, that of the least leave-one-out squared error on the training set (with
      several targets the geometric mean of theirs).

    Args:
      target: an array float [N] or [N, T] of the batches, or an entry of the data's `extra`, {'train': [N], 'test': [M]},
        rows by the ids of the examples. NaN = unknown: the example is left out.
      unit: of the target, for the table, as 'years'.
      of: the output of `predict` [N, D]. With another one than the features, the results are called
        '<of>/<target>/regression/...'.
      penalties: tried, relative to the mean squared error (scikit-learn: alpha = penalty * N).

    Raises:
      NotApplicable: at build time, without a test set; when run, without such a target.
      LabelsNeeded: when run, with fewer than two rows of known target in a part.
      ValueError: bad options.
    """
    penalties = tuple(sorted(float(p) for p in penalties))
    if not penalties or not penalties[0] > 0:
        raise ValueError(f"penalties={penalties}: must be one or more positive numbers.")
    if data.test_batches is None:
        raise NotApplicable("regression needs a test set; the data has none")

    def targets(split):
        """float64 [N, T] of a split, in the order of the ids."""
        if target in data.extra:
            found = np.asarray(data.extra[target][split])[data.array("index", split=split)]
        else:
            found = data.array(target, split=split)
        return found.astype(np.float64).reshape(len(found), -1)

    def run(predict, state) -> dict[str, float]:
        from sklearn.linear_model import RidgeCV
        from sklearn.metrics import mean_absolute_error, r2_score

        f, parts = data.features(predict, state, of), []
        for split, x in (("train", f.train_x), ("test", f.test_x)):
            y = targets(split)
            known = np.isfinite(y).all(axis=1)
            if known.sum() < 2:
                raise LabelsNeeded(f"target='{target}': {known.sum()} rows of the {split} set have one; 2 are needed")
            parts.append((x[known], y[known]))
        (train_x, train_y), (test_x, test_y) = parts
        train_x, test_x = probes.standardise(train_x, test_x)
        # In units of their spread, so that no target outweighs the others; a constant target stays.
        spread = np.where(train_y.std(0) > 0, train_y.std(0), 1.0)
        model = RidgeCV(np.asarray(penalties) * len(train_y), alpha_per_target=train_y.shape[1] > 1)
        model.fit(train_x.astype(np.float64), train_y / spread)
        predicted = model.predict(test_x.astype(np.float64)).reshape(test_y.shape) * spread
        results = {
            "regression/r2": float(r2_score(test_y, predicted)),
            "regression/mae": float(mean_absolute_error(test_y, predicted)),
            "regression/penalty": float(np.exp(np.mean(np.log(model.alpha_))) / len(train_y)),
        }
        return scoped(results, scope_of(of, target))

    return columns(
        Column("regression/r2", "R2", "", "higher"), Column("regression/mae", "mean absolute error", unit, "lower")
    )(run)
