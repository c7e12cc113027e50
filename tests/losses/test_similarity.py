import jax
import loss_reference as reference
import numpy as np
from loss_reference import check_value_and_gradients, normal, x64

from jaxssl.losses import byol, negative_cosine_similarity


def test_values_and_gradients_match_loops():
    inputs = normal(0, 5, 3), normal(1, 5, 3)
    check_value_and_gradients(negative_cosine_similarity, reference.negative_cosine_similarity, inputs, {0})
    check_value_and_gradients(byol, reference.byol, inputs, {0})


def test_ends_of_the_range():
    p = normal(0, 5, 3)
    loss, distance = jax.jit(negative_cosine_similarity), jax.jit(byol)
    with x64():
        np.testing.assert_allclose(loss(p, 2 * p), -1, rtol=1e-12)
        np.testing.assert_allclose(loss(p, -p), 1, rtol=1e-12)
        np.testing.assert_allclose(distance(p, 3 * p), 0, atol=1e-12)
        np.testing.assert_allclose(distance(p, -p), 4, rtol=1e-12)
        np.testing.assert_allclose(distance(np.eye(2), np.eye(2)[::-1]), 2, rtol=1e-12)
