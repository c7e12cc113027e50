"""The door to Flax, and batch norm in its global and grouped forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models import module
from jaxssl.models.convnet import convnet
from jaxssl.models.norm import GroupedBatchNorm, batch_norm, norm

KEY = jax.random.key(0)
forward_views = jax.jit(module.forward_views, static_argnums=0, static_argnames="train")
X = 3 + 2 * jax.random.normal(KEY, (8, 4, 4, 3))


def test_setup_and_forward_keep_statistics_by_the_momentum_convention():
    layer = batch_norm()
    params, stats = setup(layer, KEY, X, use_running_average=False)
    np.testing.assert_array_equal(stats["mean"], 0)
    y, updated = forward(layer, params, stats, X, train=True, use_running_average=False)
    np.testing.assert_allclose(updated["mean"], 0.1 * X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(updated["var"], 0.9 + 0.1 * X.var((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
    y, same = forward(layer, params, updated, X, use_running_average=True)
    expected = (X - updated["mean"]) / np.sqrt(updated["var"] + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, same, updated)


def test_modules_without_train_and_without_statistics():
    dense = nn.Dense(5)
    params, stats = setup(dense, KEY, X)
    assert stats == {}
    y, stats = forward(dense, params, stats, X, train=True)
    assert y.shape == (8, 4, 4, 5) and stats == {}


def test_forward_views_sees_each_view_apart():
    network = convnet(widths=(4, 6))
    params, stats = setup(network, KEY, X)
    views = jnp.stack([X, 5 * X[::-1]])
    out, updated = forward_views(network, params, stats, views, train=True)
    first, after_first = forward(network, params, stats, views[0], train=True)
    second, after_second = forward(network, params, after_first, views[1], train=True)
    np.testing.assert_allclose(out, jnp.stack([first, second]), rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), updated, after_second)
    with pytest.raises(ValueError, match=r"\[V, N"):
        forward_views(network, params, stats, jnp.zeros(3), train=True)


def test_grouped_batch_norm_is_batch_norm_within_each_group():
    whole, grouped = batch_norm(), GroupedBatchNorm(2)
    params, stats = setup(whole, KEY, X, use_running_average=False)
    shape = lambda tree: jax.tree.map(jnp.shape, tree)  # noqa: E731
    assert shape(setup(grouped, KEY, X, use_running_average=False)) == shape((params, stats))
    params = {"scale": jnp.array([1.0, 2, 3]), "bias": jnp.array([0.0, -1, 1])}

    def run(layer, x):
        return forward(layer, params, stats, x, train=True, use_running_average=False)

    def close(a, b):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), a, b)

    close(run(GroupedBatchNorm(1), X), run(whole, X))
    y, updated = run(grouped, X)
    (first, stats_first), (second, stats_second) = run(whole, X[:4]), run(whole, X[4:])
    np.testing.assert_allclose(y, jnp.concatenate([first, second]), rtol=1e-4, atol=1e-5)
    average = jax.tree.map(lambda a, b: (a + b) / 2, stats_first, stats_second)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), updated, average)
    inference = [forward(m, params, updated, X, use_running_average=True)[0] for m in (whole, grouped)]
    np.testing.assert_allclose(*inference, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="num_groups=3: must divide the batch size 8"):
        forward(GroupedBatchNorm(3), params, stats, X, train=True, use_running_average=False)


def test_grouped_batch_norm_has_the_gradient_of_separate_batch_norms():
    params, stats = setup(batch_norm(), KEY, X, use_running_average=False)

    def total(x, *, layer):
        return (forward(layer, params, stats, x, train=True, use_running_average=False)[0] ** 3).sum()

    separate = [jax.grad(total)(half, layer=batch_norm()) for half in (X[:4], X[4:])]
    grouped = jax.grad(total)(X, layer=GroupedBatchNorm(2))
    np.testing.assert_allclose(grouped, jnp.concatenate(separate), rtol=1e-3, atol=1e-4)


def test_half_precision_input_takes_float32_statistics():
    x = (X + 300).astype(jnp.bfloat16)
    for layer in (batch_norm(dtype="bfloat16"), GroupedBatchNorm(2, dtype="bfloat16")):
        params, stats = setup(layer, KEY, x, use_running_average=False)
        y, updated = forward(layer, params, stats, x, train=True, use_running_average=False)
        assert y.dtype == jnp.bfloat16 and updated["mean"].dtype == jnp.float32
        np.testing.assert_allclose(updated["mean"], 0.1 * x.astype(jnp.float32).mean((0, 1, 2)), rtol=1e-5)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="'batch' or 'group'"):
        norm("layer", 8, True)
