"""Vision transformers, their positions, and the masked-autoencoder decoder."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup
from PIL import Image

from jaxssl.models.decoder import mae_decoder
from jaxssl.models.positions import resample, sincos_2d, take_tokens
from jaxssl.models.tokens import Hide
from jaxssl.models.transformer import DropPath
from jaxssl.models.vit import vit, vit_b, vit_s, vit_ti

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (2, 8, 12, 3))
SMALL = dict(patch_size=4, embed_dim=8, depth=2, num_heads=2, image_size=(8, 12), registers=2)


def encode(network, params, x=X, **options):
    return forward(network, params, {}, x, method="encode", **options)[0]


@pytest.fixture(scope="module")
def params():
    return setup(vit(**SMALL), KEY, X)[0]


def test_tokens_and_pooling(params):
    tokens = encode(vit(**SMALL), params)
    assert [part.shape for part in (tokens.cls, tokens.registers, tokens.patches)] == [(2, 8), (2, 2, 8), (2, 6, 8)]
    assert tokens.grid == (2, 3) and tokens.map.shape == (2, 2, 3, 8)
    np.testing.assert_array_equal(forward(vit(**SMALL), params, {}, X)[0], tokens.cls)
    pooled, _ = forward(vit(**SMALL, pool="mean"), params, {}, X)
    np.testing.assert_allclose(pooled, tokens.patches.mean(1), rtol=1e-6)
    assert pooled.dtype == jnp.float32


def test_visible_patches_keep_their_positions(params):
    network = vit(**SMALL)
    full = encode(network, params)
    ids = jnp.array([[3, 1, 0, 2, 5, 4], [0, 1, 2, 3, 4, 5]])
    shuffled = encode(network, params, hide=Hide(ids))
    np.testing.assert_allclose(shuffled.cls, full.cls, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shuffled.patches, take_tokens(full.patches, ids), rtol=1e-4, atol=1e-5)
    assert encode(network, params, hide=Hide(ids[:, :2])).patches.shape == (2, 2, 8)
    hidden_changed = X.at[:, 4:].add(1.0)
    seen = [encode(network, params, x, hide=Hide(jnp.array([[0, 1, 2]] * 2))) for x in (X, hidden_changed)]
    jax.tree.map(np.testing.assert_array_equal, *seen)


def test_masked_patches_do_not_reach_the_features():
    network = vit(**SMALL, mask_token=True)
    params, _ = setup(network, KEY, X)
    masked = jnp.zeros((2, 6), bool).at[:, 3:].set(True)
    seen = [encode(network, params, x, hide=Hide(masked=masked)) for x in (X, X.at[:, 4:].add(1.0))]
    jax.tree.map(np.testing.assert_array_equal, *seen)
    with pytest.raises(ValueError, match="needs an encoder that has a mask token"):
        encode(vit(**SMALL), {k: v for k, v in params.items() if k != "mask_token"}, hide=Hide(masked=masked))


def test_remat_and_half_precision_change_nothing_but_the_cost(params):
    def loss(params, network):
        return jnp.sin(forward(network, params, {}, X, train=True)[0]).sum()

    grad = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    plain, remat = grad(params, vit(**SMALL)), grad(params, vit(**SMALL, remat=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), remat, plain)
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(plain[1]))
    half = encode(vit(**SMALL, dtype="bfloat16"), params)
    assert half.cls.dtype == jnp.float32
    np.testing.assert_allclose(half.patches, encode(vit(**SMALL), params).patches, rtol=0.1, atol=0.1)


def test_positions_of_other_input_sizes(params):
    network = vit(**SMALL)
    table = params["pos_embed"][3:]
    assert resample(table, (2, 3), (2, 3)) is table
    np.testing.assert_allclose(resample(jnp.ones((6, 8)), (2, 3), (5, 4)), 1, rtol=1e-5)
    larger = jnp.tile(X, (1, 2, 2, 1))
    assert encode(network, params, larger).patches.shape == (2, 24, 8)
    native = vit(**{**SMALL, "image_size": (16, 24)})
    resampled = jnp.concatenate([params["pos_embed"][:3], resample(table, (2, 3), (4, 6))])
    stored = encode(native, {**params, "pos_embed": resampled}, larger)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), stored, encode(network, params, larger))
    with pytest.raises(ValueError, match="patch_size=4: must divide the image size 8x10"):
        encode(network, params, X[:, :, :10])


@pytest.mark.parametrize("new_grid", [(3, 5), (9, 11)])
def test_resampling_is_the_usual_antialiased_bicubic_one(new_grid):
    table = np.asarray(jax.random.normal(KEY, (42, 1)))
    image = Image.fromarray(table.reshape(6, 7))
    expected = np.asarray(image.resize(new_grid[::-1], Image.Resampling.BICUBIC))
    np.testing.assert_allclose(resample(jnp.asarray(table), (6, 7), new_grid)[:, 0], expected.ravel(), atol=1e-5)


def test_fixed_positions():
    codes = sincos_2d(8, (2, 3))
    w = np.array([1.0, 0.01])
    expected = np.concatenate([np.sin(2 * w), np.cos(2 * w), np.sin(1 * w), np.cos(1 * w)])
    np.testing.assert_allclose(codes[5], expected, rtol=1e-6)  # last patch: column 2, row 1
    network = vit(**SMALL, positions="fixed")
    params, _ = setup(network, KEY, X)
    assert "pos_embed" not in params
    assert encode(network, params, jnp.tile(X, (1, 2, 1, 1))).patches.shape == (2, 12, 8)
    with pytest.raises(ValueError, match="divisible by 4"):
        vit(embed_dim=6, num_heads=2, positions="fixed")


def test_drop_path_keeps_the_mean_and_needs_a_key():
    x = jnp.ones((4000, 2))
    y, _ = forward(DropPath(0.25), {}, {}, x, train=True, key=KEY)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    np.testing.assert_allclose(y.mean(), 1, atol=0.04)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])  # whole examples
    np.testing.assert_array_equal(forward(DropPath(0.25), {}, {}, x)[0], x)
    network = vit(**SMALL, drop_path=0.5)
    params, _ = setup(network, KEY, X)
    out = [forward(network, params, {}, X, train=True, key=jax.random.key(i))[0] for i in range(4)]
    assert any(not np.array_equal(out[0], other) for other in out[1:])
    with pytest.raises(ValueError, match="key="):
        forward(network, params, {}, X, train=True)


@pytest.mark.parametrize("factory, millions", [(vit_ti, 5.5), (vit_s, 21.7), (vit_b, 85.8)])
def test_published_parameter_counts(factory, millions):
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    params, _ = jax.eval_shape(lambda x: setup(factory(), KEY, x), x)
    assert round(sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) / 1e6, 1) == millions


def test_bad_options_are_refused():
    for options in (
        dict(num_heads=5),
        dict(pool="max"),
        dict(class_token=False),
        dict(positions="rotary"),
        dict(drop_path=1.0),
        dict(depth=0),
        dict(image_size=100),
    ):
        with pytest.raises(ValueError):
            vit(**options)


def test_patches_are_read_row_by_row():
    patches = vit(**SMALL).patches_of(X)
    np.testing.assert_array_equal(patches[1, 4], X[1, 4:8, 4:8].reshape(-1))


def test_decoder_restores_the_order_of_the_patches():
    decoder = mae_decoder(patch_size=2, channels=1, width=8, depth=1, num_heads=2, grid=(2, 3))
    visible = jax.random.normal(KEY, (2, 2, 5))
    restore = jnp.array([[2, 0, 3, 1, 4, 5]] * 2)  # patches 1 and 3 are visible
    cls = jnp.ones((2, 5))
    params, stats = setup(decoder, KEY, visible, restore, cls)

    def decode(visible, restore):
        return forward(decoder, params, stats, visible, restore, cls, train=True)[0]

    out = decode(visible, restore)
    assert out.shape == (2, 6, 4) and out.dtype == jnp.float32
    swapped = decode(visible[:, ::-1], jnp.array([[2, 1, 3, 0, 4, 5]] * 2))
    np.testing.assert_allclose(swapped, out, rtol=1e-4, atol=1e-5)
    other_hidden_order = decode(visible, jnp.array([[5, 0, 4, 1, 3, 2]] * 2))
    np.testing.assert_allclose(other_hidden_order, out, rtol=1e-4, atol=1e-5)
    assert not np.allclose(decode(visible, jnp.array([[2, 1, 3, 0, 4, 5]] * 2)), out, atol=1e-3)
    with pytest.raises(ValueError, match="do not fill a 2x2 grid"):
        forward(mae_decoder(width=8, depth=1, num_heads=2), params, stats, visible, restore, cls)
    with pytest.raises(ValueError, match="restore_ids for only 1"):
        forward(decoder, params, stats, visible, restore[:, :1], cls)


def test_cudnn_attention_is_taken_where_it_can_be(monkeypatch):
    from types import SimpleNamespace

    from jaxssl.models.transformer import attention_implementation

    q, mask = jnp.zeros((2, 5, 3, 64), jnp.bfloat16), jnp.ones((2, 1, 5, 5), bool)
    assert attention_implementation(q) == "xla", "this is no GPU"
    gpu = SimpleNamespace(client=SimpleNamespace(platform_version="PJRT C API cuda 12090"), compute_capability="9.0")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    assert attention_implementation(q) == "cudnn"
    for wrong in (q.astype(jnp.float32), q[..., :60], jnp.zeros((2, 5, 3, 136), jnp.bfloat16)):
        assert attention_implementation(wrong) == "xla"
    assert attention_implementation(q, mask) == "xla"
    gpu.compute_capability = "7.5"
    assert attention_implementation(q) == "xla"
    gpu.client.platform_version, gpu.compute_capability = "rocm 6.2", "gfx90a"
    assert attention_implementation(q) == "xla"
