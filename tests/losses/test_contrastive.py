import jax
import jax.numpy as jnp
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, x64

from jaxssl.losses import info_nce, nt_xent


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_nt_xent_matches_loops(temperature):
    inputs = normal(0, 4, 3), normal(1, 4, 3)
    check_value_and_gradients(
        lambda a, b: nt_xent(a, b, temperature=temperature),
        lambda a, b: reference.nt_xent(a, b, temperature),
        inputs,
        {0, 1},
    )


def test_info_nce_matches_loops_in_the_batch_and_with_a_queue():
    query, key, negatives = normal(0, 4, 3), normal(1, 4, 3), normal(2, 7, 3)
    check_value_and_gradients(
        lambda q, k: info_nce(q, k, temperature=0.3),
        lambda q, k: reference.info_nce(q, k, None, 0.3),
        (query, key),
        {0},
    )
    check_value_and_gradients(
        lambda q, k, n: info_nce(q, k, n, temperature=0.07),
        lambda q, k, n: reference.info_nce(q, k, n, 0.07),
        (query, key, negatives),
        {0},
    )


def test_equal_embeddings_give_the_log_of_the_number_of_candidates():
    ones = np.ones((5, 3), np.float32)
    np.testing.assert_allclose(jax.jit(nt_xent)(ones, ones), np.log(9), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(info_nce)(ones, ones), np.log(5), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(info_nce)(ones, ones, np.ones((6, 3))), np.log(7), rtol=1e-6)


def test_one_example_has_no_negatives():
    z1, z2 = normal(0, 1, 3), normal(1, 1, 3)
    for loss in (nt_xent, info_nce):
        value, gradient = jax.jit(jax.value_and_grad(loss))(z1, z2)
        assert abs(value) < 1e-6  # zero, but for the rounding of one compiler or another
        np.testing.assert_array_equal(gradient, 0.0)


def test_scale_and_order_of_rows_do_not_matter():
    z1, z2, queue = normal(0, 6, 4), normal(1, 6, 4), normal(2, 9, 4)
    order, scale = np.random.default_rng(3).permutation(6), np.exp(normal(4, 6, 1))
    with x64():
        for loss, *more in ((nt_xent,), (info_nce,), (info_nce, queue)):
            loss = jax.jit(loss)
            value = loss(z1, z2, *more)
            np.testing.assert_allclose(loss(z1[order], scale * z2[order], *more), value, rtol=1e-12)
            np.testing.assert_allclose(loss(scale * z1, z2, *more), value, rtol=1e-12)
        np.testing.assert_allclose(loss(z1, z2, 3 * queue[::-1]), value, rtol=1e-12)
        np.testing.assert_allclose(jax.jit(nt_xent)(z1, z2), jax.jit(nt_xent)(z2, z1), rtol=1e-12)


def test_temperature_of_a_hundredth_stays_exact_in_float32():
    z1, z2 = normal(0, 6, 4), normal(1, 6, 4)
    for loss in (nt_xent, info_nce):
        exact = getattr(reference, loss.__name__)(z1, z2, *[None] * (loss is info_nce), 0.01)
        value_and_gradient = jax.jit(jax.value_and_grad(lambda a, b, t, loss=loss: loss(a, b, temperature=t)))
        value, gradient = value_and_gradient(jnp.float32(z1), z2, 0.01)
        np.testing.assert_allclose(value, exact, rtol=1e-5)
        assert np.isfinite(gradient).all()
        value, gradient = value_and_gradient(jnp.float32(z1), -z1, 1e-4)  # exponents of some thousands
        assert np.isfinite(value) and np.isfinite(gradient).all()


def test_temperature_may_be_traced_and_learned():
    z1, z2 = normal(0, 4, 3), normal(1, 4, 3)
    with x64():
        slope = jax.jit(jax.grad(lambda t: nt_xent(z1, z2, temperature=t)))(0.5)
        expected = reference.numeric_gradient(lambda t: reference.nt_xent(z1, z2, t), np.array(0.5))
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_queue_must_have_the_same_width():
    with pytest.raises(ValueError, match="negatives"):
        info_nce(normal(0, 4, 3), normal(1, 4, 3), normal(2, 5, 2))
