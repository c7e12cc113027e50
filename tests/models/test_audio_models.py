"""Networks for sound: against a plain convolution, what a hidden patch means, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.audio import Conv3, sample_cnn, vit
from jaxssl.models.tokens import Hide

RANDOM, KEY = np.random.default_rng(0), jax.random.key(0)


def test_conv3_is_the_convolution():
    x = RANDOM.normal(size=(2, 9, 4)).astype(np.float32)
    layer = Conv3(5, "float32")
    params, _ = setup(layer, KEY, x)
    kernel = params["taps"]["kernel"].reshape(3, 4, 5)
    expected = jax.lax.conv_general_dilated(x, kernel, (1,), [(1, 1)], dimension_numbers=("NWC", "WIO", "NWC"))
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, atol=1e-5)


@pytest.fixture(scope="module")
def waveform():
    encoder = sample_cnn(widths=(4, 6, 8))
    x = RANDOM.normal(size=(3, 54)).astype(np.float32)
    return encoder, x, *setup(encoder, KEY, x)


def test_sample_cnn_by_hand(waveform):
    """In inference mode: stem, two blocks, mean of what is left of time."""
    encoder, x, params, stats = waveform
    found, _ = forward(encoder, params, stats, x)

    def normed(x, name, tree):
        return np.maximum(x / np.sqrt(1 + 1e-5) * tree["scale"] + tree["bias"], 0)

    h = normed(x.reshape(3, 18, 3) @ params["stem"]["kernel"], "stem_norm", params["stem_norm"])
    for name in ("block0", "block1"):
        h = np.pad(h, ((0, 0), (1, 1), (0, 0)))
        h = np.concatenate([h[:, :-2], h[:, 1:-1], h[:, 2:]], -1) @ params[name]["conv"]["taps"]["kernel"]
        h = normed(h, name, params[name]["norm"]).reshape(3, -1, 3, h.shape[-1]).max(2)
    assert found.shape == (3, 8) and found.dtype == jnp.float32
    np.testing.assert_allclose(found, h.mean(1), atol=1e-5)


def test_sample_cnn_trains_with_statistics_of_the_batch_and_takes_longer_sound(waveform):
    encoder, x, params, stats = waveform
    _, moved = forward(encoder, params, stats, x, train=True)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(moved)))
    assert forward(encoder, params, stats, np.tile(x, 3))[0].shape == (3, 8)
    other = sample_cnn(widths=(4, 6, 8), remat=True)
    np.testing.assert_allclose(forward(other, params, stats, x)[0], forward(encoder, params, stats, x)[0], atol=1e-6)


def test_the_size_of_the_publication():
    encoder = sample_cnn()
    shapes = jax.eval_shape(lambda x: setup(encoder, KEY, x), jnp.zeros((1, 59049)))
    features = jax.eval_shape(lambda t, x: forward(encoder, *t, x)[0], shapes, jnp.zeros((1, 59049)))
    assert features.shape == (1, 512)
    assert sum(x.size for x in jax.tree.leaves(shapes[0])) == pytest.approx(1.7e6, rel=0.1)


def test_sample_cnn_refusals(waveform):
    encoder, x, params, stats = waveform
    with pytest.raises(ValueError, match="a T that 27 divides, got 53"):
        forward(encoder, params, stats, x[:, 1:])
    with pytest.raises(ValueError, match=r"\[N, T\]"):
        forward(encoder, params, stats, x[..., None])
    with pytest.raises(ValueError, match="floating"):
        forward(encoder, params, stats, x.astype(np.int16))
    with pytest.raises(ValueError, match="widths"):
        sample_cnn(widths=())


@pytest.fixture(scope="module")
def spectrogram():
    encoder = vit(patch_size=(4, 2), input_size=(8, 12), embed_dim=8, depth=2, num_heads=2)
    x = RANDOM.normal(size=(3, 8, 12, 1)).astype(np.float32)
    return encoder, x, setup(encoder, KEY, x)[0]


def test_patches_are_rectangles_row_by_row(spectrogram):
    encoder, x, _ = spectrogram
    found = np.asarray(encoder.patches_of(x))
    assert found.shape == (3, 12, 8) and encoder.grid_of(x) == (2, 6)
    for row, column in np.ndindex(2, 6):
        expected = x[:, 4 * row : 4 * row + 4, 2 * column : 2 * column + 2, 0].reshape(3, -1)
        np.testing.assert_array_equal(found[:, 6 * row + column], expected)


def test_hidden_patches_have_no_influence_and_their_places_do(spectrogram):
    encoder, x, params = spectrogram
    apply = jax.jit(lambda x, masked: forward(encoder, params, {}, x, hide=Hide(masked=masked), method="encode")[0].h)
    masked = np.zeros((3, 12), bool)
    masked[:, [0, 7]] = True
    changed = x.copy()
    changed[:, :4, :2] += 5
    np.testing.assert_array_equal(apply(x, masked), apply(changed, masked))
    assert np.abs(apply(x, ~masked) - apply(changed, ~masked)).max() > 1e-3
    tokens = apply(x, np.ones((3, 12), bool))
    assert np.abs(tokens[0, 0] - tokens[0, 1]).max() > 1e-3, "hidden patches know where they are"


def test_features_are_the_mean_of_the_tokens_at_any_length(spectrogram):
    encoder, x, params = spectrogram
    tokens = forward(encoder, params, {}, x, method="encode")[0].patches
    np.testing.assert_allclose(forward(encoder, params, {}, x)[0], tokens.mean(1), atol=1e-6)
    assert forward(encoder, params, {}, np.tile(x, (1, 1, 2, 1)), method="encode")[0].h.shape == (3, 24, 8)


def test_spectrogram_refusals(spectrogram):
    encoder, x, params = spectrogram
    for bad, said in ((x[..., 0], "bands, frames"), (x[:, :7], "must divide"), (x.astype(int), "floating")):
        with pytest.raises(ValueError, match=said):
            forward(encoder, params, {}, bad)
    with pytest.raises(ValueError, match="patch_size"):
        vit(patch_size=(16, 16), input_size=(100, 16))
