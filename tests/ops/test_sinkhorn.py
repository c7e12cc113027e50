import importlib

import jax
import numpy as np
import pytest

from jaxssl import ops


def naive(scores, epsilon, num_iters):
    num_rows, num_prototypes = scores.shape
    q = np.exp(scores / epsilon)
    q /= q.sum()
    for _ in range(num_iters):
        q /= q.sum(axis=0, keepdims=True) * num_prototypes
        q /= q.sum(axis=1, keepdims=True) * num_rows
    return q * num_rows


def run(scores, epsilon, num_iters):
    return jax.jit(lambda s: ops.sinkhorn(s, epsilon=epsilon, num_iters=num_iters))(scores)


@pytest.fixture(scope="module")
def scores():
    return np.tanh(np.random.default_rng(0).normal(size=(7, 4)))


@pytest.mark.parametrize("epsilon, num_iters", [(0.05, 3), (0.5, 1), (0.1, 0)])
def test_matches_the_naive_iteration(scores, epsilon, num_iters):
    with jax.enable_x64(True):
        actual = run(scores, epsilon, num_iters)
        np.testing.assert_allclose(actual, naive(scores, epsilon, num_iters), rtol=1e-10)


def test_many_iterations_balance_rows_and_columns(scores):
    q = run(scores, 0.2, 200)
    np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(q.sum(axis=0), 7 / 4, rtol=1e-4)
    np.testing.assert_allclose(run(np.zeros((6, 3)), 0.05, 3), 1 / 3, rtol=1e-6)


def test_small_epsilon_and_large_scores_in_float32(scores):
    for large in (scores, 1000 * scores, 1000 * scores + 1e4):
        q = run(np.float32(large), 0.01, 3)
        assert np.isfinite(q).all()
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
    slope = jax.jit(jax.grad(lambda s: (ops.sinkhorn(s, epsilon=0.01) * s).sum()))(np.float32(100 * scores))
    assert np.isfinite(slope).all()


def test_name_in_the_package_is_the_function():
    assert callable(ops.sinkhorn)
    assert importlib.import_module("jaxssl.ops.sinkhorn").sinkhorn is ops.sinkhorn


def test_bad_arguments(scores):
    with pytest.raises(ValueError, match="epsilon"):
        ops.sinkhorn(scores, epsilon=0)
    with pytest.raises(ValueError, match="num_iters"):
        ops.sinkhorn(scores, num_iters=-1)
    with pytest.raises(TypeError, match="num_iters"):
        ops.sinkhorn(scores, num_iters=2.5)
    with pytest.raises(ValueError, match="scores"):
        ops.sinkhorn(scores[0])
    with pytest.raises(TypeError, match="scores"):
        ops.sinkhorn(np.ones((3, 3), int))
