"""Distances and averages keep their digits far from the origin, in half precision and from integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.ops.graph import masked_nodes, propagate


def cloud(offset, *shape):
    return np.float32(np.random.default_rng(0).normal(size=shape) + offset)


def exact_distances(a, b):
    a, b = np.float64(a), np.float64(b)
    return ((a[..., :, None, :] - b[..., None, :, :]) ** 2).sum(-1)


@pytest.mark.parametrize("offset", [0, 1e3, 1e5])
def test_distances_far_from_the_origin(offset):
    z, centroids = cloud(offset, 20, 8), cloud(offset, 3, 8)
    distances = exact_distances(z, centroids)
    np.testing.assert_allclose(ops.squared_distances(z, centroids), distances, rtol=1e-5)
    q = 1 / (1 + distances)
    np.testing.assert_allclose(
        ops.student_t_assignment(z, centroids), q / q.sum(1, keepdims=True), rtol=1e-5, atol=1e-7
    )


def test_clusters_far_from_each_other_are_told_apart_inside():
    # No common origin helps here: two clusters, each of two centroids that are near.
    centroids = np.float32([[-1e4, 0], [-1e4 + 1, 0], [1e4, 0], [1e4 + 1, 0]])
    q = ops.student_t_assignment(centroids, centroids)
    np.testing.assert_allclose(np.diag(q), 2 / 3, rtol=1e-5)
    x = np.repeat(centroids, 5, axis=0)
    found = ops.kmeans(jax.random.key(0), x, 4)
    np.testing.assert_allclose(np.sort(found[:, 0]), np.sort(centroids[:, 0]))


def test_the_gradient_of_assignments_needs_no_array_of_all_differences():
    z, centroids = jax.ShapeDtypeStruct((2000, 100), "float32"), jax.ShapeDtypeStruct((50, 100), "float32")
    slope = jax.jit(jax.grad(lambda z, c: ops.student_t_assignment(z, c)[:, 0].sum(), argnums=(0, 1)))
    needed = slope.lower(z, centroids).compile().memory_analysis().temp_size_in_bytes
    assert needed < 4 * 2000 * 50 * 100 / 5
    with pytest.raises(ValueError, match=r"\[N, D\] and \[K, D\]"):
        ops.student_t_assignment(np.ones((4, 3)), np.ones((2, 1)))


def test_distances_of_other_dtypes():
    half = np.float16([[0, 0, 0], [300, 0, 0], [300, 300, 300]])
    for dtype in (jnp.float16, jnp.bfloat16):
        distances = ops.squared_distances(jnp.asarray(half, dtype), jnp.asarray(half, dtype))
        assert distances.dtype == jnp.float32
        exact = np.asarray(jnp.asarray(half, dtype), np.float64)
        np.testing.assert_allclose(distances, exact_distances(exact, exact), rtol=1e-6)
    pixels = np.uint8([[0, 250, 3], [255, 1, 2]])
    for dtype in (np.uint8, np.int16, np.int32, np.uint32):
        distances = ops.squared_distances(pixels.astype(dtype), pixels.astype(dtype))
        np.testing.assert_array_equal(distances, exact_distances(pixels, pixels))
    with pytest.raises(TypeError, match="real numbers"):
        ops.squared_distances(np.ones((2, 3), complex), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"\[\.\.\., m, D\]"):
        ops.squared_distances(np.ones((2, 3)), np.ones((2, 1)))


def test_uniformity_of_rows_that_are_nearly_alike():
    z = np.float64(cloud(0, 6, 4)) * 1e-4 + [1, 0, 0, 0]
    unit = np.float32(z / np.linalg.norm(z, axis=1, keepdims=True))
    distances = exact_distances(unit, unit)[~np.eye(6, dtype=bool)]
    for t in (2, 1e4, 1e6):
        exact = np.log(np.mean(np.exp(-t * distances)))
        np.testing.assert_allclose(ops.uniformity(unit, t), exact, rtol=2e-3, atol=5e-7)


def test_gradients_far_from_the_origin():
    z, centroids = cloud(1e3, 5, 4), cloud(1e3, 3, 4)
    slope = lambda z, c: jax.grad(lambda z: jnp.sum(jnp.square(ops.student_t_assignment(z, c))))(z)
    actual = jax.jit(slope)(z, centroids)
    with jax.enable_x64(True):
        expected = jax.jit(slope)(np.float64(z), np.float64(centroids))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_padding_of_graphs_is_harmless_whatever_stands_there():
    h = cloud(0, 3, 2)
    senders, receivers = np.array([0, 1, 2, 2]), np.array([1, 0, 0, 1])
    real = np.array([True, True, False, False])
    run = jax.jit(jax.value_and_grad(lambda h: jnp.sum(jnp.square(propagate(h, senders, receivers, real)[:2]))))
    h[2] = 0
    value, gradient = run(h)
    for bad in (np.nan, np.inf):
        h[2] = bad
        again, slope = run(h)
        assert again == value
        np.testing.assert_array_equal(slope[:2], gradient[:2])
    for ratio in ("0.5", 1.5, np.nan):
        with pytest.raises((TypeError, ValueError), match="ratio"):
            masked_nodes(jax.random.key(0), np.ones((1, 4), bool), ratio)


NAN_SHOWS = {
    "alignment": lambda x: ops.alignment(x, x),
    "effective_rank": ops.effective_rank,
    "entropy": ops.entropy,
    "feature_std": ops.feature_std,
    "kmeans": lambda x: ops.kmeans(jax.random.key(0), x, 2, restarts=1, num_iters=1),
    "l2_normalize": ops.l2_normalize,
    "mmd": lambda x: ops.mmd(x, x),
    "sinkhorn": ops.sinkhorn,
    "squared_distances": lambda x: ops.squared_distances(x, x),
    "student_t_assignment": lambda x: ops.student_t_assignment(x, np.eye(2, 3)),
    "target_distribution": ops.target_distribution,
    "tree_distance": lambda x: ops.tree_distance(x, np.zeros((4, 3))),
    "uniformity": ops.uniformity,
    "ema_update": lambda x: ops.ema_update(np.ones((4, 3)), x, 0.9),
}


@pytest.mark.parametrize("name", NAN_SHOWS)
def test_a_nan_that_counts_shows(name):
    x = cloud(0, 4, 3)
    for rows in (slice(0, 1), slice(None)):
        x[rows] = np.nan
        for leaf in jax.tree.leaves(NAN_SHOWS[name](x)):
            assert np.isnan(leaf).any()


def test_a_nan_among_the_old_shows_when_only_the_first_tree_is_zero():
    assert np.isnan(ops.tree_distance(np.zeros(2), np.float32([np.nan, 1])))
    assert np.isinf(ops.tree_distance(np.zeros(2), np.ones(2)))
