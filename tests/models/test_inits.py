"""Initial values: deviations, bounds, and that the default ones are what they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import setup

from jaxssl.models.decoder import masked_decoder
from jaxssl.models.heads import DINOHead, projector
from jaxssl.models.inits import head_inits, transformer_inits
from jaxssl.models.positions import resample, torch_cubic
from jaxssl.models.vit import vit

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "init, deviation, bound",
    [
        ("lecun", 1 / 20, None),
        ("torch", 1 / 20 / 3**0.5, 1 / 20),
        ("haiku", 0.8796 / 20, 2 / 20),
        ("simclr", 0.01, None),
    ],
)
def test_heads_start_as_their_release_does(init, deviation, bound):
    inits = head_inits(init, 400)
    kernel = inits["kernel_init"](KEY, (400, 300), jnp.float32)
    np.testing.assert_allclose(kernel.std(), deviation, rtol=0.01)
    assert bound is None or 0.99 * bound < jnp.abs(kernel).max() <= bound
    bias = inits["bias_init"](KEY, (300,), jnp.float32)
    assert (jnp.abs(bias).max() <= 1 / 20 and bias.std() > 0.02) if init == "torch" else not bias.any()


def test_a_head_hands_its_init_to_every_layer():
    params, _ = setup(projector((300,), 200, norm=False, init_as="torch"), KEY, jnp.zeros((2, 100)))
    for name, fan_in in (("linear0", 100), ("linear1", 300)):
        for leaf in params[name].values():
            assert 0.9 * fan_in**-0.5 < jnp.abs(leaf).max() <= fan_in**-0.5
    with pytest.raises(ValueError, match="init_as='he'"):
        projector((8,), 4, init_as="he")


def test_dino_head_of_the_release():
    params, _ = setup(DINOHead(hidden=200, bottleneck=256, out_dim=300, init_as="dino"), KEY, jnp.zeros((2, 100)))
    assert 0.99 / 16 < jnp.abs(params["last_layer"]).max() <= 1 / 16
    np.testing.assert_allclose(params["linear1"]["kernel"].std(), 0.02, rtol=0.02)
    with pytest.raises(ValueError, match="init_as='torch'"):
        setup(DINOHead(init_as="torch"), KEY, jnp.zeros((2, 100)))


EXPECTED = {  # deviations of qkv, fc1, patches, bias of patches, class token; width 96, patches of 8 x 8 x 3
    "truncated": (0.0176, 0.0176, (2 / (192 + 96)) ** 0.5, 0, 0.0176),
    "dino": (0.02, 0.02, (3 * 192) ** -0.5, (3 * 192) ** -0.5, 0.02),
    "mae": ((2 / (96 + 288)) ** 0.5, (2 / (96 + 384)) ** 0.5, (2 / (192 + 96)) ** 0.5, (3 * 192) ** -0.5, 0.02),
    "moco_v3": ((2 / (96 + 96)) ** 0.5, (2 / (96 + 384)) ** 0.5, (2 / (192 + 96)) ** 0.5, 0, 1e-6),
}


@pytest.mark.parametrize("init", EXPECTED)
def test_transformers_start_as_their_release_does(init):
    encoder = vit(patch_size=8, image_size=16, embed_dim=96, depth=1, num_heads=2, init_as=init)
    params, _ = setup(encoder, KEY, jnp.zeros((2, 16, 16, 3)))
    block, patch = params["block0"], params["patch_embed"]
    found = [
        block["attn"]["qkv"]["kernel"],
        block["fc1"]["kernel"],
        patch["kernel"],
        patch["bias"],
        params["cls_token"],
    ]
    # 27,648 numbers have their deviation within 1 %; the 96 of a bias or token within a third.
    for leaf, expected in zip(found, EXPECTED[init]):
        np.testing.assert_allclose(leaf.std(), expected, rtol=0.02 if leaf.size > 1000 else 0.33)
    assert not block["fc1"]["bias"].any()
    token = params["pos_embed"].std()
    np.testing.assert_allclose(token, 0.0176 if init == "truncated" else 0.02, rtol=0.1)


def test_the_decoder_of_the_release():
    decoder = masked_decoder(out_dim=192, width=96, depth=1, num_heads=2, init_as="mae")
    ids = jnp.tile(jnp.arange(4), (2, 1))
    params = jax.jit(decoder.init)(KEY, jnp.zeros((2, 1, 96)), ids)["params"]
    np.testing.assert_allclose(params["predict"]["kernel"].std(), (2 / (96 + 192)) ** 0.5, rtol=0.02)
    np.testing.assert_allclose(params["block0"]["fc2"]["kernel"].std(), (2 / (96 + 384)) ** 0.5, rtol=0.02)


def test_unknown_starts_are_refused():
    with pytest.raises(ValueError, match="init_as='xavier'"):
        transformer_inits("xavier")
    with pytest.raises(ValueError, match="init_as='xavier'"):
        vit(embed_dim=96, init_as="xavier")


def test_torch_resampling_by_its_properties():
    """A constant stays; no antialiasing: a row has at most four weights."""
    weights = torch_cubic(14, 6)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert ((weights != 0).sum(1) <= 4).all()
    table = jax.random.normal(KEY, (14 * 14, 2))
    new = resample(table, (14, 14), (6, 6), "torch")
    assert new.shape == (36, 2) and jnp.abs(new - resample(table, (14, 14), (6, 6))).max() > 0.1
    assert resample(table, (14, 14), (14, 14), "torch") is table


def test_torch_resampling_gives_the_values_of_torch():
    """Of torch.nn.functional.interpolate(table, scale_factor=6.1 / 14, mode="bicubic"), torch 2.14."""
    i, j = np.meshgrid(np.arange(14), np.arange(14), indexing="ij")
    table = np.sin(0.7 * i * i + 0.3 * j).astype(np.float32)
    recorded = [
        [0.62722, 1.08975, 1.02928, 0.50846, -0.2409, -0.90745],
        [0.22379, 0.76478, 0.93981, 0.68563, 0.12559, -0.51762],
        [-0.67152, -0.139, 0.46318, 0.83395, 0.83617, 0.44166],
        [0.52764, 0.15679, -0.29148, -0.59146, -0.63024, -0.37156],
        [0.85618, 1.1084, 0.82758, 0.18557, -0.54216, -1.04322],
        [0.33093, 0.90973, 1.05288, 0.71723, 0.06126, -0.65138],
    ]
    found = resample(jnp.asarray(table.reshape(-1, 1)), (14, 14), (6, 6), "torch")
    np.testing.assert_allclose(found.reshape(6, 6), recorded, atol=2e-5)
