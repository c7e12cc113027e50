import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.ops import cosine_momentum, ema_init, ema_update, momentum_schedule, tree_distance

OLD = {"a": jnp.array([1.0, 2.0]), "b": {"c": jnp.full((2, 2), 4.0)}}
NEW = {"a": jnp.array([3.0, 0.0]), "b": {"c": jnp.zeros((2, 2))}}


def test_ema_update_equals_optax_on_float32():
    updated = ema_update(OLD, NEW, 0.75)
    np.testing.assert_allclose(updated["a"], [1.5, 1.5])
    expected = optax.incremental_update(NEW, OLD, step_size=0.25)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), updated, expected)


def test_ends_of_the_momentum_are_exact():
    tree = {"w": jnp.float32([0.1, 1e8, -3e-7])}
    other = {"w": jnp.float32([1.0, 2.0, 3.0])}
    np.testing.assert_array_equal(ema_update(tree, other, 1.0)["w"], tree["w"])
    np.testing.assert_array_equal(ema_update(tree, other, 0.0)["w"], other["w"])


def test_dtypes_are_kept_under_a_traced_momentum():
    old = ema_init({"half": jnp.bfloat16([1.0]), "full": jnp.float32([1.0]), "count": jnp.int32(3)})
    new = {"half": jnp.float32([2.0]), "full": jnp.bfloat16([2.0]), "count": jnp.int32(5)}
    updated = jax.jit(ema_update)(old, new, jnp.float32(0.5))
    assert jax.tree.map(lambda x: x.dtype, updated) == jax.tree.map(lambda x: x.dtype, old)
    assert updated["half"] == 1.5 and updated["full"] == 1.5 and updated["count"] == 5


def test_an_average_of_half_precision_moves():
    for half in (jnp.bfloat16, jnp.float16):
        values = {"w": jnp.zeros(2, half), "count": jnp.int32(1)}
        for start in ({"w": jnp.ones(2, half), "count": jnp.int32(0)}, {"w": jnp.ones(2), "count": jnp.int32(0)}):
            steps = lambda average: jax.lax.fori_loop(0, 1000, lambda _, a: ema_update(a, values, 0.999), average)
            average = jax.jit(steps)(ema_init(start))
            np.testing.assert_allclose(average["w"], 0.999**1000, rtol=1e-3)
            # Without ema_init the first update makes it float32.
            assert ema_update(start, values, 0.999)["w"].dtype == jnp.float32


def test_trees_must_agree():
    with pytest.raises(ValueError):
        ema_update(OLD, {"a": NEW["a"]}, 0.5)
    with pytest.raises(ValueError, match="shapes"):
        ema_update({"a": jnp.ones((2, 3))}, {"a": jnp.ones(3)}, 0.5)
    with pytest.raises(ValueError, match="momentum"):
        ema_update(OLD, NEW, 1.5)


def test_cosine_momentum_follows_half_a_cosine():
    schedule = jax.jit(cosine_momentum(0.99, 1.0, 100))
    steps = np.array([0, 25, 50, 100, 500])
    progress = np.minimum(steps / 100, 1)
    expected = 1 - 0.01 * (np.cos(np.pi * progress) + 1) / 2
    np.testing.assert_allclose([schedule(step) for step in steps], expected, rtol=1e-6)
    assert schedule(100) == 1.0 and schedule(10**6) == 1.0
    with pytest.raises(ValueError, match="total_steps"):
        cosine_momentum(0.9, 1.0, 0)


def test_momentum_schedule_is_constant_without_steps():
    assert momentum_schedule(0.9, 1.0, 0)(7) == 0.9
    assert momentum_schedule(0.9, 1.0, 50)(20) == cosine_momentum(0.9, 1.0, 50)(20)


def test_tree_distance_is_relative_to_the_first_tree():
    difference = np.sqrt(2**2 + 2**2 + 4 * 4**2)
    np.testing.assert_allclose(tree_distance(OLD, NEW), difference / np.sqrt(1 + 4 + 4 * 16), rtol=1e-6)
    zeros = jax.tree.map(jnp.zeros_like, OLD)
    assert tree_distance(OLD, OLD) == 0 and tree_distance(zeros, zeros) == 0
    assert np.isinf(tree_distance(zeros, OLD))
    low = jax.tree.map(jnp.bfloat16, OLD)
    assert tree_distance(low, OLD).dtype == jnp.float32 and tree_distance(low, OLD) == 0
    with pytest.raises(ValueError, match="shapes"):
        tree_distance({"a": jnp.ones((2, 3))}, {"a": jnp.ones(3)})
