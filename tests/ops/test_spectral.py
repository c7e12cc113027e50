import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 5)), RNG.normal(size=(8, 5))


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def rank_me(x):
    p = np.linalg.svd(x, compute_uv=False)
    p = p / p.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_effective_rank_matches_numpy(shape):
    x = 3 * X.reshape(shape) + 1
    effective_rank = jax.jit(ops.effective_rank, static_argnames="center")
    np.testing.assert_allclose(effective_rank(x), rank_me(x), rtol=1e-4)
    np.testing.assert_allclose(effective_rank(x, center=True), rank_me(x - x.mean(0)), rtol=1e-4)


def test_effective_rank_of_known_spectra():
    effective_rank = jax.jit(ops.effective_rank)
    orthogonal = np.linalg.qr(X)[0]  # [8, 5] with five equal singular values
    np.testing.assert_allclose(effective_rank(orthogonal), 5, rtol=1e-4)
    np.testing.assert_allclose(effective_rank(100 * orthogonal), 5, rtol=1e-4)
    np.testing.assert_allclose(effective_rank(orthogonal * [1, 1, 0, 0, 0]), 2, rtol=1e-4)
    np.testing.assert_allclose(effective_rank(np.ones((8, 5))), 1, rtol=1e-4)
    np.testing.assert_allclose(effective_rank(np.zeros((8, 5))), 1, rtol=1e-4)
    np.testing.assert_allclose(effective_rank(X[:1]), 1, rtol=1e-4)


def test_alignment_and_uniformity_match_loops():
    x, y = unit(X), unit(Y)
    distances = [((a - b) ** 2).sum() for a, b in itertools.combinations(x, 2)]
    np.testing.assert_allclose(jax.jit(ops.alignment)(2 * X, Y), ((x - y) ** 2).sum(1).mean(), rtol=1e-5)
    for t in (2, 0.5):
        expected = np.log(np.mean(np.exp(-t * np.array(distances))))
        np.testing.assert_allclose(jax.jit(ops.uniformity)(3 * X, t), expected, rtol=1e-5)


def test_alignment_and_uniformity_of_known_rows():
    np.testing.assert_allclose(ops.alignment(X, -X), 4, rtol=1e-6)
    np.testing.assert_allclose(ops.alignment(X, 2 * X), 0, atol=1e-6)
    np.testing.assert_allclose(ops.uniformity(np.ones((8, 5))), 0, atol=1e-5)
    np.testing.assert_allclose(ops.uniformity(np.eye(4)), -4, rtol=1e-6)  # all distances are sqrt 2
    with pytest.raises(ValueError, match="N >= 2"):
        ops.uniformity(X[:1])


def test_feature_std():
    np.testing.assert_allclose(ops.feature_std(5 * X), unit(X).std(axis=0).mean(), rtol=1e-5)
    np.testing.assert_allclose(ops.feature_std(np.ones((8, 5))), 0, atol=1e-6)
    spread = RNG.normal(size=(4000, 16))
    np.testing.assert_allclose(ops.feature_std(spread), 1 / np.sqrt(16), rtol=0.01)


def test_entropy():
    p = RNG.dirichlet(np.ones(4), size=6)
    rows, mean = jax.jit(ops.entropy)(p)
    np.testing.assert_allclose(rows, -(p * np.log(p)).sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(mean, -(p.mean(0) * np.log(p.mean(0))).sum(), rtol=1e-5)
    np.testing.assert_allclose(ops.entropy(np.eye(4)), (0, np.log(4)), rtol=1e-6)
    np.testing.assert_allclose(ops.entropy(np.eye(4)[:1]), (0, 0), atol=1e-7)


@pytest.mark.parametrize("name", ["effective_rank", "uniformity", "feature_std", "entropy"])
def test_dtypes_and_refusals(name):
    measure = getattr(ops, name)
    shapes = jax.eval_shape(measure, jnp.ones((4, 3), jnp.bfloat16))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    with pytest.raises(TypeError, match="floating"):
        measure(np.ones((4, 3), int))
    with pytest.raises(ValueError, match="axes"):
        measure(np.ones((2, 4, 3)))
