"""Evaluators of another output than the features and of another label, against the usual ones given the same arrays."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxssl.evaluators.columns import column_of
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded
from jaxssl.evaluators.few_labels import few_labels
from jaxssl.evaluators.fine_tune import fine_tune
from jaxssl.evaluators.knn import knn
from jaxssl.evaluators.linear import linear
from jaxssl.evaluators.rankme import rankme

X, DIGIT = load_digits(return_X_y=True)
X, DIGIT = X.astype(np.float32)[:900] / 16, DIGIT.astype(np.int32)[:900]
W = np.random.default_rng(0).normal(size=(64, 20)).astype(np.float32) / 8
STATE = SimpleNamespace(params={"w": jnp.asarray(W)}, memory={}, step=jnp.int32(1))


def passes(rows, **arrays):
    def iterate():
        for part in np.array_split(rows, 3):
            yield {"x": X[part], "index": part, **{name: array[part] for name, array in arrays.items()}}

    return iterate


def data(num_classes=None, **arrays):
    parts = (passes(rows, **arrays) for rows in (np.arange(600), np.arange(600, 900)))
    return EvaluationData(*parts, num_classes=num_classes)


def predict(params, memory, batch):
    x = jnp.asarray(batch["x"])
    return {"features": x @ params["w"], "projector": x @ params["w"][:, :5]}


def only(name):
    return lambda *args: {"features": predict(*args)[name]}


@pytest.mark.parametrize(
    "factory, options",
    [(knn, dict(k=5)), (linear, dict(penalties=(1e-2,))), (few_labels, dict(per_class=(2,), draws=2))],
)
def test_of_and_label_are_only_another_array(factory, options):
    usual = data(10, label=DIGIT)
    both = data(2, label=DIGIT % 2, digit=DIGIT)
    expected = factory(usual, **options)(only("projector"), STATE)
    found = factory(both, of="projector", label="digit", **options)(predict, STATE)
    assert found == {f"projector/digit/{key}": value for key, value in expected.items()}
    assert set(factory(both, label="digit", **options)(predict, STATE)) == {f"digit/{key}" for key in expected}
    with pytest.raises(LabelsNeeded, match="label='room'"):
        factory(both, label="room", **options)(predict, STATE)


def test_a_label_of_its_own_needs_no_usual_one_and_some_rows_may_lack_it():
    some = np.where(np.arange(900) % 3 == 0, -1, DIGIT)
    found = knn(data(label=np.full(900, -1), digit=some), k=5, label="digit")(predict, STATE)
    assert 0.5 < found["digit/knn/top1"] <= 1
    assert column_of("digit/knn/top1").title == "digit: k-NN (% ↑)"


def test_rank_of_the_projector():
    found = rankme(data(), of="projector")(predict, STATE)
    expected = rankme(data())(only("projector"), STATE)
    assert found == {f"projector/{key}": value for key, value in expected.items()}


def test_fine_tuning_on_another_label():
    options = dict(per_class=(5,), draws=1, steps=20)
    expected = fine_tune(data(10, label=DIGIT), **options)(predict, STATE)
    found = fine_tune(data(2, label=DIGIT % 2, digit=DIGIT), label="digit", **options)(predict, STATE)
    assert found == {f"digit/{key}": value for key, value in expected.items()}
    with pytest.raises(LabelsNeeded, match="label='room'"):
        fine_tune(data(2, label=DIGIT % 2), label="room", **options)(predict, STATE)
