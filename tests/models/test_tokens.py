"""One door of all encoders: tokens, maps of named layers, what is hidden, and refusals by name."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models import audio, causal_text, convnet, gnn, mlp, points, resnet, series, tabular, text, video, vit
from jaxssl.models.tokens import Hide, needs
from jaxssl.models.transformer import LAYER_NORM_EPS

RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)


def normal(*shape):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


IMAGES, CLIPS = normal(2, 8, 12, 3), normal(2, 4, 8, 8, 3)
TEXTS = {"tokens": jnp.asarray(RANDOM.integers(1, 20, (2, 8))), "mask": jnp.arange(8) < jnp.array([[3], [8]])}
ROWS = {"numbers": normal(2, 4), "categories": jnp.zeros((2, 2), int)}
EDGES = {name: jnp.asarray(RANDOM.integers(0, 5, (2, 6))) for name in ("senders", "receivers")}
GRAPHS = {"features": normal(2, 5, 3), "edge_mask": jnp.ones((2, 6), bool), **EDGES}
SMALL = dict(embed_dim=16, depth=2, num_heads=2)
PARTS = dict(num_groups=6, group_size=5, patch_widths=(4, 6, 8))
# Encoder, input, grid, a layer and its grid.
ENCODERS = {
    "convnet": (convnet.convnet(widths=(4, 6)), IMAGES, (4, 6), "block0", (8, 12)),
    "resnet": (resnet.resnet(layers=(1, 2), width=4, stem="3x3"), IMAGES, (4, 6), "layer2_0", (4, 6)),
    "stage": (resnet.resnet(layers=(1, 1), width=4, stem="3x3"), IMAGES, (4, 6), "layer1", (8, 12)),
    "vit": (vit.vit(patch_size=4, image_size=(8, 12), registers=2, **SMALL), IMAGES, (2, 3), "block1", (2, 3)),
    "sample_cnn": (audio.sample_cnn(widths=(4, 6, 8), stem=2), normal(2, 36), (2,), "block1", (2,)),
    "audio.vit": (audio.vit(patch_size=(4, 2), input_size=(8, 12), **SMALL), normal(2, 8, 12, 1), (2, 6), "block0",
                  (2, 6)),
    "video.convnet": (video.convnet(widths=(4, 6), strides=(2, 1), time_strides=(1, 2)), CLIPS, (2, 4, 4), "block0",
                      (4, 4, 4)),
    "video.resnet": (video.resnet(layers=(1, 1), width=4, stem="3x3", time_kernels=1), CLIPS, (4, 4, 4), "layer1",
                     (4, 8, 8)),
    "video.vit": (video.vit(patch_size=4, **SMALL), CLIPS, (2, 2, 2), "block1", (2, 2, 2)),
    "series.convnet": (series.convnet(widths=(4, 6), kernel_sizes=(5, 3)), normal(2, 40, 2), (34,), "conv0", (36,)),
    "series.vit": (series.vit(patch_size=5, **SMALL), normal(2, 40, 2), (8,), "block0", (8,)),
    "points": (points.transformer(**PARTS, **SMALL), normal(2, 40, 3), (6,), "block0", (6,)),
    "tabular": (tabular.table_transformer(**SMALL), ROWS, (6,), "block0", (6,)),
    "text": (text.text_encoder(vocab_size=20, max_length=9, **SMALL), TEXTS, (8,), "block0", (8,)),
    "causal_text": (causal_text.causal_text(vocab_size=20, max_length=9, **SMALL), TEXTS, (8,), "block0", (8,)),
    "gcn": (gnn.gcn(widths=(8, 6)), GRAPHS, (5,), "layer0", (5,)),
}  # fmt: skip
TRANSFORMERS = [name for name, (_, _, _, layer, _) in ENCODERS.items() if layer.startswith("block") and "c" != name[0]]
TRANSFORMERS = [name for name in TRANSFORMERS if name not in ("sample_cnn", "video.convnet")] + ["causal_text"]


@pytest.fixture(scope="module", params=ENCODERS)
def case(request):
    encoder, x, grid, layer, layer_grid = ENCODERS[request.param]
    return encoder, x, grid, layer, layer_grid, *setup(encoder, KEY, x)


def test_tokens_of_every_encoder_pool_to_its_features(case):
    encoder, x, grid, layer, layer_grid, params, stats = case
    plain, _ = forward(encoder, params, stats, x)
    tokens, _ = forward(encoder, params, stats, x, method="encode", layers=(layer,))
    np.testing.assert_allclose(encoder.pooled(tokens), plain, atol=1e-6)
    assert tokens.grid == grid and tokens.map.shape[1:-1] == grid and tokens.patches.shape[1] == math.prod(grid)
    assert tokens.h.dtype == jnp.float32 and (tokens.cls is None) == ("cls" not in encoder.can)
    assert ("registers" in encoder.can) == (tokens.registers.shape[1] > 0)
    assert list(tokens.layers) == [layer] and tokens.layers[layer].map.shape[1:-1] == layer_grid
    assert tokens.layers[layer].h.dtype == jnp.float32 and np.isfinite(tokens.layers[layer].h).all()
    assert layer in params or any(name.startswith(f"{layer}_") for name in params), "a layer has its parameters' name"


def test_unknown_layers_and_what_cannot_be_hidden_are_refused_by_name(case):
    encoder, x, _, layer, _, params, stats = case
    run = lambda **options: jax.eval_shape(lambda: forward(encoder, params, stats, x, method="encode", **options))
    with pytest.raises(ValueError, match=f"{type(encoder).__name__} has no layer 'blocks7'"):
        run(layers=("blocks7",))
    with pytest.raises(ValueError, match="must be a tuple of names"):
        run(layers=layer)
    for field, value in (("visible_ids", jnp.zeros((2, 1), int)), ("masked", jnp.zeros((2, 6), bool))):
        if field not in encoder.can:
            with pytest.raises(ValueError, match=rf"hide.{field}: needs .*{type(encoder).__name__} is none"):
                run(hide=Hide(**{field: value}))
    if "visible_ids" in encoder.can and "several" not in encoder.can:
        with pytest.raises(ValueError, match=r"must be \[N, K\]"):
            run(hide=Hide(jnp.zeros((2, 1, 1), int)))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_maps_of_attention_are_returned_and_change_nothing(name):
    encoder, x, *_ = ENCODERS[name]
    params, stats = setup(encoder, KEY, x)
    plain, _ = forward(encoder, params, stats, x, method="encode")
    tokens, _ = forward(encoder, params, stats, x, method="encode", layers=("block1/attn",))
    np.testing.assert_array_equal(tokens.h, plain.h)
    maps = tokens.attention["block1/attn"]
    length = tokens.h.shape[-2]
    assert maps.shape == (2, 2, length, length) and plain.attention == {} and tokens.layers == {}
    np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)
    if name == "text":
        assert np.abs(maps[0, :, :, 3:]).max() == 0, "padding is seen by none"


def test_the_last_layer_of_a_vit_is_what_the_norm_gets():
    encoder, x, *_ = ENCODERS["vit"]
    params, _ = setup(encoder, KEY, x)
    tokens, _ = forward(encoder, params, {}, x, method="encode", layers=("block0", "block1"))
    h = np.asarray(tokens.layers["block1"].h)
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + LAYER_NORM_EPS)
    np.testing.assert_allclose(h * params["norm"]["scale"] + params["norm"]["bias"], tokens.h, atol=1e-5)
    assert tokens.layers["block0"].cls.shape == (2, 16) and tokens.layers["block0"].registers.shape == (2, 2, 16)


@pytest.mark.parametrize("name", [name for name, case in ENCODERS.items() if "visible_ids" in case[0].can])
def test_what_is_not_visible_is_left_out(name):
    encoder, x, grid, *_ = ENCODERS[name]
    params, stats = setup(encoder, KEY, x)
    everything = np.random.default_rng(1).permuted(np.tile(np.arange(math.prod(grid)), (2, 1)), axis=1)
    whole, _ = forward(encoder, params, stats, x, method="encode")
    mixed, _ = forward(encoder, params, stats, x, method="encode", hide=Hide(jnp.asarray(everything)))
    expected = np.take_along_axis(np.asarray(whole.patches), everything[..., None], axis=1)
    np.testing.assert_allclose(mixed.patches, expected, atol=1e-4)
    some, _ = forward(encoder, params, stats, x, method="encode", hide=Hide(jnp.asarray(everything[:, :2])))
    assert some.patches.shape[:2] == (2, 2) and some.grid == grid
    with pytest.raises(ValueError, match="2 patches do not fill the grid"):
        _ = some.map


@pytest.mark.parametrize("name", [name for name, case in ENCODERS.items() if "targets" in case[0].can])
def test_patches_are_as_many_as_the_grid_says(name):
    encoder, x, grid, *_ = ENCODERS[name]
    assert encoder.grid_of(x) == grid
    patches = encoder.patches_of(x)
    assert patches.shape[:2] == (2, math.prod(grid)) and patches.size == x.size


def test_a_method_says_what_it_needs():
    encoder = ENCODERS["vit"][0]
    needs(encoder, "methods.some", "visible_ids", "cls", "registers", "targets", "embed_dim")
    with pytest.raises(TypeError) as refused:
        needs(convnet.convnet(), "methods.mae", "patches", "visible_ids", "targets", example="models.vit.vit")
    assert str(refused.value) == (
        "encoder=models.convnet.ConvNet: methods.mae needs an encoder that can encode some of the patches without the others "
        "and cuts its input into patches of raw values; this one does not. encoder.name='models.vit.vit' would be right."
    )
    with pytest.raises(TypeError, match="gives a token for every patch"):
        needs(mlp.mlp(), "methods.some", "patches")
    with pytest.raises(TypeError, match="has a mask token"):
        needs(encoder, "methods.some", "masked")
    with pytest.raises(TypeError, match="has `vocab_size`"):
        needs(encoder, "methods.some", "vocab_size")
