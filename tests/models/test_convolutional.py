"""Convolution implementations, the small ConvNet and ResNets."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.conv import Conv
from jaxssl.models.convnet import convnet
from jaxssl.models.resnet import resnet, resnet18, resnet34, resnet50

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (4, 9, 8, 3))


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


MANY = jax.random.normal(KEY, (32, 9, 8, 10))  # groups of images and more than a few channels


@pytest.mark.parametrize(
    "size, strides, x",
    [(3, 1, X), (3, 2, X), (1, 2, X), (7, 2, X), (3, 1, MANY), (5, 1, MANY[:6]), (3, 1, MANY[:, :4])],
)
def test_taps_equals_convolution_in_value_and_gradient(size, strides, x):
    n, height, width, channels = x.shape
    modules = [Conv(5, size, strides, name) for name in ("conv", "taps", "auto")]
    params, _ = setup(modules[0], KEY, x)
    assert params["kernel"].shape == (size, size, channels, 5)

    def loss(params, x, module):
        y, _ = forward(module, params, {}, x)
        return jnp.sin(y).sum(), y

    def grad(module):
        return jax.jit(jax.value_and_grad(lambda p, x: loss(p, x, module), (0, 1), has_aux=True))(params, x)

    results = [grad(module) for module in modules]
    assert results[0][0][1].shape == (n, -(-height // strides), -(-width // strides), 5)
    for result in results[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), result, results[0])


def test_conv_refuses_bad_options():
    with pytest.raises(ValueError, match="implementation"):
        setup(Conv(5, implementation="winograd"), KEY, X)
    with pytest.raises(ValueError, match="odd"):
        setup(Conv(5, kernel_size=2), KEY, X)


NETWORKS = {
    "convnet": (convnet, dict(widths=(4, 6)), 12),
    "basic": (resnet, dict(layers=(1, 1), width=4, stem="3x3", zero_init_last=False), 8),
    "bottleneck": (resnet, dict(layers=(1, 1), width=4, block="bottleneck", zero_init_last=False), 32),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_remat_and_half_precision_change_nothing_but_the_cost(name):
    factory, options, dim = NETWORKS[name]
    network = factory(**options)
    params, stats = setup(network, KEY, X)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}

    def loss(params, network):
        h, updated = forward(network, params, stats, X, train=True)
        return jnp.square(h - 1).sum(), (h, updated)

    grad = jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)
    (_, (h, updated)), grads = grad(params, network)
    assert h.shape == (4, dim) and h.dtype == jnp.float32
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    (_, remat), remat_grads = grad(params, factory(**options, remat=True))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)  # noqa: E731
    jax.tree.map(close, (remat, remat_grads), ((h, updated), grads))
    half, _ = forward(factory(**options, dtype="bfloat16"), params, stats, X)
    full, _ = forward(network, params, stats, X)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, rtol=0.1, atol=0.03)


def test_pooling_modes_and_group_norm():
    params, stats = setup(convnet(widths=(4,)), KEY, X)
    both, _ = forward(convnet(widths=(4,)), params, stats, X)
    mean, _ = forward(convnet(widths=(4,), pool="mean"), params, stats, X)
    np.testing.assert_array_equal(both[:, :4], mean)
    assert (both[:, 4:] >= both[:, :4]).all()
    params, stats = setup(resnet(layers=(1,), width=4, norm="group"), KEY, X)
    assert stats == {}
    grouped = convnet(widths=(4,), batch_groups=2)
    params, stats = setup(grouped, KEY, X)
    halves = [forward(convnet(widths=(4,)), params, stats, x, train=True)[0] for x in (X[:2], X[2:])]
    y, _ = forward(grouped, params, stats, X, train=True)
    np.testing.assert_allclose(y, jnp.concatenate(halves), rtol=1e-3, atol=1e-4)


def test_zero_init_makes_blocks_start_as_identities():
    network = resnet(layers=(1,), width=4, stem="3x3")
    params, _ = setup(network, KEY, X)
    np.testing.assert_array_equal(params["layer1_0"]["bn2"]["scale"], 0)
    np.testing.assert_array_equal(params["layer1_0"]["bn1"]["scale"], 1)


@pytest.mark.parametrize(
    "factory, expected, dim",
    [(resnet18, 11_176_512, 512), (resnet34, 21_284_672, 512), (resnet50, 23_508_032, 2048)],
)
def test_published_parameter_counts(factory, expected, dim):
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params, stats = jax.eval_shape(lambda x: setup(factory(), KEY, x), x)
    assert count(params) == expected
    h, _ = jax.eval_shape(lambda p, s, x: forward(factory(), p, s, x), params, stats, x)
    assert h.shape == (1, dim) and h.dtype == jnp.float32


def test_bad_options_and_inputs_are_refused():
    for options in (
        dict(layers=(1,), stem="7x7"),
        dict(layers=(1,), block="wide"),
        dict(layers=(1, 1), channels=(4,)),
    ):
        with pytest.raises(ValueError, match="resnet"):
            resnet(**options)
    for options in (dict(pool="max"), dict(widths=(4, 8), strides=(1,))):
        with pytest.raises(ValueError, match="convnet"):
            convnet(**options)
    with pytest.raises(ValueError, match=r"\[N, H, W, C\]"):
        setup(convnet(), KEY, X[0])
    with pytest.raises(ValueError, match="floating"):
        setup(convnet(), KEY, X.astype(jnp.uint8))
