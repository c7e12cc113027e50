import jax
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, x64

from jaxssl import losses


@pytest.mark.parametrize("weight", [0.005, 2.0])
def test_barlow_twins_matches_loops(weight):
    check_value_and_gradients(
        lambda a, b: losses.barlow_twins(a, b, redundancy_weight=weight),
        lambda a, b: reference.barlow_twins(a, b, weight),
        (2 * normal(0, 6, 3) + 1, normal(1, 6, 3)),
        {0, 1},
    )


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (3.0, 0.5, 7.0)])
def test_vicreg_matches_loops(weights):
    names = "invariance_weight", "variance_weight", "covariance_weight"
    check_value_and_gradients(
        lambda a, b: losses.vicreg(a, b, **dict(zip(names, weights))),
        lambda a, b: reference.vicreg(a, b, *weights),
        (0.4 * normal(0, 5, 3), normal(1, 5, 3) * [0.3, 1.0, 3.0]),  # on both sides of the hinge
        {0, 1},
    )


def test_vicreg_terms_match_loops():
    z1, z2 = normal(0, 5, 3), 0.5 * normal(1, 5, 3)
    with x64():
        for term in (losses.vicreg_variance, losses.vicreg_covariance):
            expected = getattr(reference, term.__name__)(z2)
            np.testing.assert_allclose(jax.jit(term)(z2), expected, rtol=1e-12)
        invariance = jax.jit(losses.vicreg_invariance)(z1, z2)
        np.testing.assert_allclose(invariance, np.mean((z1 - z2) ** 2), rtol=1e-12)


def test_closed_forms():
    # Four rows of two uncorrelated columns, unbiased variance 4 / 3 and population variance 1.
    z = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    shrink = 1 / (1 + 1e-5)
    barlow_twins = jax.jit(lambda a, b: losses.barlow_twins(a, b, redundancy_weight=0.5))
    vicreg = jax.jit(losses.vicreg)
    with x64():
        np.testing.assert_allclose(barlow_twins(z, z), 2 * (1 - shrink) ** 2, rtol=1e-4)
        np.testing.assert_allclose(barlow_twins(z, -z), 2 * (1 + shrink) ** 2, rtol=1e-12)
        np.testing.assert_allclose(barlow_twins(z, z[:, ::-1]), 2 + shrink**2, rtol=1e-12)
        assert vicreg(z, z) == 0.0
        # Collapsed: the variance is 0 and the hinge is 1 - sqrt(eps).
        np.testing.assert_allclose(vicreg(np.ones((4, 2)), np.ones((4, 2))), 25 * 0.99, rtol=1e-12)


def test_shift_of_a_view_and_order_of_rows_do_not_matter():
    z1, z2 = normal(0, 6, 3), normal(1, 6, 3)
    order = np.random.default_rng(2).permutation(6)
    with x64():
        for loss, shift in ((jax.jit(losses.barlow_twins), 0), (jax.jit(losses.vicreg), 5)):
            value = loss(z1, z2)
            np.testing.assert_allclose(loss(z1[order], z2[order]), value, rtol=1e-12)
            np.testing.assert_allclose(loss(z1 + 5, z2 + shift), value, rtol=1e-9)


@pytest.mark.parametrize("loss", [losses.barlow_twins, losses.vicreg])
def test_constant_or_single_dimensions_stay_finite(loss):
    for z in (np.ones((4, 3), np.float32), np.float32(normal(0, 4, 1))):
        value, gradient = jax.jit(jax.value_and_grad(loss))(z, z)
        assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [losses.barlow_twins, losses.vicreg])
def test_one_row_is_refused(loss):
    with pytest.raises(ValueError, match="N >= 2"):
        loss(normal(0, 1, 3), normal(1, 1, 3))
