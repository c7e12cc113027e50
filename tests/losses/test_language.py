import jax
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal

from jaxssl.losses import masked_token_cross_entropy

TARGETS = np.array([1, 0, 4, 2, 2])
PREDICTED = np.array([True, False, True, True, False])


def loops(logits):
    rows = [-np.log(reference.softmax(s)[y]) for s, y, w in zip(logits, TARGETS, PREDICTED) if w]
    return sum(rows) / len(rows)


def test_matches_loops():
    check_value_and_gradients(
        lambda s: masked_token_cross_entropy(s, TARGETS, PREDICTED), loops, (2 * normal(0, 5, 6),), {0}
    )


def test_closed_forms():
    loss = jax.jit(masked_token_cross_entropy)
    np.testing.assert_allclose(loss(np.zeros((5, 6)), TARGETS, PREDICTED), np.log(6), rtol=1e-6)
    sure = np.float32(1e4 * np.eye(6)[TARGETS])
    assert loss(sure, TARGETS, PREDICTED) == 0
    np.testing.assert_allclose(loss(-sure, TARGETS, PREDICTED), 1e4 + np.log(5), rtol=1e-6)


def test_tokens_that_do_not_count_change_nothing():
    logits = np.float32(normal(0, 5, 6))
    value_and_gradient = jax.jit(jax.value_and_grad(masked_token_cross_entropy))
    value, gradient = value_and_gradient(logits, TARGETS, PREDICTED)
    np.testing.assert_array_equal(gradient[~PREDICTED], 0.0)
    assert (np.abs(gradient[PREDICTED]) > 0).all()
    other, targets = logits.copy(), TARGETS.copy()
    other[~PREDICTED], targets[~PREDICTED] = 1e30, 5
    assert value_and_gradient(other, targets, PREDICTED)[0] == value


def test_nothing_to_predict_is_zero_and_extreme_logits_stay_finite():
    value_and_gradient = jax.jit(jax.value_and_grad(masked_token_cross_entropy))
    value, gradient = value_and_gradient(np.float32(normal(0, 5, 6)), TARGETS, np.zeros(5, bool))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0.0)
    value, gradient = value_and_gradient(np.float32(1e37 * normal(0, 5, 6)), TARGETS, PREDICTED)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_bad_arrays_are_refused():
    logits = np.float32(normal(0, 5, 6))
    with pytest.raises(TypeError, match="logits"):
        masked_token_cross_entropy(logits.astype(int), TARGETS, PREDICTED)
    with pytest.raises(TypeError, match="targets"):
        masked_token_cross_entropy(logits, TARGETS.astype(float), PREDICTED)
    with pytest.raises(ValueError, match="predicted"):
        masked_token_cross_entropy(logits, TARGETS, PREDICTED[:4])
