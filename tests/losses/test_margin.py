import jax
import jax.numpy as jnp
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, x64

from jaxssl.losses import clan, clan_active_fraction


@pytest.mark.parametrize(
    "options", [dict(margin=0.5, alpha=0.5, squared=False), dict(margin=1.0, alpha=0.3, squared=True)]
)
def test_values_and_gradients_match_loops(options):
    check_value_and_gradients(
        lambda a, b: clan(a, b, **options),
        lambda a, b: reference.clan(a, b, **options),
        (normal(0, 5, 3), normal(1, 4, 3)),
        {0, 1},
    )


@pytest.mark.parametrize("rows", [1, 4, 300])
def test_all_equal_is_the_stationary_point(rows):
    """The value is (1 - alpha) m, and it does not grow with the rounding of many pairs."""
    z = np.tile(np.float32(normal(0, 1, 7)), (rows, 1))
    value, gradient = jax.jit(jax.value_and_grad(lambda a, b: clan(a, b, margin=0.5, alpha=0.3)))(z, z)
    np.testing.assert_allclose(value, 0.7 * 0.5, rtol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-6)
    assert jax.jit(clan_active_fraction)(z, z) == 1.0
    with x64():
        value = jax.jit(clan)(np.ones((4, 4)), np.ones((4, 4)))
        assert value == 0.25  # (1 - alpha) m exactly: here no cosine is rounded


def test_negatives_beyond_the_margin_are_left_alone():
    z = np.float32(normal(0, 1, 3)).repeat(5, axis=0)
    value, gradients = jax.jit(jax.value_and_grad(clan, argnums=(0, 1)))(z, -z)
    assert value == 0.0
    assert jax.jit(clan_active_fraction)(z, -z) == 0.0
    for gradient in gradients:
        np.testing.assert_array_equal(gradient, 0.0)


def test_orthogonal_pairs_have_known_values():
    """d = 1/2 between axes: S = 1/2, and at margin 1 half of it is missing to every negative that is an axis."""
    value = jax.jit(lambda a, b: clan(a, b, margin=1.0, alpha=0.5))(jnp.eye(6)[:3], jnp.eye(6)[3:])
    np.testing.assert_allclose(value, 0.5 * 0.5 + 0.5 * 0.5, rtol=1e-6)


def test_fraction_counts_pairs_and_has_no_gradient():
    z, far = jnp.eye(4)[:1], jnp.stack([jnp.eye(4)[0], -jnp.eye(4)[0], jnp.eye(4)[0], -jnp.eye(4)[0]])
    assert jax.jit(clan_active_fraction)(z, far) == 0.5
    np.testing.assert_array_equal(jax.grad(clan_active_fraction)(z, far), 0.0)


def test_length_of_the_embeddings_does_not_matter():
    a, b = np.float32(normal(0, 5, 3)), np.float32(normal(1, 6, 3))
    np.testing.assert_allclose(jax.jit(clan)(a, b), jax.jit(clan)(7 * a, 0.1 * b), rtol=1e-5)


def test_options_that_make_no_sense_are_refused():
    a = normal(0, 3, 2)
    with pytest.raises(ValueError, match="alpha"):
        clan(a, a, alpha=1.1)
    with pytest.raises(ValueError, match="margin"):
        clan(a, a, margin=0)
    with pytest.raises(ValueError, match="eps"):
        clan(a, a, eps=-1.0)
    with pytest.raises(ValueError, match="equally wide"):
        clan(a, normal(0, 3, 4))
