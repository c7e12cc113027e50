"""Attention to itself and to a context, its masks, biases and maps, against plain formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.models.decoder import mae_decoder, masked_decoder
from jaxssl.models.module import forward, setup
from jaxssl.models.positions import sincos, sincos_1d, sincos_2d, sincos_3d
from jaxssl.models.transformer import (
    Attention,
    CrossBlock,
    TransformerBlock,
    attention_implementation,
    attention_weights,
)

RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


X, CONTEXT = normal(2, 5, 8), normal(2, 3, 6)


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_weights_are_their_formula():
    q, k = normal(2, 4, 3, 8), normal(2, 5, 3, 8)
    mask, bias = jnp.asarray(RANDOM.random((2, 1, 4, 5)) < 0.6).at[..., 0].set(True), normal(1, 3, 4, 5)
    logits = np.einsum("nlhd,nshd->nhls", np.float64(q), np.float64(k)) / np.sqrt(8)
    np.testing.assert_allclose(attention_weights(q, k), softmax(logits), atol=1e-6)
    expected = softmax(np.where(mask, logits + np.float64(bias), -np.inf))
    np.testing.assert_allclose(attention_weights(q, k, mask, bias), expected, atol=1e-6)
    nothing = attention_weights(q, k, jnp.zeros((1, 1, 4, 5), bool))
    np.testing.assert_allclose(nothing, 0.2, atol=1e-6)
    half = attention_weights(q.astype(jnp.bfloat16), k.astype(jnp.bfloat16))
    assert half.dtype == jnp.float32


@pytest.mark.parametrize("context", [None, CONTEXT], ids=["itself", "context"])
def test_attention_is_its_formula_and_maps_change_nothing(context):
    keys = 5 if context is None else 3
    mask, bias = jnp.ones((2, 1, 5, keys), bool).at[1, 0, :, 2].set(False), normal(2, keys)[:, None, :]
    mask, bias = mask, jnp.broadcast_to(bias[None], (1, 2, 5, keys))
    module = Attention(2, True, "float32", return_weights=True)
    params, _ = setup(module, KEY, X, context, mask, bias)
    params = jax.tree.map(lambda p: 20 * p, params)
    assert set(params) == ({"qkv", "proj"} if context is None else {"q", "kv", "proj"})
    (h, weights), _ = forward(module, params, {}, X, context, mask, bias)
    plain, _ = forward(Attention(2, True, "float32"), params, {}, X, context, mask, bias)
    np.testing.assert_array_equal(h, plain)
    linear = lambda x, name: np.float64(x) @ np.float64(params[name]["kernel"]) + np.float64(params[name]["bias"])
    if context is None:
        q, k, v = np.split(linear(X, "qkv"), 3, axis=-1)
    else:
        q, (k, v) = linear(X, "q"), np.split(linear(context, "kv"), 2, axis=-1)
    q, k, v = (a.reshape(2, -1, 2, 4) for a in (q, k, v))
    logits = np.where(mask, np.einsum("nlhd,nshd->nhls", q, k) / 2 + np.float64(bias), -np.inf)
    expected = softmax(logits)
    np.testing.assert_allclose(weights, expected, atol=1e-4)
    out = np.einsum("nhls,nshd->nlhd", expected, v).reshape(2, 5, 8)
    np.testing.assert_allclose(h, linear(out, "proj"), rtol=1e-3, atol=1e-3)
    assert np.abs(weights[1, :, :, 2]).max() == 0


def test_a_learned_bias_has_a_gradient_and_no_flash_attention(monkeypatch):
    module = Attention(2, True, "float32")
    params, _ = setup(module, KEY, X)
    run = lambda bias: jnp.sin(9 * forward(module, params, {}, X, bias=bias)[0]).sum()
    grad = jax.grad(run)(jnp.zeros((1, 2, 5, 5)))
    assert np.isfinite(grad).all() and np.abs(grad).max() > 0
    q = jnp.zeros((2, 5, 3, 64), jnp.bfloat16)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "devices", lambda: pytest.fail("a bias goes by XLA, whatever the device"))
    assert attention_implementation(q, None, jnp.zeros((1, 3, 5, 5))) == "xla"


@pytest.fixture(scope="module")
def crossing():
    block = CrossBlock(num_heads=2)
    params, _ = setup(block, KEY, X, CONTEXT, train=False)
    params = jax.tree.map(lambda p: 10 * p if p.ndim > 1 else p, params)
    return params, jax.jit(lambda x, c, m: forward(block, params, {}, x, c, context_mask=m)[0])


def test_a_cross_block_without_its_first_branch_is_a_block(crossing):
    params, run = crossing
    silent = {**params, "cross": jax.tree.map(jnp.zeros_like, params["cross"])}
    found, _ = forward(CrossBlock(num_heads=2), silent, {}, X, CONTEXT)
    own = {name: p for name, p in params.items() if name not in ("norm0", "cross")}
    np.testing.assert_array_equal(found, forward(TransformerBlock(num_heads=2), own, {}, X)[0])
    alone, _ = setup(CrossBlock(num_heads=2, self_attention=False), KEY, X, CONTEXT)
    assert set(params) - set(alone) == {"norm1", "attn"}


def test_masked_context_has_no_influence_and_the_rest_has(crossing):
    _, run = crossing
    mask = jnp.array([True, True, False])[None, None, None]
    before = run(X, CONTEXT, mask)
    np.testing.assert_array_equal(run(X, CONTEXT.at[:, 2].add(3.0), mask), before)
    assert np.abs(run(X, CONTEXT.at[:, 1].add(3.0), mask) - before).max() > 1e-3
    np.testing.assert_allclose(run(X, CONTEXT[:, ::-1], None), run(X, CONTEXT, None), atol=1e-5)


def test_maps_of_a_cross_block_are_those_of_the_context(crossing):
    params, run = crossing
    (h, weights), _ = forward(CrossBlock(num_heads=2, return_weights=True), params, {}, X, CONTEXT)
    assert weights.shape == (2, 2, 5, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(h, run(X, CONTEXT, None), atol=1e-5)


def test_fixed_positions_of_one_two_and_three_axes():
    np.testing.assert_array_equal(sincos(16, (5,)), sincos_1d(16, 5))
    np.testing.assert_array_equal(sincos(16, (2, 3)), sincos_2d(16, (2, 3)))
    np.testing.assert_array_equal(sincos(16, (2, 2, 3)), sincos_3d(16, (2, 2, 3)))
    with pytest.raises(ValueError, match="one, two or three axes"):
        sincos(16, (1, 1, 1, 1))
    with pytest.raises(ValueError, match="even width"):
        sincos_1d(5, 3)


DECODER = dict(out_dim=4, width=16, depth=1, num_heads=2)
VISIBLE, RESTORE = normal(2, 2, 5), jnp.array([[2, 0, 3, 1, 4, 5]] * 2)


@pytest.mark.parametrize("positions, grid", [("1d", None), ("1d", (6,)), ("2d", (2, 3)), ("3d", (3, 1, 2))])
def test_the_decoder_knows_places_of_one_two_and_three_axes(positions, grid):
    decoder = masked_decoder(positions=positions, grid=grid, **DECODER)
    params, _ = setup(decoder, KEY, VISIBLE, RESTORE)
    params = jax.tree.map(lambda p: 10 * p if p.ndim > 1 else p, params)
    out, _ = forward(decoder, params, {}, VISIBLE, RESTORE)
    assert out.shape == (2, 6, 4)
    hidden = np.asarray(out[:, [0, 2, 4, 5]])
    gaps = [np.abs(hidden[:, i] - hidden[:, j]).max() for i in range(4) for j in range(i)]
    assert min(gaps) > 1e-3, "hidden patches differ by their places alone"


def test_the_decoder_reads_a_context():
    decoder = masked_decoder(positions="1d", **DECODER)
    params, _ = setup(decoder, KEY, VISIBLE, RESTORE, context=CONTEXT)
    params = jax.tree.map(lambda p: 10 * p if p.ndim > 1 else p, params)
    run = jax.jit(lambda c: forward(decoder, params, {}, VISIBLE, RESTORE, context=c)[0])
    assert np.abs(run(CONTEXT) - run(CONTEXT.at[:, 0].add(2.0))).max() > 1e-3
    again = masked_decoder(positions="1d", remat=True, **DECODER)
    loss = lambda p, d: jnp.sin(forward(d, p, {}, VISIBLE, RESTORE, context=CONTEXT, train=True)[0]).sum()
    grads = [jax.jit(jax.grad(loss), static_argnums=1)(params, d) for d in (decoder, again)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *grads)


def test_decoders_are_refused_by_name():
    for options, said in (
        (dict(positions="4d"), "positions='4d': must be one of"),
        (dict(positions="3d"), "needs a grid of 3 axes"),
        (dict(grid=(6,)), "needs a grid of 2 axes"),
        (dict(positions="3d", grid=(1, 2, 3), width=20), "divisible by 16"),
        (dict(num_heads=3), "num_heads=3: must divide"),
    ):
        with pytest.raises(ValueError, match=said):
            masked_decoder(**{**DECODER, **options})
    assert mae_decoder(patch_size=4, channels=1).out_dim == 16
    with pytest.raises(ValueError, match=r"6 patches do not fill a 5 grid; pass grid=\(length,\)"):
        setup(masked_decoder(positions="1d", grid=(5,), **DECODER), KEY, VISIBLE, RESTORE)
