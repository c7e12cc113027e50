"""The causal text transformer and the two towers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup
from ml_collections import ConfigDict

from jaxssl.build import build
from jaxssl.config import load_config
from jaxssl.models.causal_text import causal_text
from jaxssl.models.convnet import convnet
from jaxssl.models.towers import towers
from jaxssl.models.transformer import TransformerBlock
from jaxssl.models.two_tower import two_tower

CONFIG = "configs/image_text/clip_fashion_captions.py:quick"


def texts(seed=0, num=3, length=8):
    """Random tokens with 3, 8 and 1 of them present."""
    tokens = np.random.default_rng(seed).integers(1, 20, (num, length))
    present = np.arange(length) < np.array([3, 8, 1])[:num, None]
    return {"tokens": jnp.asarray(tokens * present, jnp.int32), "mask": jnp.asarray(present)}


@pytest.fixture(scope="module")
def text():
    encoder = causal_text(vocab_size=20, max_length=10, embed_dim=8, depth=2, num_heads=2)
    params, stats = setup(encoder, jax.random.key(0), texts())
    return params, jax.jit(lambda params, x: forward(encoder, params, stats, x)[0])


def test_padding_and_what_follows_the_end_do_not_matter(text):
    params, run = text
    x = texts()
    h = run(params, x)
    assert h.shape == (3, 8) and h.dtype == jnp.float32
    other = {**x, "tokens": jnp.where(x["mask"], x["tokens"], 7)}
    np.testing.assert_allclose(run(params, other), h, atol=1e-6)
    shorter = jax.tree.map(lambda v: v[:, :3], x)
    np.testing.assert_allclose(run(params, shorter)[::2], h[::2], atol=1e-5)


def test_every_token_up_to_the_end_matters_and_so_does_their_order(text):
    params, run = text
    x = texts()
    h = run(params, x)
    for position in range(8):
        changed = {**x, "tokens": x["tokens"].at[:, position].set(x["tokens"][:, position] % 19 + 1)}
        moved = np.abs(run(params, changed) - h).max(axis=1) > 1e-4
        np.testing.assert_array_equal(moved, x["mask"][:, position])
    swapped = {**x, "tokens": x["tokens"].at[1, :2].set(x["tokens"][1, 1::-1])}
    assert np.abs(run(params, swapped) - h)[1].max() > 1e-4


def test_a_text_without_tokens_is_finite(text):
    params, run = text
    nothing = jax.tree.map(jnp.zeros_like, texts())
    assert np.isfinite(run(params, nothing)).all()


def test_initial_deviations_are_the_published_ones():
    width, depth = 64, 3
    encoder = causal_text(vocab_size=200, max_length=100, embed_dim=width, depth=depth, num_heads=2)
    params, _ = setup(
        encoder, jax.random.key(0), {"tokens": jnp.zeros((1, 4), jnp.int32), "mask": jnp.ones((1, 4), bool)}
    )
    block, residual = params["block1"], width**-0.5 * (2 * depth) ** -0.5
    for value, std in (
        (params["token_embed"]["embedding"], 0.02),
        (params["pos_embed"], 0.01),
        (block["attn"]["qkv"]["kernel"], width**-0.5),
        (block["attn"]["proj"]["kernel"], residual),
        (block["fc1"]["kernel"], (2 * width) ** -0.5),
        (block["fc2"]["kernel"], residual),
    ):
        np.testing.assert_allclose(np.std(value), std, rtol=0.1)


def test_a_text_longer_than_the_positions_is_refused():
    encoder = causal_text(vocab_size=20, max_length=4, embed_dim=8, depth=1, num_heads=2)
    with pytest.raises(ValueError, match="max_length=4"):
        setup(encoder, jax.random.key(0), texts())
    with pytest.raises(ValueError, match="num_heads=3: must divide"):
        causal_text(embed_dim=8, num_heads=3)


def test_the_mask_of_a_block_cuts_what_it_hides_and_all_true_is_none():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8)), jnp.float32)
    block = TransformerBlock(num_heads=2)
    params = block.init(jax.random.key(0), x, False)
    run = jax.jit(lambda x, mask: block.apply(params, x, False, mask))
    np.testing.assert_allclose(run(x, jnp.ones((1, 1, 5, 5), bool)), block.apply(params, x, False), atol=1e-6)
    causal = jnp.tril(jnp.ones((5, 5), bool))[None, None]
    moved = np.abs(run(x.at[:, 3, 0].add(1.0), causal) - run(x, causal)).max(axis=(0, 2)) > 1e-5
    np.testing.assert_array_equal(moved, [False, False, False, True, True])


IMAGE = dict(name="models.convnet", widths=(4,), strides=(2,))
TEXT = dict(name="models.causal_text", vocab_size=20, max_length=10, embed_dim=8, depth=1, num_heads=2)


def test_two_towers_are_the_two_encoders_side_by_side():
    pair = two_tower(image=IMAGE, text=TEXT)
    x = {"image": jnp.ones((3, 8, 8, 1)), **texts()}
    params, stats = setup(pair, jax.random.key(0), x)
    assert set(params) == {"image", "text"}
    both, _ = forward(pair, params, stats, x)
    image, _ = forward(pair, params, stats, {"image": x["image"]})
    text, _ = forward(causal_text(**{k: v for k, v in TEXT.items() if k != "name"}), params["text"], {}, texts())
    assert set(image) == {"image"}
    np.testing.assert_array_equal(image["image"], both["image"])
    np.testing.assert_allclose(text, both["text"], atol=1e-6)
    with pytest.raises(ValueError, match="towers take a dict"):
        forward(pair, params, stats, {"x": x["image"]})


def test_dtype_and_remat_reach_both_towers_unless_one_has_its_own():
    pair = two_tower(image=IMAGE, text={**TEXT, "dtype": "float32"}, dtype="bfloat16", remat=True)
    image, text = pair.encoders.values()
    assert (image.dtype, text.dtype) == ("bfloat16", "float32")
    assert image.remat and text.remat
    x = {"image": jnp.ones((3, 8, 8, 1)), **texts()}
    params, stats = setup(pair, jax.random.key(0), x)
    out, _ = forward(pair, params, stats, x, train=True)
    assert all(h.dtype == jnp.float32 for h in out.values())


def test_options_of_a_tower_are_set_by_their_path_and_survive_json(tmp_path):
    changes = {"encoder.image.widths": "(4, 8)", "encoder.text.depth": "3", "encoder.text.mlp_ratio": "2.0"}
    config = load_config(CONFIG, changes)
    assert config.encoder.image.widths == (4, 8) and config.encoder.text.depth == 3
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(config.to_json())))
    again = load_config(str(file))
    assert isinstance(again.encoder.text, ConfigDict) and again.to_dict() == config.to_dict()
    with pytest.raises(ValueError, match="encoder.text has no option 'dept'.*'depth'"):
        load_config(CONFIG, {"encoder.text.dept": "3"})
    with pytest.raises(ValueError, match="is a section"):
        load_config(CONFIG, {"encoder.text": "3"})
    with pytest.raises(ValueError, match=r"image=\{\}: must be dict"):
        two_tower(image={}, text=TEXT)


def test_towers_of_any_names():
    parts = {"left": IMAGE, "right": convnet(widths=(6,), pool="mean"), "words": TEXT}
    three = build(dict(name="models.towers", parts=parts, inputs={"words": ("tokens", "mask")}))
    x = {"left": jnp.ones((3, 8, 8, 1)), "right": jnp.ones((3, 4, 4, 2)), **texts()}
    params, stats = setup(three, jax.random.key(0), x)
    assert set(params) == {"left", "right", "words"} and set(stats) == {"left", "right"}
    h, new = forward(three, params, stats, x, train=True)
    assert jax.tree.map(jnp.shape, h) == {"left": (3, 8), "right": (3, 6), "words": (3, 8)}
    assert jax.tree.structure(new) == jax.tree.structure(stats)
    alone, _ = forward(parts["right"], params["right"], stats["right"], x["right"])
    some, _ = forward(three, params, stats, {"right": x["right"]})
    assert set(some) == {"right"}
    np.testing.assert_allclose(some["right"], alone, atol=1e-6)
    found, _ = forward(three, params, stats, x, method="encode")
    assert found["left"].grid == (4, 4) and found["right"].grid == (4, 4) and found["words"].grid == (8,)
    with pytest.raises(ValueError, match="x with .*'sound'.*: towers take a dict with"):
        forward(three, params, stats, {"sound": x["left"]})
    for wrong, said in ((dict(parts={}), "must name an encoder"), (dict(parts={"a": {}}), r"a=\{\}: must be dict"),
                        (dict(parts={"a": IMAGE}, inputs={"b": "a"}), "inputs.b: is no tower")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            towers(**wrong)
