"""Evaluators on other data, and scores that tell other data apart: Fashion-MNIST and the digits of scikit-learn."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from jaxssl.augment.image import plain
from jaxssl.build import build
from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.source import Splits, from_arrays
from jaxssl.evaluators.columns import declared, find
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.knn import nearest_similarity
from jaxssl.evaluators.ood import fpr, ood
from jaxssl.evaluators.transfer import transfer

STATE = SimpleNamespace(params={}, memory={}, step=1)
DIGITS = dict(name="data.sets.digits")
PREPROCESS = plain(size=14, mean=(0.3,), std=(0.35,))
W = np.random.default_rng(0).normal(size=(196, 5)).astype(np.float32) / 14


@jax.jit
def predict(params, memory, batch):
    """The pixels of both data at one size; logits of a random matrix."""
    x = PREPROCESS(None, batch)["x"].reshape(-1, 196)
    return {"features": x, "logits": x @ W}


def whole(source, name):
    batch = next(evaluation_batches(source, batch_size=source.size))
    return np.asarray(predict({}, {}, batch)[name], np.float64), batch["label"]


@pytest.fixture(scope="module")
def splits():
    return build(dict(name="data.sets.fashion_mnist_12k", limit=500))


@pytest.fixture(scope="module")
def data(splits):
    serve = lambda source: evaluation_batches(source, batch_size=128)
    return EvaluationData(lambda: iter(()), serve=serve).of(splits)


def test_transfer_is_the_evaluator_on_the_other_data(data):
    evaluators = dict(
        knn=dict(name="evaluators.knn", k=1), few=dict(name="evaluators.few_labels", per_class=(2,), draws=2)
    )
    run = transfer(data, source=DIGITS, evaluators=evaluators, scope="digits")
    found = run(predict, STATE)
    digits = build(DIGITS)
    (x, y), (test_x, test_y) = whole(digits.train, "features"), whole(digits.test, "features")
    expected = KNeighborsClassifier(1, metric="cosine").fit(x, y).score(test_x, test_y)
    assert found["digits/knn/top1"] == pytest.approx(expected, abs=1e-6) and expected > 0.95
    assert set(found) == {"digits/knn/top1", "digits/few_labels/2_mean", "digits/few_labels/2_std"}
    assert find("digits/few_labels/2_mean", declared(run)).title == "digits: 2 labels a class (% ↑)"


def test_one_evaluator_that_does_not_fit_leaves_the_others(data):
    both = dict(knn=dict(name="evaluators.knn", k=1), logits=dict(name="evaluators.classification", of="heads"))
    assert set(transfer(data, source=DIGITS, evaluators=both)(predict, STATE)) == {"transfer/knn/top1"}
    with pytest.raises(NotApplicable, match="no 'heads'"):
        transfer(data, source=DIGITS, evaluators=dict(logits=both["logits"]))(predict, STATE)
    with pytest.raises(NotApplicable, match="anomaly|pairs"):
        transfer(data, source=DIGITS, evaluators=dict(similarity=dict(name="evaluators.similarity")))
    with pytest.raises(ValueError, match="evaluators={}: must name"):
        transfer(data, source=DIGITS, evaluators={})


def expected_scores(score, train, x):
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    if score == "nearest":
        return NearestNeighbors(n_neighbors=3, metric="cosine").fit(train).kneighbors(x)[0][:, 2]
    if score == "mahalanobis":
        return EmpiricalCovariance().fit(unit(train)).mahalanobis(unit(x))
    return -softmax(x, axis=1).max(1) if score == "confidence" else -logsumexp(x, axis=1)


@pytest.mark.parametrize("score", ["nearest", "mahalanobis", "confidence", "energy"])
def test_scores_against_scikit_learn(data, splits, score):
    found = ood(data, source=DIGITS, score=score, k=3)(predict, STATE)
    name = "features" if score in ("nearest", "mahalanobis") else "logits"
    train, own, other = (whole(s, name)[0] for s in (splits.train, splits.test, build(DIGITS).test))
    scores = np.concatenate([expected_scores(score, train, own), expected_scores(score, train, other)])
    truth = np.repeat([0, 1], [len(own), len(other)])
    assert found["ood/auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)
    passed, kept, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
    assert found["ood/fpr95"] == pytest.approx(passed[np.argmax(kept >= 0.95)], abs=6e-3)
    if score == "mahalanobis":
        assert found["ood/auroc"] > 0.85  # 0.870; of pixels alone


def test_other_data_without_a_test_set_and_refusals(data, splits):
    same = Splits(splits.test, None)
    found = ood(data, source=same, scope="same")(predict, STATE)
    assert found == {"same/ood/auroc": 0.5, "same/ood/fpr95": pytest.approx(0.95, abs=0.011)}
    noise = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    noise = Splits(from_arrays({"image": noise}))
    assert ood(data, source=noise, score="mahalanobis")(predict, STATE)["ood/auroc"] > 0.99
    with pytest.raises(ValueError, match="score='odd': must be one of nearest"):
        ood(data, source=same, score="odd")
    with pytest.raises(ValueError, match="k=0: must be"):
        ood(data, source=same, k=0)
    with pytest.raises(NotApplicable, match="no 'maps'"):
        ood(data, source=same, of="maps")(predict, STATE)


def test_thresholds_and_neighbours():
    assert fpr(np.arange(100), np.array([94, 95, 200])) == pytest.approx(1 / 3)
    assert fpr(np.zeros(3), np.zeros(4)) == 1
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_allclose(nearest_similarity(x, x, k=1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="k=51: must be an integer from 1"):
        nearest_similarity(x, x, k=51)
