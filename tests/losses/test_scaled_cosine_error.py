import jax
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, cosine, normal

from jaxssl.losses import scaled_cosine_error


def naive(pred, target, masked, alpha):
    rows = [(1 - cosine(p, t)) ** alpha for p, t, m in zip(pred, target, masked) if m]
    return sum(rows) / len(rows)


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_matches_loops_and_stops_at_the_target(alpha):
    masked = np.array([True, False, True, True])
    check_value_and_gradients(
        lambda p, t: scaled_cosine_error(p, t, masked=masked, alpha=alpha),
        lambda p, t: naive(p, t, masked, alpha),
        (normal(0, 4, 3), normal(1, 4, 3)),
        {0},
    )


def test_known_values():
    x, y = np.float32([[1, 0], [1, 1]]), np.float32([[1, 0], [0, 1]])
    assert scaled_cosine_error(y, x, alpha=3) == pytest.approx(0.0125631, rel=1e-5)
    assert scaled_cosine_error(y, x, alpha=2) == pytest.approx(0.0428932, rel=1e-5)
    assert scaled_cosine_error(x, x) == pytest.approx(0.0, abs=1e-12)
    assert scaled_cosine_error(-x, x, alpha=3) == pytest.approx(8.0, rel=1e-5)
    assert scaled_cosine_error(7 * y, 0.1 * x) == pytest.approx(float(scaled_cosine_error(y, x)), rel=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 3.0])
def test_equal_rows_zero_rows_and_nothing_hidden(alpha):
    x = np.float32(normal(0, 5, 4))
    x[1] = 0
    for pred, masked in ((x, np.ones(5, bool)), (np.zeros_like(x), np.ones(5, bool)), (x, np.zeros(5, bool))):
        value, gradient = jax.value_and_grad(scaled_cosine_error)(pred, x, masked=masked, alpha=alpha)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        if not masked.any():
            assert value == 0 and not np.any(gradient)


def test_what_does_not_fit_is_refused():
    x = np.ones((3, 2), np.float32)
    with pytest.raises(ValueError, match="both be"):
        scaled_cosine_error(x, x[:2])
    with pytest.raises(ValueError, match="masked must be"):
        scaled_cosine_error(x, x, masked=np.ones(2, bool))
    with pytest.raises(ValueError, match="alpha=.*: must be at least 1"):
        scaled_cosine_error(x, x, alpha=0.5)
    with pytest.raises(TypeError, match="floating"):
        scaled_cosine_error(np.ones((3, 2), int), x)
