"""Networks for clouds: no order of points, what masks hide, class tokens, the decoder, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.points import PatchPointNet, decoder, transformer
from jaxssl.models.tokens import Hide
from jaxssl.optim import path_name

X = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)
SMALL = dict(num_groups=6, group_size=5, embed_dim=8, depth=2, num_heads=2, patch_widths=(4, 6, 8))


@pytest.fixture(scope="module")
def network():
    encoder = transformer(**SMALL)
    params, stats = setup(encoder, jax.random.key(0), X)
    # Larger than at the start, so that what should matter does.
    return encoder, jax.tree.map(lambda p: 3 * p if p.ndim > 1 else p, params), stats


def encoded(network, *inputs, **options):
    encoder, params, stats = network
    return forward(encoder, params, stats, *inputs, **options)[0]


def test_features_do_not_depend_on_the_order_of_the_points(network):
    order = np.random.default_rng(1).permutation(40)
    found = encoded(network, X)
    assert found.shape == (3, 16) and found.dtype == jnp.float32
    np.testing.assert_allclose(encoded(network, X[:, order]), found, rtol=1e-4, atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_features_are_mean_and_maximum_of_the_patches(network):
    patches = np.asarray(encoded(network, X, method="encode").patches)
    np.testing.assert_allclose(
        encoded(network, X), np.concatenate([patches.mean(1), patches.max(1)], axis=1), rtol=1e-5, atol=1e-6
    )


def test_masks_are_encoded_each_by_itself(network):
    """All patches visible, in any order, under either mask: the tokens of the whole, but for the class token's own."""
    encoder, params, stats = network
    order = np.stack([np.random.default_rng(n).permutation(6) for n in range(3)])
    ids = np.stack([np.tile(np.arange(6), (3, 1)), order], axis=1)
    whole, found = encoded(network, X, method="encode"), encoded(network, X, hide=Hide(ids), method="encode")
    assert found.patches.shape == (3, 2, 6, 8) and found.cls.shape == (3, 2, 8)
    np.testing.assert_allclose(found.patches[:, 0], whole.patches, atol=1e-4)
    np.testing.assert_allclose(found.cls[:, 0], whole.cls, atol=1e-4)
    assert np.abs(found.cls[:, 1] - whole.cls).max() > 0.01, "the second mask has a class token of its own"
    same = {**params, "cls_token": jnp.tile(params["cls_token"][:1], (2, 1, 1))}
    same["cls_pos"] = jnp.tile(params["cls_pos"][:1], (2, 1, 1))
    found = encoded((encoder, same, stats), X, hide=Hide(ids), method="encode")
    expected = np.take_along_axis(np.asarray(whole.patches), order[..., None], axis=1)
    np.testing.assert_allclose(found.patches[:, 1], expected, atol=1e-4)


def test_hidden_patches_have_no_influence(network):
    """Two clouds far apart from each other: patches of one say nothing of the other."""
    near, far = X[:1, :20], X[:1, 20:] + 100
    cloud, changed = (
        np.concatenate([near, far], axis=1),
        np.concatenate([near, far * np.float32([1, 1, 1.001])], axis=1),
    )
    first, second = (encoded(network, c, method="encode") for c in (cloud, changed))
    ids = np.flatnonzero(np.asarray(first.extras["centers"])[0, :, 0] < 50)
    assert 0 < len(ids) < 6
    ids = ids[None, None]
    some = [encoded(network, c, hide=Hide(ids), method="encode").patches for c in (cloud, changed)]
    np.testing.assert_array_equal(*some)
    assert np.abs(first.patches - second.patches).max() > 0


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_the_small_network_sees_sets(norm):
    groups = np.random.default_rng(0).normal(size=(2, 4, 7, 3)).astype(np.float32)
    net = PatchPointNet(5, (4, 6, 8), norm, "float32")
    params, stats = setup(net, jax.random.key(0), groups)
    assert [path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params) if "bias" in path_name(p)] == [
        "norm1/bias",
        "norm2/bias",
        "patch2/bias",
    ]
    found, _ = forward(net, params, stats, groups)
    again, _ = forward(net, params, stats, groups[:, :, ::-1])
    assert found.shape == (2, 4, 5)
    np.testing.assert_allclose(found, again, rtol=1e-3, atol=1e-4)  # sums of a norm in another order


def test_decoder_reads_visible_tokens_and_both_kinds_of_places():
    net = decoder(group_size=4, depth=1, num_heads=2)
    random = np.random.default_rng(0)
    z = random.normal(size=(2, 3, 8)).astype(np.float32)
    seen, hidden = random.normal(size=(2, 3, 3)).astype(np.float32), random.normal(size=(2, 5, 3)).astype(np.float32)
    params, _ = setup(net, jax.random.key(0), z, seen, hidden)
    params = jax.tree.map(lambda p: 5 * p if p.ndim > 1 else p, params)
    run = jax.jit(lambda *a: forward(net, params, {}, *a)[0])
    points, tokens = run(z, seen, hidden)
    assert points.shape == (2, 5, 4, 3) and tokens.shape == (2, 8, 8) and points.dtype == jnp.float32
    swapped, _ = run(z, seen, hidden[:, ::-1])
    np.testing.assert_allclose(swapped, points[:, ::-1], rtol=1e-3, atol=1e-4)
    for other in ((-z, seen, hidden), (z, -seen, hidden), (z, seen, -hidden)):
        assert np.abs(run(*other)[0] - points).max() > 1e-3


def test_refusals():
    for options, said in (
        (dict(embed_dim=10, num_heads=4), "num_heads"),
        (dict(pool="cls", cls_tokens=0), "pool"),
        (dict(norm="layer"), "norm"),
        (dict(num_groups=0), "num_groups"),
        (dict(patch_widths=(4, 4)), "patch_widths"),
    ):
        with pytest.raises(ValueError, match=said):
            transformer(**{**SMALL, **options})
    for x, said in ((X[0], r"\[N, P, 3\]"), (X[:, :5], "num=6"), (X.astype(int), "floating")):
        with pytest.raises(ValueError, match=said):
            setup(transformer(**SMALL), jax.random.key(0), x)
    with pytest.raises(ValueError, match="3 masks need cls_tokens=3"):
        ids = np.zeros((3, 3, 2), int)
        setup(transformer(**SMALL), jax.random.key(0), X, hide=Hide(ids), method="encode")
