"""Classical detectors of anomalies, as floors: `predict` gives `features`, the input itself, and `anomaly_score` [N, 1]."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.features import EvaluationData
from jaxssl.evaluators.floors.flat import flat


def mahalanobis(data: EvaluationData, preprocess: Callable, *, shrinkage: float = 0.01) -> Callable:
    """The anomaly score is the squared Mahalanobis distance to the mean of the training rows: (x - m)^T C^-1 (x - m).

    C is the covariance of the training rows, with `shrinkage` of its mean variance added along the diagonal.
    """

    def fit(rows):
        mean = rows.mean(axis=0)
        covariance = np.cov(rows, rowvar=False, ddof=0).reshape(rows.shape[1], rows.shape[1])
        covariance += shrinkage * max(np.trace(covariance) / len(covariance), 1e-12) * np.eye(len(covariance))
        inverse = np.linalg.inv(covariance)
        return lambda x: np.einsum("ni,ij,nj->n", x - mean, inverse, x - mean)

    return _detector(data, preprocess, fit)


def isolation_forest(data: EvaluationData, preprocess: Callable, *, trees: int = 100, seed: int = 0) -> Callable:
    """The anomaly score is that of an isolation forest: few random cuts isolate an anomaly (scikit-learn's IsolationForest)."""

    def fit(rows):
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=trees, random_state=seed).fit(rows)
        return lambda x: -forest.score_samples(x)

    return _detector(data, preprocess, fit)


def _detector(data, preprocess, fit):
    """A floor from fit(training rows [N, D]) -> score(rows) -> [N]; fitted at the first call, on all training rows."""
    raw, fitted = flat(data, preprocess), []

    def predict(params, memory, batch):
        if not fitted:
            rows = data.features(raw, _NoState).train_x
            fitted.append(fit(rows.astype(np.float64)))
        found = raw(params, memory, batch)
        # Rows that fill up a batch hold whatever they like.
        x = np.nan_to_num(np.asarray(found["features"], np.float64))
        return {**found, "anomaly_score": np.asarray(fitted[0](x), np.float32)[:, None]}

    return predict


class _NoState:
    """What `flat` does not look at."""

    params, memory, step = None, None, 0
