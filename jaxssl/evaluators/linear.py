"""Linear probes on frozen features: ridge and multinomial logistic regression."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators import probes
from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, scope_of


@columns(Column("linear/top1", "linear, all labels"), Column("linear/ridge_top1", "ridge, all labels"))
def linear(
    data: EvaluationData,
    *,
    penalties: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
    holdout: float = 0.2,
    seed: int = 0,
    of: str = "features",
    label: str = "label",
) -> Callable:
    """Test accuracy in [0, 1] of two linear classifiers on features standardised with the training set.

    `linear/top1`: `probes.logistic_regression`. `linear/ridge_top1`: `probes.ridge`. Each takes the penalty
    with the best accuracy on a held-out part of the training set (the larger one when equal; reported as
    `linear/penalty` and `linear/ridge_penalty`) and is then fitted to the whole training set. The logistic
    path runs from the largest penalty down and ends after two penalties in a row worse than the best.

    Args:
      penalties: tried; relative to the mean loss (scikit-learn: C = 1 / (penalty * N), alpha = penalty * N).
      holdout: part of each class held out, in (0, 1); the draw depends on the labels and on `seed` only.
      of: the output of `predict` [N, D].
      label: the array int [N] of the batches that is predicted. With another `of` or `label` than the default, the
        results are called '<of>/<label>/linear/...'.

    Raises:
      LabelsNeeded: at build time, without labels or a test set; when run, with too few labels to hold any out.
      ValueError: bad options.
    """
    data.need_labels("linear", label)
    penalties = tuple(sorted((float(p) for p in penalties), reverse=True))
    if not penalties or not penalties[-1] > 0:
        raise ValueError(f"penalties={penalties}: must be one or more positive numbers.")
    if not 0 < holdout < 1:
        raise ValueError(f"holdout={holdout!r}: must be in (0, 1).")

    def run(predict, state) -> dict[str, float]:
        f = data.labelled_features(predict, state, "linear", of, label)
        train_x, test_x = probes.standardise(f.train_x, f.test_x)
        held_out = stratified_holdout(f.train_y, holdout, seed)
        ridge = _ridge(train_x, f.train_y, test_x, f.test_y, held_out, penalties, f.num_classes)
        logistic = _logistic(train_x, f.train_y, test_x, f.test_y, held_out, penalties, f.num_classes)
        results = {
            "linear/top1": logistic[0],
            "linear/penalty": logistic[1],
            "linear/ridge_top1": ridge[0],
            "linear/ridge_penalty": ridge[1],
        }
        return scoped(results, scope_of(of, label))

    return run


def stratified_holdout(labels: np.ndarray, holdout: float, seed: int) -> np.ndarray:
    """bool [N], True for a random part `holdout` of each class: at least one row, but never all rows."""
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(holdout * len(rows))), len(rows) - 1)
        held_out[rows[:count]] = True
    if not held_out.any():
        raise LabelsNeeded(f"{len(labels)} labelled training rows: no class has 2, so none can be held out")
    return held_out


def _ridge(train_x, train_y, test_x, test_y, held_out, penalties, num_classes):
    options = dict(num_classes=num_classes, penalties=jnp.asarray(penalties))
    # Held-out rows get the weight 0 instead of being cut away, so that one compilation serves both fits.
    coef, intercept = probes.ridge(train_x, train_y, weight=jnp.asarray(~held_out, jnp.float32), **options)
    held_x, held_y = train_x[held_out], train_y[held_out]
    scores = [_accuracy(held_x, held_y, w, b) for w, b in zip(coef, intercept, strict=True)]
    best = int(np.argmax(scores))
    coef, intercept = probes.ridge(train_x, train_y, weight=jnp.ones(len(train_y)), **options)
    return _accuracy(test_x, test_y, coef[best], intercept[best]), penalties[best]


def _logistic(train_x, train_y, test_x, test_y, held_out, penalties, num_classes):
    rotated = probes.rotate(train_x)
    weight = jnp.asarray(~held_out, jnp.float32)
    params = best_params = probes.zero_start(rotated, num_classes)
    best_score, best_penalty, worse = -1.0, penalties[0], 0
    for penalty in penalties:
        # Precise enough to compare penalties; the last fit is the one that counts.
        params = probes.fit_logistic(rotated, train_y, penalty, weight, params, 1e-4, 200)
        score = _accuracy(train_x[held_out], train_y[held_out], *probes.unrotate(rotated, params))
        if score > best_score:
            best_score, best_penalty, best_params = score, penalty, params
        worse = worse + 1 if score < best_score else 0
        if worse == 2:
            break
    params = probes.fit_logistic(rotated, train_y, best_penalty, jnp.ones(len(train_y)), best_params, 1e-5, 1000)
    return _accuracy(test_x, test_y, *probes.unrotate(rotated, params)), best_penalty


def _accuracy(x, labels, coef, intercept) -> float:
    logits = x @ np.asarray(coef) + np.asarray(intercept)
    return float(np.mean(np.argmax(logits, axis=1) == labels))
