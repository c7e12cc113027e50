import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import l2_normalize


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_divides_by_the_length(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    with jax.enable_x64(True):
        expected = x / np.linalg.norm(x, axis=axis, keepdims=True)
        np.testing.assert_allclose(jax.jit(lambda x: l2_normalize(x, axis))(x), expected, rtol=1e-12)


def test_gradient_is_the_projection_off_the_row():
    x = np.random.default_rng(1).normal(size=4)
    with jax.enable_x64(True):
        jacobian = jax.jit(jax.jacobian(l2_normalize))(x)
    unit = x / np.linalg.norm(x)
    np.testing.assert_allclose(jacobian, (np.eye(4) - np.outer(unit, unit)) / np.linalg.norm(x), atol=1e-12)


def test_rows_without_length():
    x = np.float32([[0, 0], [3e-13, 4e-13], [3e-6, 4e-6], [3e15, 4e15]])
    value, gradient = jax.jit(jax.value_and_grad(lambda x: l2_normalize(x).sum()))(x)
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient[:2], 0.0)
    assert np.isfinite(gradient).all() and (np.abs(gradient[2]) > 0).all()
    rows = jax.jit(l2_normalize)(x)
    np.testing.assert_allclose(rows, [[0, 0], [0.3, 0.4], [0.6, 0.8], [0.6, 0.8]], rtol=1e-5)


def test_dtypes():
    assert l2_normalize(jnp.ones((2, 2), jnp.bfloat16)).dtype == jnp.float32
    with pytest.raises(TypeError, match="floating"):
        l2_normalize(np.ones((2, 2), int))
    with pytest.raises(ValueError, match="eps"):
        l2_normalize(np.ones((2, 2)), eps=0)
