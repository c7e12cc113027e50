import jax
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal

from jaxssl.losses import patch_matching, patch_matching_accuracy


def naive(pred, target, valid, over):
    total, count = 0.0, 0
    for c, x, v in zip(pred, target, valid):
        for i in range(len(c)):
            if not v[i]:
                continue
            products = [c[i] @ x[j] if over == "targets" else c[j] @ x[i] for j in range(len(c)) if v[j]]
            total += np.log(np.sum(np.exp(products))) - c[i] @ x[i]
            count += 1
    return total / count


@pytest.mark.parametrize("over", ["targets", "preds"])
@pytest.mark.parametrize("some", [False, True])
def test_matches_loops_and_stops_at_the_target(over, some):
    valid = np.array([[True, False, True, True], [False, True, False, True], [True] * 4]) if some else None
    check_value_and_gradients(
        lambda c, x: patch_matching(c, x, valid=valid, over=over),
        lambda c, x: naive(c, x, np.ones((3, 4), bool) if valid is None else valid, over),
        (normal(0, 3, 4, 5), normal(1, 3, 4, 5)),
        {0},
    )


def test_known_values():
    one = np.float32(normal(0, 2, 1, 3))
    assert patch_matching(one, one) == pytest.approx(0, abs=1e-6), "one patch has no rival"
    equal = np.ones((2, 5, 3), np.float32)
    assert patch_matching(equal, equal) == pytest.approx(np.log(5), rel=1e-6)
    far = 30 * np.eye(4, dtype=np.float32)[None]
    assert patch_matching(far, far) == pytest.approx(0, abs=1e-6)
    assert patch_matching_accuracy(far, far) == 1
    assert patch_matching_accuracy(far, far[:, ::-1]) == 0


def test_other_examples_are_no_rivals():
    c, x = np.float32(normal(0, 2, 4, 5)), np.float32(normal(1, 2, 4, 5))
    apart = (patch_matching(c[:1], x[:1]) + patch_matching(c[1:], x[1:])) / 2
    assert patch_matching(c, x) == pytest.approx(float(apart), rel=1e-5)


def test_the_direction_matters_and_equals_the_other_with_roles_exchanged():
    c, x = np.float32(normal(0, 2, 4, 5)), np.float32(normal(1, 2, 4, 5))
    targets, preds = (float(patch_matching(c, x, over=over)) for over in ("targets", "preds"))
    assert targets != pytest.approx(preds, rel=1e-3)
    assert patch_matching(x, c, over="targets") == pytest.approx(preds, rel=1e-5)


def test_accuracy_counts_valid_rows_among_valid_candidates():
    c = np.float32(np.eye(3)[None])
    x = np.float32([[[1, 0, 0], [2, 0, 0], [0, 0, 1]]])
    assert patch_matching_accuracy(c, x) == pytest.approx(1 / 3)
    assert patch_matching_accuracy(c, x, valid=np.array([[1, 0, 1]])) == 1


@pytest.mark.parametrize("over", ["targets", "preds"])
def test_extremes_are_finite(over):
    x = np.float32(normal(0, 2, 4, 3))
    large, none = 1e4 * x, np.zeros((2, 4), bool)
    half = np.array([[True] * 4, [False] * 4])
    cases = ((x, np.zeros_like(x), None), (0 * x, x, None), (large, x, None), (x, x, none), (x, x, half))
    for pred, target, valid in cases:
        value, gradient = jax.value_and_grad(patch_matching)(pred, target, valid=valid, over=over)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        if valid is none:
            assert value == 0 and not np.any(gradient)
            assert patch_matching_accuracy(pred, target, valid=valid) == 0


def test_what_does_not_fit_is_refused():
    x = np.ones((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="same shape"):
        patch_matching(x, x[:, :2])
    with pytest.raises(ValueError, match="valid must be"):
        patch_matching(x, x, valid=np.ones(3, bool))
    with pytest.raises(ValueError, match="over=.*: must be"):
        patch_matching(x, x, over="rows")
    with pytest.raises(TypeError, match="floating"):
        patch_matching(np.ones((2, 3, 4), int), x)
