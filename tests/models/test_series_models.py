"""Networks for series: shapes, what a subset of patches means, no biases, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.positions import sincos_1d
from jaxssl.models.series import convnet, predictor, vit
from jaxssl.models.tokens import Hide
from jaxssl.optim import path_name

X = np.random.default_rng(0).normal(size=(3, 40, 2)).astype(np.float32)
SMALL = dict(patch_size=5, embed_dim=8, depth=2, num_heads=2)


@pytest.fixture(scope="module")
def network():
    encoder = vit(**SMALL)
    return encoder, setup(encoder, jax.random.key(0), X)[0]


def test_positions_are_sines_of_the_patch():
    codes = sincos_1d(4, 3)
    np.testing.assert_allclose(
        codes, [[np.sin(t), np.sin(t / 100), np.cos(t), np.cos(t / 100)] for t in range(3)], rtol=1e-6
    )


def test_all_patches_visible_in_any_order_are_the_whole(network):
    encoder, params = network
    whole, _ = forward(encoder, params, {}, X, method="encode")
    assert whole.patches.shape == (3, 8, 8) and whole.registers.shape == (3, 1, 8)
    order = np.stack([np.random.default_rng(n).permutation(8) for n in range(3)])
    some, _ = forward(encoder, params, {}, X, hide=Hide(order), method="encode")
    expected = np.take_along_axis(np.asarray(whole.patches), order[..., None], axis=1)
    np.testing.assert_allclose(some.patches, expected, atol=1e-5)
    np.testing.assert_allclose(forward(encoder, params, {}, X)[0], whole.patches.mean(1), rtol=1e-5)


def test_hidden_patches_have_no_influence(network):
    encoder, params = network
    ids = np.tile([1, 6], (3, 1))
    changed = X.copy()
    changed[:, 10:30] += 5
    found = [forward(encoder, params, {}, x, hide=Hide(ids), method="encode")[0].patches for x in (X, changed)]
    np.testing.assert_array_equal(*found)


def test_there_are_no_biases_and_residual_maps_start_small():
    encoder = vit(patch_size=5, embed_dim=64, depth=2, num_heads=2)
    params = setup(encoder, jax.random.key(0), X)[0]
    leaves = {path_name(p): x for p, x in jax.tree_util.tree_leaves_with_path(params)}
    assert not [name for name in leaves if name.endswith("bias")]
    usual = float(leaves["block0/fc1/kernel"].std())
    for name in ("block0/attn/proj/kernel", "block1/fc2/kernel"):
        assert float(leaves[name].std()) == pytest.approx(usual / 2, rel=0.05)  # sqrt(2 * depth) = 2


def test_predictor_reads_the_visible_tokens_and_the_hidden_places():
    network = predictor(out_dim=8, width=4, depth=1, num_heads=2)
    z, visible, hidden = (
        jnp.asarray(X[:, :3, :1] * np.ones(8, np.float32)),
        np.tile([0, 3, 4], (3, 1)),
        np.tile([1, 2], (3, 1)),
    )
    params, _ = setup(network, jax.random.key(0), z, visible, hidden)
    params = jax.tree.map(lambda p: 20 * p if p.ndim > 1 else p, params)
    found, _ = forward(network, params, {}, z, visible, hidden)
    assert found.shape == (3, 2, 8) and found.dtype == jnp.float32
    swapped, _ = forward(network, params, {}, z, visible, hidden[:, ::-1])
    np.testing.assert_allclose(swapped, found[:, ::-1], atol=1e-4)
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-4, "places differ"
    other, _ = forward(network, params, {}, z[::-1], visible, hidden)
    assert np.abs(other - found).max() > 1e-4, "tokens matter"


def test_convnet_takes_the_maximum_over_time():
    encoder = convnet(widths=(4, 6), kernel_sizes=(5, 3), dropout=0.5)
    params, stats = setup(encoder, jax.random.key(0), X)
    assert stats == {}
    found, _ = forward(encoder, params, {}, X)
    assert found.shape == (3, 6) and found.dtype == jnp.float32
    # What comes earlier or later is the same to it.
    pulse = np.zeros((2, 40, 2), np.float32)
    pulse[0, 15:18], pulse[1, 20:23] = 1, 1
    np.testing.assert_allclose(*forward(encoder, params, {}, pulse)[0], atol=1e-6)
    dropped = [forward(encoder, params, {}, X, train=True, key=jax.random.key(k))[0] for k in (0, 1)]
    assert (dropped[0] != dropped[1]).any()


def test_refusals():
    with pytest.raises(ValueError, match="must divide the T = 40"):
        setup(vit(**{**SMALL, "patch_size": 7}), jax.random.key(0), X)
    with pytest.raises(ValueError, match="T >= 46"):
        setup(convnet(), jax.random.key(0), X)
    with pytest.raises(ValueError, match=r"\[N, T, C\]"):
        setup(convnet(), jax.random.key(0), X[0])
    with pytest.raises(ValueError, match="num_heads"):
        vit(embed_dim=10, num_heads=3)
    with pytest.raises(ValueError, match="equally many"):
        convnet(widths=(4,), kernel_sizes=(3, 3))
