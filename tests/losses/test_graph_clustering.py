"""Losses and assignments of graph clustering against closed forms, recorded values and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, cosine, normal

from jaxssl.losses import dec, neighbor_contrast
from jaxssl.ops import kmeans, student_t_assignment, target_distribution

Z1 = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
PATH = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]) / np.array([[2], [3], [2]])


@pytest.mark.parametrize("weights, value", [(PATH, 1.129087), (PATH @ PATH, 1.117033), (PATH + PATH @ PATH, 0.429858)])
def test_neighbor_contrast_of_a_path(weights, value):
    found = neighbor_contrast(np.float32(Z1), np.float32(weights), scale=0.25)
    np.testing.assert_allclose(found, value, atol=2e-6)


def naive_contrast(z, weights):
    total = 0.0
    for i in range(len(z)):
        e = [1.0 if i == j else np.exp(2.0 * cosine(z[i], z[j])) for j in range(len(z))]
        total -= np.log(np.dot(weights[i], e) / sum(e) + 1e-8)
    return total / len(z)


def test_neighbor_contrast_matches_loops_and_stops_the_gradient_of_the_weights():
    weights = np.abs(normal(1, 6, 6))
    weights[2] = 0
    check_value_and_gradients(
        lambda z, w: neighbor_contrast(z, w, scale=2.0), naive_contrast, (normal(0, 6, 4), weights), {0}
    )


@pytest.mark.parametrize("z", [np.zeros((3, 2)), np.full((3, 2), 1e18), np.ones((1, 4))])
def test_neighbor_contrast_of_extreme_rows_is_finite(z):
    value, gradient = jax.value_and_grad(neighbor_contrast)(np.float32(z), np.eye(len(z), dtype=np.float32))
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_neighbor_contrast_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"weights must be \[N, N\] with N = 3"):
        neighbor_contrast(np.float32(Z1), np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="scale=.*: must be above 0"):
        neighbor_contrast(np.float32(Z1), np.float32(PATH), scale=0)


Q = np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
P = np.array([[0.731343, 0.268657], [0.181818, 0.818182], [0.975904, 0.024096]])


def test_dec_and_its_target():
    np.testing.assert_allclose(target_distribution(np.float32(Q)), P, atol=1e-6)
    # The mean over rows of the divergence; the recorded one is computed from the same p.
    np.testing.assert_allclose(dec(np.float32(Q)), 0.052507, atol=1e-6)
    check_value_and_gradients(
        dec, lambda q, p: np.mean(np.sum(p * np.log(p / q), axis=1)), (Q, np.abs(normal(2, 3, 2))), {0}
    )
    np.testing.assert_array_equal(jax.grad(lambda q: target_distribution(q).sum())(np.float32(Q)), 0)
    value, gradient = jax.value_and_grad(dec)(jnp.eye(3))
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_student_t_assignment_by_hand():
    z, centroids = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [0.0, 1.0]])
    kernel = 1 / (1 + np.array([[0, 1], [25, 18]]))
    found = student_t_assignment(np.float32(z), np.float32(centroids))
    np.testing.assert_allclose(found, kernel / kernel.sum(1, keepdims=True), rtol=1e-5)
    far = jax.jacobian(student_t_assignment)(np.full((2, 2), 1e15, np.float32), np.zeros((2, 2), np.float32))
    assert np.isfinite(far).all()


def test_kmeans_finds_what_scikit_learn_finds():
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    centers = random.normal(size=(5, 3)) * 4
    x = np.float32(centers[random.integers(0, 5, 300)] + random.normal(size=(300, 3)))
    found = jax.jit(lambda key, x: kmeans(key, x, 5, restarts=30))(jax.random.key(0), x)
    distances = ((x[:, None] - np.asarray(found)[None]) ** 2).sum(-1)
    expected = KMeans(5, n_init=20, random_state=0).fit(x)
    np.testing.assert_allclose(distances.min(1).sum(), expected.inertia_, rtol=1e-4)
    assert np.isfinite(kmeans(jax.random.key(0), np.ones((6, 2), np.float32), 3)).all()
    with pytest.raises(ValueError, match=r"num_clusters=.*: must lie in \[1, 6\]"):
        kmeans(jax.random.key(0), np.ones((6, 2), np.float32), 7)
