"""Evaluators on fixed features against scikit-learn and NumPy."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from jaxssl.evaluators import few_labels as few_labels_file
from jaxssl.evaluators import probes
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.evaluators.few_labels import few_labels
from jaxssl.evaluators.floors.flat import flat
from jaxssl.evaluators.knn import knn, knn_predict
from jaxssl.evaluators.linear import linear, stratified_holdout
from jaxssl.evaluators.rankme import rankme

RAW = flat(None, lambda key, batch: batch)
STATE = SimpleNamespace(params={}, memory={}, step=jnp.int32(7))


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32), y[order].astype(np.int32)
    return x[:900], y[:900], x[900:1500], y[900:1500]


def batches(x, y, size=128, index=None):
    index = np.arange(len(x)) if index is None else index

    def iterate():
        for start in range(0, len(x), size):
            rows = len(x[start : start + size])
            pad = size - rows
            yield {
                # Padding is poison: it must never be read.
                "x": jnp.pad(jnp.asarray(x[start : start + size]), ((0, pad), (0, 0)), constant_values=np.nan),
                "label": jnp.pad(jnp.asarray(y[start : start + size]), (0, pad), constant_values=3),
                "index": jnp.pad(jnp.asarray(index[start : start + size]), (0, pad)),
                "_mask": jnp.arange(size) < rows,
            }

    return iterate


@pytest.fixture(scope="module")
def data(digits):
    train_x, train_y, test_x, test_y = digits
    return EvaluationData(batches(train_x, train_y), batches(test_x, test_y), num_classes=10)


def test_features_drop_padding_and_are_shared(digits):
    train_x, train_y, test_x, test_y = digits
    data = EvaluationData(batches(train_x, train_y), batches(test_x, test_y), num_classes=10)
    calls = []

    def predict(params, memory, batch):
        calls.append(1)
        return RAW(params, memory, batch)

    features = data.features(predict, STATE)
    np.testing.assert_array_equal(features.train_x, train_x)
    np.testing.assert_array_equal(features.test_x, test_x)
    np.testing.assert_array_equal(features.train_y, train_y)
    np.testing.assert_array_equal(features.test_y, test_y)
    knn(data)(predict, STATE)
    few_labels(data, per_class=(1,), draws=2)(predict, STATE)
    per_pass = -(-900 // 128) + -(-600 // 128)
    assert len(calls) == per_pass
    data.features(predict, SimpleNamespace(params=STATE.params, memory=STATE.memory, step=jnp.int32(8)))
    assert len(calls) == 2 * per_pass
    data.features(predict, SimpleNamespace(params={"other": 0}, memory=STATE.memory, step=jnp.int32(8)))
    assert len(calls) == 3 * per_pass


def test_features_are_in_the_order_of_the_ids(digits):
    x, y = digits[0][:50], digits[1][:50]
    order = np.random.default_rng(1).permutation(50)
    features = EvaluationData(batches(x[order], y[order], 16, index=order)).features(RAW, STATE)
    np.testing.assert_array_equal(features.train_x, x)
    np.testing.assert_array_equal(features.train_index, np.arange(50))
    assert features.test_x is None


def test_features_refuse_bad_input(digits):
    x, y = digits[0][:50].copy(), digits[1][:50]
    with pytest.raises(ValueError, match="more than once"):
        EvaluationData(batches(x, y, index=np.zeros(50, int))).features(RAW, STATE)
    with pytest.raises(ValueError, match="empty"):
        EvaluationData(lambda: iter(())).features(RAW, STATE)
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        EvaluationData(batches(x, y)).features(lambda p, m, b: {"features": b["x"][:, None]}, STATE)
    x[[3, 40], 5] = np.inf
    with pytest.raises(ValueError, match="2 of 50"):
        EvaluationData(batches(x, y)).features(RAW, STATE)


def test_labels_are_needed_at_build_time(digits):
    x, y = digits[:2]
    for factory in (knn, linear, few_labels):
        with pytest.raises(LabelsNeeded, match="at least 2 classes"):
            factory(EvaluationData(batches(x, y), batches(x, y)))
        with pytest.raises(LabelsNeeded, match="test set"):
            factory(EvaluationData(batches(x, y), num_classes=10))


def test_unlabelled_rows_are_left_out(digits):
    train_x, train_y, test_x, test_y = digits
    part = np.where(np.arange(900) < 300, train_y, -1).astype(np.int32)
    data = EvaluationData(batches(train_x, part), batches(test_x, test_y), num_classes=10)
    expected = knn_predict(train_x[:300], train_y[:300], test_x, k=20, temperature=0.07, num_classes=10)
    assert knn(data)(RAW, STATE) == {"knn/top1": np.mean(np.asarray(expected) == test_y)}
    none = EvaluationData(batches(train_x, np.full(900, -1)), batches(test_x, test_y), num_classes=10)
    with pytest.raises(ValueError, match="no example of the train set"):
        knn(none)(RAW, STATE)
    with pytest.raises(ValueError, match="num_classes=5"):
        knn(EvaluationData(batches(train_x, train_y), batches(test_x, test_y), num_classes=5))(RAW, STATE)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (20, 0.07), (50, 1.0)])
def test_knn_equals_scikit_learn(digits, k, temperature, monkeypatch):
    # Several chunks, the last one not full.
    monkeypatch.setattr("jaxssl.evaluators.knn._CHUNK_ELEMENTS", 900 * 128)
    train_x, train_y, test_x, _ = digits
    reference = KNeighborsClassifier(k, metric="cosine", weights=lambda d: np.exp((1 - d) / temperature))
    expected = reference.fit(train_x.astype(np.float64), train_y).predict(test_x.astype(np.float64))
    predicted = knn_predict(train_x, train_y, test_x, k=k, temperature=temperature, num_classes=10)
    np.testing.assert_array_equal(predicted, expected)


def test_knn_extremes():
    x = jnp.array([[1e-30, 0.0], [0.0, 1e30], [0.0, 0.0]])
    y = jnp.array([0, 1, 1])
    options = dict(k=2, temperature=1e-4, num_classes=2)
    np.testing.assert_array_equal(knn_predict(x, y, x[:2], **options), [0, 1])
    with pytest.raises(ValueError, match="k=4 .* 3 training rows"):
        knn_predict(x, y, x, k=4, temperature=0.07, num_classes=2)
    with pytest.raises(ValueError, match="temperature"):
        knn_predict(x, y, x, k=1, temperature=0.0, num_classes=2)
    with pytest.raises(ValueError, match="train_y"):
        knn_predict(x, y[:2], x, k=1, temperature=0.07, num_classes=2)


def test_standardise():
    x = np.random.default_rng(0).normal(3.0, [2.0, 1e-3, 50.0, 1.0], (500, 4)).astype(np.float32)
    x[:, 3] = 0.1
    z, other = probes.standardise(x, x[:5])
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(z.std(axis=0), [1.0, 1.0, 1.0, 0.0], atol=1e-4)
    np.testing.assert_array_equal(other, z[:5])


@pytest.mark.parametrize("rows", [900, 40])  # 40 < 64 features: the other way to the principal axes
def test_ridge_equals_scikit_learn(digits, rows):
    train_x, test_x = probes.standardise(digits[0][:rows], digits[2])
    train_y = digits[1][:rows]
    penalties = (1.0, 1e-2)
    coef, intercept = probes.ridge(train_x, train_y, num_classes=10, penalties=jnp.array(penalties))
    for i, penalty in enumerate(penalties):
        reference = Ridge(alpha=penalty * rows).fit(train_x, np.eye(10)[train_y])
        np.testing.assert_allclose(coef[i], reference.coef_.T, atol=2e-4)
        np.testing.assert_allclose(intercept[i], reference.intercept_, atol=2e-4)
        predicted = np.argmax(test_x @ coef[i] + intercept[i], axis=1)
        expected = RidgeClassifier(alpha=penalty * rows).fit(train_x, train_y).predict(test_x)
        assert np.mean(predicted == expected) > 0.998


def test_ridge_weight_zero_is_absence(digits):
    x, y = probes.standardise(digits[0])[0], digits[1]
    weight = (np.arange(900) < 600).astype(np.float32)
    options = dict(num_classes=10, penalties=jnp.array([0.1]))
    some = probes.ridge(x, y, weight=weight, **options)
    alone = probes.ridge(x[:600], y[:600], **options)
    np.testing.assert_allclose(some[0], alone[0], atol=1e-5)
    np.testing.assert_allclose(some[1], alone[1], atol=1e-5)


def loss_and_probabilities(x, y, coef, intercept, penalty):
    coef = np.asarray(coef, np.float64)
    logits = x @ coef + np.asarray(intercept, np.float64)
    logits -= logsumexp(logits, axis=1, keepdims=True)
    return -logits[np.arange(len(y)), y].mean() + penalty / 2 * (coef**2).sum(), np.exp(logits)


@pytest.mark.parametrize(("rows", "penalty"), [(900, 0.1), (900, 1e-3), (40, 1e-2)])
def test_logistic_regression_equals_scikit_learn(digits, rows, penalty):
    train_x, test_x = probes.standardise(digits[0][:rows], digits[2])
    train_y, test_y = digits[1][:rows], digits[3]
    reference = LogisticRegression(C=1 / (penalty * rows), tol=1e-8, max_iter=5000).fit(
        train_x.astype(np.float64), train_y
    )
    coef, intercept = probes.logistic_regression(train_x, train_y, num_classes=10, penalty=penalty)
    ours, _ = loss_and_probabilities(train_x, train_y, coef, intercept, penalty)
    best, _ = loss_and_probabilities(train_x, train_y, reference.coef_.T, reference.intercept_, penalty)
    assert best - 1e-7 <= ours <= best + 1e-6
    error = np.linalg.norm(coef - reference.coef_.T) / np.linalg.norm(reference.coef_)
    assert error < 2e-3
    _, ours = loss_and_probabilities(test_x, test_y, coef, intercept, penalty)
    np.testing.assert_allclose(ours, reference.predict_proba(test_x), atol=1e-2)
    np.testing.assert_allclose(ours.mean(axis=0), reference.predict_proba(test_x).mean(axis=0), atol=1e-3)
    assert abs(np.mean(ours.argmax(axis=1) == test_y) - reference.score(test_x, test_y)) <= 0.0034


def test_logistic_regression_closed_form():
    # Constant features: the intercept alone must give the class frequencies; a class that never occurs gets
    # nothing.
    labels = np.array([0] * 6 + [1] * 3 + [2])
    coef, intercept = probes.logistic_regression(np.zeros((10, 3), np.float32), labels, num_classes=4, penalty=1e-3)
    assert not np.any(coef)
    probabilities = np.exp(intercept) / np.exp(intercept).sum()
    np.testing.assert_allclose(probabilities, [0.6, 0.3, 0.1, 0.0], atol=2e-3)


def test_linear_takes_the_held_out_best(digits, data):
    metrics = linear(data, penalties=(1e-4, 1e-1, 1e-2))(RAW, STATE)
    train_x, test_x = probes.standardise(digits[0], digits[2])
    train_y, test_y = digits[1], digits[3]
    held = stratified_holdout(train_y, 0.2, 0)

    def score(fit_rows, x, y, penalty):
        model = LogisticRegression(C=1 / (penalty * fit_rows.sum()), max_iter=2000)
        return model.fit(train_x[fit_rows], train_y[fit_rows]).score(x, y)

    held_out = [score(~held, train_x[held], train_y[held], p) for p in (1e-1, 1e-2, 1e-4)]
    assert metrics["linear/penalty"] == (1e-1, 1e-2, 1e-4)[int(np.argmax(held_out))]
    assert abs(metrics["linear/top1"] - score(held >= 0, test_x, test_y, metrics["linear/penalty"])) <= 0.0034
    alpha = metrics["linear/ridge_penalty"] * 900
    expected = RidgeClassifier(alpha=alpha).fit(train_x, train_y).score(test_x, test_y)
    assert abs(metrics["linear/ridge_top1"] - expected) <= 0.0034


def test_holdout_is_stratified_and_fixed():
    labels = np.repeat([0, 1, 2, 3], [100, 50, 2, 1])
    held_out = stratified_holdout(labels, 0.2, 0)
    assert np.bincount(labels[held_out], minlength=4).tolist() == [20, 10, 1, 0]
    np.testing.assert_array_equal(held_out, stratified_holdout(labels, 0.2, 0))
    assert np.any(held_out != stratified_holdout(labels, 0.2, 1))
    with pytest.raises(ValueError, match="no class has 2"):
        stratified_holdout(np.arange(5), 0.2, 0)


def test_few_labels_draws(digits):
    labels = digits[1]
    options = dict(num_classes=10, draws=3, seed=0)
    rows = few_labels_file.draw_rows(labels, 4, **options)
    assert rows.shape == (3, 40)
    assert all(np.bincount(labels[draw]).tolist() == [4] * 10 and len(set(draw)) == 40 for draw in rows)
    assert len({tuple(draw) for draw in rows}) == 3
    np.testing.assert_array_equal(rows, few_labels_file.draw_rows(labels, 4, **options))
    one = few_labels_file.draw_rows(labels, 1, **options)
    np.testing.assert_array_equal(one, rows[:, ::4])


def test_few_labels_equals_scikit_learn(digits, data):
    train_x, train_y, test_x, test_y = (a.astype(np.float64) if a.ndim == 2 else a for a in digits)
    metrics = few_labels(data, per_class=(10, 1), draws=2)(RAW, STATE)
    train_x /= np.linalg.norm(train_x, axis=1, keepdims=True)
    test_x /= np.linalg.norm(test_x, axis=1, keepdims=True)
    mean = train_x.mean(axis=0)
    scale = np.sqrt(np.mean(np.sum((train_x - mean) ** 2, axis=1)))
    for n in (1, 10):
        scores = []
        for rows in few_labels_file.draw_rows(train_y, n, num_classes=10, draws=2, seed=0):
            model = LogisticRegression(C=1 / (1e-3 * len(rows)), tol=1e-8, max_iter=5000)
            model.fit((train_x[rows] - mean) / scale, train_y[rows])
            scores.append(model.score((test_x - mean) / scale, test_y))
        assert abs(metrics[f"few_labels/{n}_mean"] - np.mean(scores)) <= 0.0034
        assert abs(metrics[f"few_labels/{n}_std"] - np.std(scores, ddof=1)) <= 0.0034


def test_few_labels_names_the_class_that_is_short(digits):
    x, y = digits[:2]
    keep = np.flatnonzero((y != 3) | (np.cumsum(y == 3) <= 5))
    names = tuple("abcdefghij")
    data = EvaluationData(batches(x[keep], y[keep]), batches(x, y), num_classes=10, class_names=names)
    with pytest.raises(ValueError, match=r"class 3 \(d\) has 5"):
        few_labels(data)(RAW, STATE)


def test_collapsed_features_give_chance(data, digits):
    def collapsed(params, memory, batch):
        return {"features": jnp.full((len(batch["x"]), 64), 0.3)}

    metrics = linear(data, penalties=(0.1, 0.01, 1e-3))(collapsed, STATE)
    metrics |= few_labels(data, per_class=(1,), draws=2)(collapsed, STATE) | knn(data)(collapsed, STATE)
    for name in ("linear/top1", "linear/ridge_top1", "few_labels/1_mean", "knn/top1"):
        assert metrics[name] < 0.16, name


def test_rankme_equals_numpy(digits):
    data = EvaluationData(batches(digits[0], digits[1]))
    metrics = rankme(data)(RAW, STATE)
    values = np.linalg.svd(digits[0].astype(np.float64), compute_uv=False)
    p = values / values.sum()
    expected = np.exp(-np.sum(p * np.log(np.maximum(p, 1e-30))))
    assert abs(metrics["rankme/rank"] - expected) < 0.02
    unit = digits[0] / np.linalg.norm(digits[0], axis=1, keepdims=True)
    assert abs(metrics["rankme/feature_std"] - unit.std(axis=0).mean()) < 1e-5
    assert rankme(data, num_rows=20)(RAW, STATE)["rankme/rank"] < 20

    def collapsed(params, memory, batch):
        return {"features": jnp.ones((len(batch["x"]), 64))}

    metrics = rankme(data)(collapsed, STATE)
    assert abs(metrics["rankme/rank"] - 1) < 1e-2
    assert metrics["rankme/feature_std"] < 1e-6


def test_outputs_by_name_in_the_order_of_the_ids(digits):
    train_x, train_y, test_x, test_y = digits
    order = np.random.default_rng(0).permutation(len(test_x))
    data = EvaluationData(batches(train_x, train_y), batches(test_x[order], test_y[order], 64, index=order))
    predict = lambda params, memory, batch: {"features": batch["x"], "half": batch["x"][:, :32]}
    found = data.outputs(predict, STATE, ("half",))
    assert set(found) == {"half", "label", "index"}
    np.testing.assert_array_equal(found["half"], test_x[:, :32])
    np.testing.assert_array_equal(found["label"], test_y)
    with pytest.raises(NotApplicable, match="no 'text', only .'features', 'half'."):
        data.outputs(predict, STATE, ("features", "text"))
    with pytest.raises(NotApplicable, match="no test set"):
        EvaluationData(batches(train_x, train_y)).outputs(predict, STATE, ("half",))


def test_the_flat_floor_lays_all_arrays_of_an_input_side_by_side():
    preprocess = lambda key, batch: {"x": {"a": batch["a"], "b": batch["b"]}}
    batch = {"a": np.arange(6).reshape(2, 3), "b": np.arange(8.0).reshape(2, 2, 2)}
    rows = flat(None, preprocess)({}, {}, batch)["features"]
    np.testing.assert_array_equal(rows, [[0, 1, 2, 0, 1, 2, 3], [3, 4, 5, 4, 5, 6, 7]])
