"""Text encoders: padding, masks, dropout and drophead; the two stages of Mirror-BERT."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import forward, setup

from jaxssl.augment.text import mirror, plain
from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.methods.mirror_bert import mirror_bert
from jaxssl.models.text import text_encoder
from jaxssl.models.transformer import Attention, TransformerBlock, drophead

SMALL = dict(embed_dim=16, depth=1, num_heads=4, max_length=64)
COMPILED = {}
TEXTS = ["command line tool", "a library", "reads and writes files of many kinds on disk", "Perl module for text"] * 2


@pytest.fixture(scope="module", params=["mean", "cls"])
def encoder(request):
    return text_encoder(pool=request.param, **SMALL)


@pytest.fixture(scope="module")
def params(encoder):
    return started(encoder)


def started(encoder):
    return jax.jit(lambda x: setup(encoder, jax.random.key(0), x)[0])(inputs(16))


def features(encoder, params, x, *, train=False, key=None):
    """Both modes of a network in one program."""
    run = lambda params, x, key: [forward(encoder, params, {}, x, train=t, key=key)[0] for t in (False, True)]
    if encoder not in COMPILED:
        COMPILED[encoder] = jax.jit(run)
    return np.asarray(COMPILED[encoder](params, x, jax.random.key(0) if key is None else key)[train])


def inputs(length, texts=tuple(TEXTS)):
    return plain()(None, load_tokenizer().encode_batch(texts, max_length=length))["x"]


def test_padding_changes_nothing_and_every_length_compiles_once(encoder, params):
    compiled = []

    @jax.jit
    def run(x):
        compiled.append(x["tokens"].shape)
        return forward(encoder, params, {}, x)[0]

    short = run(inputs(16))
    assert short.shape == (8, 16) and short.dtype == jnp.float32
    for length in (16, 32, 64, 32, 16):
        np.testing.assert_allclose(run(inputs(length)), short, atol=2e-6)
        # One batch of texts of other lengths is no new program.
        run(inputs(length, ("x",) * 8))
    assert compiled == [(8, 16), (8, 32), (8, 64)]


def test_what_stands_at_padding_changes_nothing(encoder, params):
    x = inputs(16)
    other = jnp.where(x["mask"], x["tokens"], 99)
    run = lambda tokens: features(encoder, params, {**x, "tokens": tokens})
    np.testing.assert_array_equal(run(other), run(x["tokens"]))


def test_a_row_of_padding_alone_is_finite(encoder, params):
    x = jax.tree.map(lambda leaf: leaf.at[0].set(leaf.dtype.type(0)), inputs(16))
    out = jax.jit(lambda p: jax.value_and_grad(lambda p: forward(encoder, p, {}, x)[0].sum())(p))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(out))


def test_dropout_only_in_training_and_differs_between_rows(encoder, params):
    x = inputs(16, ("command line tool",) * 8)
    run = lambda train, key: features(encoder, params, x, train=train, key=key)
    np.testing.assert_allclose(run(False, None)[0], run(False, None)[1], atol=1e-6)
    first = run(True, jax.random.key(1))
    assert np.abs(first[0] - first[1]).max() > 1e-3
    np.testing.assert_array_equal(first, run(True, jax.random.key(1)))
    assert np.abs(first - run(True, jax.random.key(2))).max() > 1e-3


def test_texts_that_are_too_long_are_refused(encoder, params):
    with pytest.raises(ValueError, match="encoder.max_length"):
        forward(encoder, params, {}, inputs(65))
    for wrong in (dict(pool="max"), dict(dropout=1.0), dict(drophead=-0.1), dict(num_heads=5), dict(vocab_size=0)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            text_encoder(**{**SMALL, **wrong})


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_drophead_keeps_the_scale_and_never_drops_all(rate):
    """Every row draws its own heads, so that the mean over rows is that over keys."""
    x = np.ones((200_000, 1, 4, 1), np.float32)
    y = np.asarray(jax.jit(lambda key: drophead(key, x, rate))(jax.random.key(0)), np.float64)
    np.testing.assert_allclose(y.mean(axis=0), 1, rtol=0.01)
    np.testing.assert_allclose(y.sum(axis=2), 4, rtol=1e-6)
    assert set(np.round(np.unique(y), 4).tolist()) <= {0.0, 1.0, 1.3333, 2.0, 4.0}
    assert abs(np.mean((y == 0).any(axis=2)) - (1 - (1 - rate) ** 4 - rate**4)) < 0.01


def test_drophead_of_the_encoder_acts_in_training_only():
    encoder = text_encoder(dropout=0.0, drophead=0.5, **SMALL)
    x = inputs(16, ("command line tool",) * 8)
    still, moved = (features(encoder, started(encoder), x, train=t, key=jax.random.key(1)) for t in (False, True))
    np.testing.assert_allclose(still[0], still[1], atol=1e-6)
    assert np.abs(moved - still).max() > 1e-3


def test_attention_mask_against_loops():
    module = Attention(2, True, "float32")
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    mask = np.random.default_rng(0).random((2, 1, 5, 5)) < 0.5
    mask[..., 0] = True
    params = jax.jit(lambda: jax.tree.map(lambda p: p + 0.1, setup(module, jax.random.key(1), x)[0]))()
    out = np.asarray(jax.jit(lambda p: forward(module, p, {}, x, mask=jnp.asarray(mask))[0])(params))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    for n in range(2):
        q, k, v = np.split(np.asarray(x[n], np.float64) @ p["qkv"]["kernel"] + p["qkv"]["bias"], 3, axis=-1)
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            weight = np.exp(q[:, h] @ k[:, h].T / 2) * mask[n, 0]
            heads.append(weight / weight.sum(axis=1, keepdims=True) @ v[:, h])
        expected = np.concatenate(heads, axis=1) @ p["proj"]["kernel"] + p["proj"]["bias"]
        np.testing.assert_allclose(out[n], expected, atol=1e-5)


def test_a_block_without_mask_or_dropout_is_what_it_was():
    block, x = TransformerBlock(2), jax.random.normal(jax.random.key(0), (2, 5, 8))
    params = jax.jit(lambda: setup(block, jax.random.key(1), x)[0])()
    assert set(params) == {"attn", "fc1", "fc2", "norm1", "norm2"}
    modes = (dict(), dict(train=True), dict(mask=jnp.ones((1, 1, 1, 5), bool)))
    plainly, training, everything = jax.jit(lambda p: [forward(block, p, {}, x, **mode)[0] for mode in modes])(params)
    np.testing.assert_array_equal(training, plainly)
    np.testing.assert_allclose(everything, plainly, atol=1e-6)


def test_both_stages_learn_and_the_head_rests_in_the_second():
    """Sixty steps of the language model, then as many of the contrast, in one program."""
    steps, tx = 60, optax.adam(3e-3)
    method = mirror_bert(text_encoder(pool="mean", **SMALL), mlm_steps=steps)
    texts = [
        f"{a} {b} of {c}" for a in ("reads", "writes") for b in ("files", "music") for c in ("Perl", "Java", "games")
    ]
    batch = mirror(span=1, min_length=5)(jax.random.key(3), load_tokenizer().encode_batch(texts, max_length=12))

    @jax.jit
    def start(key):
        params, memory = method.init(key, batch)
        return params, memory, tx.init(params)

    @jax.jit
    def update(params, opt, i):
        grad = jax.value_and_grad(method.loss, has_aux=True)
        (value, _), grads = grad(params, memory, batch, jax.random.fold_in(jax.random.key(1), i), i)
        updates, opt = tx.update(grads, opt, params)
        head = jnp.stack([jnp.abs(leaf).max() for leaf in jax.tree.leaves(grads["mlm_head"])])
        return optax.apply_updates(params, updates), opt, value, head

    params, memory, opt = start(jax.random.key(0))
    losses, heads = [], []
    for i in range(2 * steps):
        params, opt, value, head = update(params, opt, jnp.int32(i))
        losses.append(float(value))
        heads.append(np.asarray(head))
    language, contrast = losses[:steps], losses[steps:]
    assert abs(language[0] - np.log(4096)) < 0.5
    assert np.mean(language[-10:]) < 0.7 * np.mean(language[:3])
    assert np.mean(contrast[-10:]) < 0.8 * np.mean(contrast[:3])
    assert (np.array(heads[:steps]) > 0).all() and (np.array(heads[steps:]) == 0).all()


def test_the_second_stage_is_nt_xent_of_two_passes_with_dropout():
    encoder = text_encoder(pool="mean", **{**SMALL, "dropout": 0.0})
    method, x = mirror_bert(encoder, temperature=1.0), {key: value[:3] for key, value in inputs(16).items()}

    @jax.jit
    def run(key):
        params, memory = method.init(key, {"views": (x, x)})
        value, out = method.loss(params, memory, {"views": (x, x)}, key, jnp.int32(0))
        return params, value, out.watch.features, method.predict(params, memory, {"x": x})["features"]

    params, value, found, expected = run(jax.random.key(0))
    assert set(params) == {"encoder"}
    np.testing.assert_allclose(found, [expected, expected], atol=1e-5)
    z = np.asarray(expected, np.float64)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    s = np.exp(z @ z.T)
    expected = np.mean([-np.log(s[i, i] / (2 * s[i].sum() - s[i, i])) for i in range(3)])
    np.testing.assert_allclose(value, expected, rtol=1e-3)


def test_an_encoder_of_images_is_refused():
    from jaxssl.models.convnet import convnet

    with pytest.raises(TypeError, match="text_encoder"):
        mirror_bert(convnet(widths=(8,), strides=(2,)))
