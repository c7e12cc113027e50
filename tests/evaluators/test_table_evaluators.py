"""Evaluators and floors for tables, against scikit-learn."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from jaxssl.data.splits import hold_out
from jaxssl.evaluators.anomaly import anomaly, auroc
from jaxssl.evaluators.boosted_trees import boosted_trees
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.evaluators.floors.flat import flat
from jaxssl.evaluators.floors.table import isolation_forest, mahalanobis

STATE = SimpleNamespace(params={}, memory={}, step=jnp.int32(1))
preprocess = lambda key, batch: batch
RAW = flat(None, preprocess)


def batches(x, y, size=64):
    def iterate():
        for start in range(0, len(x), size):
            rows = len(x[start : start + size])
            pad = size - rows
            yield {
                "x": jnp.pad(jnp.asarray(x[start : start + size]), ((0, pad), (0, 0)), constant_values=np.nan),
                "label": jnp.pad(jnp.asarray(y[start : start + size]), (0, pad)),
                "index": jnp.arange(start, start + size),
                "_mask": jnp.arange(size) < rows,
            }

    return iterate


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(0)
    mix = random.normal(size=(5, 5))
    train = (random.normal(size=(150, 5)) @ mix + 1).astype(np.float32)
    test = (random.normal(size=(120, 5)) @ mix + 1).astype(np.float32)
    label = np.repeat([0, 1, 2], 40).astype(np.int32)
    test[label == 1] += random.normal(size=(40, 5)) * 2
    test[label == 2] -= 2.0
    return train, test, label


@pytest.fixture(scope="module")
def data(arrays):
    train, test, label = arrays
    names = ("fine", "noisy", "moved")
    return EvaluationData(batches(train, np.zeros(150, np.int32)), batches(test, label), 3, names)


def test_anomaly_is_what_scikit_learn_says(data, arrays):
    train, test, label = arrays
    score = -cosine_similarity(test, train.mean(0, keepdims=True))[:, 0]
    areas = [roc_auc_score(label[rows] > 0, score[rows]) for rows in (label != 2, label != 1)]
    found = anomaly(data, validation=0.0)(RAW, STATE)
    np.testing.assert_allclose([found["anomaly/noisy"], found["anomaly/moved"]], areas, rtol=1e-6)
    np.testing.assert_allclose(found["anomaly/auroc"], np.mean(areas), rtol=1e-6)
    np.testing.assert_allclose(found["anomaly/auroc_either_way"], np.mean([max(a, 1 - a) for a in areas]), rtol=1e-6)
    assert found["anomaly/auroc_as_scored"] == found["anomaly/auroc"] and found["anomaly/sign"] == 1


def test_the_rows_that_orient_the_score_are_in_no_result(data, arrays):
    """A score that is right on the validation part alone is turned by it and wrong everywhere else, and the reverse."""
    train, test, label = arrays
    known = hold_out(label, 0.25, np.random.default_rng(3), every_class=True)
    assert np.bincount(label[known]).tolist() == [10, 10, 10]
    for validation_right in (True, False):
        right = (label > 0) == (known == validation_right)
        predict = lambda params, memory, batch, right=right: {
            "features": batch["x"],
            "anomaly_score": jnp.take(jnp.asarray(right, jnp.float32), batch["index"], mode="clip")[:, None],
        }
        found = anomaly(data, validation=0.25, seed=3)(predict, STATE)
        assert found["anomaly/sign"] == (1 if validation_right else -1)
        assert found["anomaly/auroc_as_scored"] == (0 if validation_right else 1)
        assert found["anomaly/auroc"] == found["anomaly/noisy"] == found["anomaly/moved"] == 0
        assert found["anomaly/auroc_either_way"] == 1
    # The draw is that of the labels: features of another state are judged by the same rows.
    score = -cosine_similarity(test, train.mean(0, keepdims=True))[:, 0]
    rows = ~known & (label != 2)
    area = roc_auc_score(label[rows] > 0, score[rows])
    found = anomaly(data, validation=0.25, seed=3)(RAW, STATE)
    oriented = area if found["anomaly/sign"] > 0 else 1 - area
    np.testing.assert_allclose(found["anomaly/noisy"], oriented, rtol=1e-6)


def test_auroc_with_ties_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    positive, negative = random.integers(0, 4, 30), random.integers(0, 3, 50)
    expected = roc_auc_score(np.repeat([1, 0], [30, 50]), np.concatenate([positive, negative]))
    np.testing.assert_allclose(auroc(positive, negative), expected)
    assert auroc(np.ones(3), np.ones(4)) == 0.5


def test_a_wrong_way_detector_shows():
    """Features that say the opposite: below one half as scored, and above if some rows say which way is up."""
    x, y = np.float32([[1, 0]] * 10 + [[1, 0]] * 5 + [[1, 1]] * 5), np.repeat([0, 1, 0], [10, 5, 5])
    sets = EvaluationData(batches(x[:10], y[:10]), batches(x[10:], y[10:]), 2)
    both = {"anomaly/auroc_as_scored": 0.0, "anomaly/auroc_either_way": 1.0}
    assert anomaly(sets)(RAW, STATE) == {"anomaly/auroc": 1.0, "anomaly/sign": -1.0, **both}
    assert anomaly(sets, validation=0.0)(RAW, STATE) == {"anomaly/auroc": 0.0, "anomaly/sign": 1.0, **both}
    # With one row of a kind nothing can be held out of it, and the score is taken as it is.
    one = EvaluationData(batches(x[:10], y[:10]), batches(x[14:], y[14:]), 2)
    assert anomaly(one)(RAW, STATE) == {"anomaly/auroc": 0.0, "anomaly/sign": 1.0, **both}


def test_floors_give_their_own_scores(data, arrays):
    train, test, label = arrays
    mean, covariance = train.mean(0, dtype=np.float64), np.cov(train.astype(np.float64), rowvar=False, ddof=0)
    covariance += 0.01 * np.trace(covariance) / 5 * np.eye(5)
    centred = test - mean
    distance = (centred @ np.linalg.inv(covariance) * centred).sum(1)
    forest = -IsolationForest(n_estimators=100, random_state=0).fit(train.astype(np.float64)).score_samples(test)
    for floor, score in ((mahalanobis, distance), (isolation_forest, forest)):
        predict = floor(data, preprocess)
        found = data.outputs(predict, STATE, ("anomaly_score", "features"))
        np.testing.assert_allclose(found["anomaly_score"][:, 0], score, rtol=1e-4)
        np.testing.assert_array_equal(found["features"], test)
        areas = [roc_auc_score(label[rows] > 0, score[rows]) for rows in (label != 2, label != 1)]
        found = anomaly(data, validation=0.0)(predict, STATE)
        np.testing.assert_allclose(found["anomaly/auroc"], np.mean(areas), atol=1e-3)


def test_boosted_trees_are_those_of_scikit_learn(arrays):
    _, test, label = arrays
    train, held_out = np.arange(120) % 3 > 0, np.arange(120) % 3 == 0
    sets = EvaluationData(batches(test[train], label[train]), batches(test[held_out], label[held_out]), 3)
    trees = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, random_state=0)
    expected = trees.fit(test[train], label[train]).score(test[held_out], label[held_out])
    assert boosted_trees(sets, iterations=20)(RAW, STATE) == {"trees/top1": expected}
    with pytest.raises(NotApplicable, match="max_width"):
        boosted_trees(sets, max_width=4)(RAW, STATE)


def test_what_they_need(arrays):
    _, test, label = arrays
    for factory in (anomaly, boosted_trees):
        with pytest.raises(LabelsNeeded):
            factory(EvaluationData(batches(test, label), None, 3))
        with pytest.raises(LabelsNeeded):
            factory(EvaluationData(batches(test, label), batches(test, label), 0))
    normal_only = EvaluationData(batches(test, label), batches(test, 0 * label), 3)
    with pytest.raises(LabelsNeeded, match="of label 0 and of another"):
        anomaly(normal_only)(RAW, STATE)
    with pytest.raises(ValueError, match="validation=1: must lie in 0..1"):
        anomaly(EvaluationData(batches(test, label), batches(test, label), 3), validation=1)
