"""The ridge probe of numbers against a float64 loop, on scikit-learn's diabetes data."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.source import Splits, from_arrays
from jaxssl.evaluators.columns import declared, find
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.evaluators.regression import regression

STATE = SimpleNamespace(params={}, memory={}, step=1)
X, Y = load_diabetes(return_X_y=True)
TRAIN, TEST = np.arange(300), np.arange(300, 442)
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)
predict = lambda params, memory, batch: {"features": batch["numbers"], "two": batch["numbers"][:, [2, 8]]}


def data(extra=None, **arrays):
    parts = (
        {"numbers": X[rows].astype(np.float32), **{k: v[rows] for k, v in arrays.items()}} for rows in (TRAIN, TEST)
    )
    serve = lambda source: evaluation_batches(source, batch_size=64)
    found = EvaluationData(lambda: iter(()), serve=serve).of(Splits(*map(from_arrays, parts)))
    found.extra = extra or {}
    return found


def ridge(x, y, penalty):
    """float64, intercept not penalised."""
    mean, centre = x.mean(0), y.mean()
    w = np.linalg.solve((x - mean).T @ (x - mean) + penalty * len(x) * np.eye(x.shape[1]), (x - mean).T @ (y - centre))
    return lambda x: (x - mean) @ w + centre


def expected(x, y, test_x, test_y):
    """Leave-one-out chooses the penalty, row by row."""
    test_x, x = (test_x - x.mean(0)) / x.std(0), (x - x.mean(0)) / x.std(0)
    rows = np.arange(len(x))
    error = lambda p: sum(
        (ridge(x[rows != i], y[rows != i], p * len(x) / (len(x) - 1))(x[i]) - y[i]) ** 2 for i in rows
    )
    best = min(PENALTIES, key=error)
    residual = test_y - ridge(x, y, best)(test_x)
    return best, 1 - np.sum(residual**2) / np.sum((test_y - test_y.mean()) ** 2), np.abs(residual).mean()


def test_against_a_float64_loop():
    run = regression(data(progression=Y), target="progression", unit="points", penalties=PENALTIES)
    found = run(predict, STATE)
    best, r2, mae = expected(X[TRAIN], Y[TRAIN], X[TEST], Y[TEST])
    assert found["progression/regression/penalty"] == pytest.approx(best)
    assert found["progression/regression/r2"] == pytest.approx(r2, abs=1e-5) and r2 > 0.4
    assert found["progression/regression/mae"] == pytest.approx(mae, rel=1e-5)
    column = find("progression/regression/mae", declared(run))
    assert column.title == "progression: mean absolute error (points ↓)" and column.shown(mae) == f"{mae:.4g}"


def test_unknown_targets_are_left_out_and_extra_is_read_by_id():
    some = np.where(np.arange(442) % 3 == 0, np.nan, Y)
    extra = {"progression": {"train": some[TRAIN], "test": some[TEST]}}
    found = regression(data(extra), target="progression", of="two", penalties=PENALTIES)(predict, STATE)
    known = np.isfinite(some)
    train, test = TRAIN[known[TRAIN]], TEST[known[TEST]]
    _, r2, mae = expected(X[train][:, [2, 8]], Y[train], X[test][:, [2, 8]], Y[test])
    assert found["two/progression/regression/r2"] == pytest.approx(r2, abs=1e-5)
    assert found["two/progression/regression/mae"] == pytest.approx(mae, rel=1e-5)


def test_several_targets_are_as_one_by_one():
    both = np.stack([Y, 1000 * X[:, 2] + X[:, 0]], axis=1)
    found = regression(data(both=both), target="both", penalties=PENALTIES)(predict, STATE)
    each = [regression(data(t=both[:, i]), target="t", penalties=PENALTIES)(predict, STATE) for i in range(2)]
    for name in ("r2", "mae"):
        mean = np.mean([part[f"t/regression/{name}"] for part in each])
        assert found[f"both/regression/{name}"] == pytest.approx(mean, rel=1e-5)


def test_refusals():
    with pytest.raises(NotApplicable, match="no 'age', only"):
        regression(data(), target="age")(predict, STATE)
    with pytest.raises(LabelsNeeded, match="target='age': 0 rows of the train set"):
        regression(data(age=np.full(442, np.nan)), target="age")(predict, STATE)
    with pytest.raises(ValueError, match="penalties=.*must be"):
        regression(data(), target="age", penalties=())
    with pytest.raises(NotApplicable, match="test set"):
        regression(EvaluationData(lambda: iter(())), target="age")
