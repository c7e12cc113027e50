"""The maximum that networks pool with, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.models.pooling import largest


def test_it_is_the_maximum_with_its_gradient():
    x = jax.random.normal(jax.random.key(0), (3, 5, 4))
    weights = jax.random.normal(jax.random.key(1), (3, 4))
    for function in (jax.jit, lambda f: f):
        found = function(jax.value_and_grad(lambda x: (largest(x, 1) * weights).sum()))(x)
        expected = jax.value_and_grad(lambda x: (jnp.max(x, 1) * weights).sum())(x)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
        np.testing.assert_array_equal(found[1], expected[1])


def test_of_equal_values_the_first_gets_the_gradient():
    gradient = jax.grad(lambda x: largest(x, 0))(jnp.asarray([1.0, 2.0, 2.0]))
    np.testing.assert_array_equal(gradient, [0, 1, 0])


def test_nothing_is_divided_by_a_count_that_rounding_can_make_zero():
    """The gradient of `jnp.max` is: a comparison with a maximum that was computed elsewhere, and a division."""
    text = str(jax.make_jaxpr(jax.grad(lambda x: largest(x, 1).sum()))(jnp.ones((2, 3))))
    assert " div " not in text and " eq " not in text
