"""Measures of logits against scikit-learn and float64 loops."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    recall_score,
    top_k_accuracy_score,
)

from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.evaluators.classification import calibration_error, classification, risk_coverage
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable

STATE = SimpleNamespace(params={}, memory={}, step=1)
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(300, 7)) * 2
LABEL = np.where(RNG.random(300) < 0.5, LOGITS.argmax(1), RNG.integers(0, 7, 300))
LABEL[:20] = -1
# Classes 0 ... 6 with 2, 5, 20, 30, 100, 101, 300 training rows.
TRAIN = np.repeat(np.arange(7), [2, 5, 20, 30, 100, 101, 300])
MANY = (RNG.random((300, 7)) < 0.3).astype(np.int32) - (RNG.random((300, 7)) < 0.1)
MANY[:, 6] = 0


def predict(params, memory, batch):
    return {"logits": LOGITS[batch["index"]].astype(np.float32)}


def batches(label):
    def iterate():
        for rows in np.array_split(np.arange(len(label)), 3):
            yield {"label": label[rows], "index": rows, "many": MANY[rows % 300], "x": rows}

    return iterate


NAMES = tuple("abcdefg")
DATA = EvaluationData(batches(TRAIN), batches(LABEL), 7, NAMES)


def test_measures_of_one_label_against_scikit_learn():
    found = classification(DATA, per_class=True)(predict, STATE)
    known = LABEL >= 0
    y, logits = LABEL[known], LOGITS[known].astype(np.float32).astype(np.float64)
    p, guess = softmax(logits, axis=1), logits.argmax(1)
    recall = recall_score(y, guess, average=None)
    expected = {
        "top1": np.mean(guess == y),
        "top5": top_k_accuracy_score(y, logits, k=5),
        "macro": balanced_accuracy_score(y, guess),
        "nll": log_loss(y, p),
        "many": recall[5:].mean(),
        "medium": recall[2:5].mean(),
        "few": recall[:2].mean(),
        **{f"class_{name}": r for name, r in zip(NAMES, recall, strict=True)},
    }
    # Bin by bin, row by row.
    ece = 0.0
    for low in np.arange(15) / 15:
        rows = [i for i in range(len(y)) if low < p[i].max() <= low + 1 / 15]
        ece += abs(sum((guess[i] == y[i]) - p[i].max() for i in rows)) / len(y)
    order, wrong, risks, best = np.argsort(-p.max(1)), guess != y, [], []
    for k in range(1, len(y) + 1):
        risks.append(wrong[order[:k]].mean())
        best.append(np.sort(wrong)[:k].mean())
    expected |= {"ece": ece, "aurc": np.mean(risks), "e_aurc": np.mean(risks) - np.mean(best)}
    assert set(found) == {f"classification/{name}" for name in expected}
    for name, value in expected.items():
        assert found[f"classification/{name}"] == pytest.approx(value, abs=1e-7), name


def test_closed_points():
    sure, right = np.full(10, 0.75), np.arange(10) < 6
    assert calibration_error(sure, right) == pytest.approx(0.15)
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    # Two bins whose gaps must not cancel.
    assert calibration_error(np.array([0.9, 0.1]), np.array([False, True]), bins=2) == pytest.approx(0.9)
    # All equally sure: every order is as likely, the risk is 0.4 at every coverage.
    assert risk_coverage(sure, ~right)[0] == pytest.approx(0.4)
    shuffled = np.random.default_rng(1).permutation(10)
    ties = np.array([0.9, 0.9, 0.9, 0.5, 0.5, 0.2, 0.2, 0.2, 0.1, 0.1])
    assert risk_coverage(ties, ~right)[0] == pytest.approx(risk_coverage(ties[shuffled], ~right[shuffled])[0])
    # The surest are right: AURC is that of the best order. One error in two rows, first or last.
    assert risk_coverage(np.array([0.9, 0.8]), np.array([False, True])) == (0.25, 0.25)
    assert risk_coverage(np.array([0.9, 0.8]), np.array([True, False])) == (0.75, 0.25)
    assert risk_coverage(np.array([0.9, 0.8]), np.array([False, False])) == (0, 0)


def test_several_labels_against_scikit_learn():
    found = classification(DATA, label="many", per_class=True)(predict, STATE)
    scores, parts = LOGITS.astype(np.float32), []
    for c in range(6):
        known = MANY[:, c] >= 0
        parts.append(average_precision_score(MANY[known, c], scores[known, c]))
        assert found[f"many/classification/class_{c}"] == pytest.approx(parts[-1], abs=1e-9)
    assert found["many/classification/map"] == pytest.approx(np.mean(parts), abs=1e-9)
    assert "many/classification/class_6" not in found and len(found) == 7


def test_groups_only_where_classes_differ_and_refusals():
    found = classification(DATA, shots=(0, 1000))(predict, STATE)
    assert not {"classification/many", "classification/medium", "classification/few"} & set(found)
    with pytest.raises(NotApplicable, match="no 'heads'"):
        classification(DATA, of="heads")(predict, STATE)
    with pytest.raises(LabelsNeeded, match="all 300 are -1"):
        classification(EvaluationData(batches(TRAIN), batches(np.full(300, -1)), 7))(predict, STATE)
    with pytest.raises(LabelsNeeded):
        classification(EvaluationData(batches(TRAIN), None, 7))
    with pytest.raises(ValueError, match="label 7 has no logit among 7"):
        classification(EvaluationData(batches(TRAIN), batches(np.full(300, 7)), 8))(predict, STATE)
    with pytest.raises(ValueError, match="bins=0: must be"):
        classification(DATA, bins=0)
    with pytest.raises(ValueError, match="shots=.30, 20.: must be"):
        classification(DATA, shots=(30, 20))


def test_a_classifier_of_fashion_images():
    """Logistic regression of the pixels of 1,000 images: as right as scikit-learn says, and too sure of itself."""
    splits = fashion_mnist_12k(limit=1000)
    pixels = lambda batch: batch["image"].reshape(len(batch["image"]), -1) / 255.0
    everything = next(evaluation_batches(splits.train, batch_size=1000))
    model = LogisticRegression(C=1.0, max_iter=500).fit(pixels(everything), everything["label"])
    logits = lambda params, memory, batch: {"logits": model.decision_function(pixels(batch))}
    serve = lambda source: evaluation_batches(source, batch_size=100)
    data = EvaluationData(lambda: iter(()), serve=serve).of(splits)
    found = classification(data)(logits, STATE)
    test = next(evaluation_batches(splits.test, batch_size=200))
    assert found["classification/top1"] == pytest.approx(model.score(pixels(test), test["label"]))
    assert found["classification/top1"] > 0.75 and 0.03 < found["classification/ece"] < 0.2
    assert 0 < found["classification/e_aurc"] < found["classification/aurc"] < 1 - found["classification/top1"]
