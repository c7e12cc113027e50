import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal

from jaxssl.losses import jepa


def naive(power):
    def loss(pred, target):
        terms = [abs(float(pred[i]) - float(target[i])) ** power for i in np.ndindex(pred.shape)]
        return sum(terms) / len(terms)

    return loss


@pytest.mark.parametrize("kind, power", [("l1", 1), ("l2", 2)])
def test_value_and_gradient_match_loops_and_the_target_is_stopped(kind, power):
    inputs = normal(0, 2, 3, 4), normal(1, 2, 3, 4)
    check_value_and_gradients(lambda p, h: jepa(p, h, kind=kind), naive(power), inputs, {0})


def test_closed_forms_and_equal_inputs():
    h = np.float32(normal(2, 3, 4, 5))
    assert jepa(h + 0.5, h, kind="l1") == pytest.approx(0.5, rel=1e-6)
    assert jepa(h + 0.5, h) == pytest.approx(0.25, rel=1e-6)
    for kind in ("l1", "l2"):
        value, gradient = jax.value_and_grad(lambda p: jepa(p, h, kind=kind))(jnp.asarray(h))
        assert value == 0 and (gradient == 0).all()


def test_bad_arguments():
    h = np.ones((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="kind"):
        jepa(h, h, kind="huber")
    with pytest.raises(ValueError, match="same shape"):
        jepa(h, h[:1])
    with pytest.raises(TypeError, match="floating"):
        jepa(h.astype(int), h)
    with pytest.raises(ValueError, match="empty"):
        jepa(h[:0], h[:0])
