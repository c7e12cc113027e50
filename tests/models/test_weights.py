"""Recorded timm networks: outputs, round trips, and what the importer refuses."""

import json
import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jaxssl.models.convnet import convnet
from jaxssl.models.resnet import resnet
from jaxssl.models.vit import vit
from jaxssl.models.weights import export_timm, import_timm

GOLDEN = Path(__file__).parent.parent / "golden"
KEY = jax.random.key(0)
VIT = dict(patch_size=8, embed_dim=48, image_size=32)
NETWORKS = {
    "timm_resnet_bottleneck": resnet(layers=(1, 2, 1, 1), channels=(8, 16, 24, 32), block="bottleneck"),
    "timm_vit": vit(**VIT, depth=3, num_heads=4),
    "timm_vit_dinov2_reg": vit(**VIT, depth=2, num_heads=3, registers=4, layer_scale=1e-5, no_embed_class=True),
}


def shapes(network, size=32, channels=3):
    x = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
    return jax.eval_shape(lambda x: setup(network, KEY, x), x)


@pytest.fixture(scope="module", params=NETWORKS)
def recorded(request):
    network, path = NETWORKS[request.param], GOLDEN / f"{request.param}.safetensors"
    return network, path, import_timm(path, network, *shapes(network))


def test_recorded_outputs_are_reproduced(recorded):
    network, path, (params, stats) = recorded
    io = np.load(path.with_name(f"{path.stem}_io.npz"))
    x = jnp.asarray(io["image_nchw"].transpose(0, 2, 3, 1))
    pooled, _ = forward(network, params, stats, x)
    np.testing.assert_allclose(pooled, io["pooled"], atol=1e-4, rtol=1e-4)
    if "resnet" in path.stem:
        features = forward(network, params, stats, x, method="encode")[0].map.transpose(0, 3, 1, 2)
    else:
        features = forward(network, params, stats, x, method="encode")[0].h
    np.testing.assert_allclose(features, io["features"], atol=1e-4, rtol=1e-4)


def test_export_gives_the_file_back(recorded, tmp_path):
    network, path, (params, stats) = recorded
    export_timm(tmp_path / "out.safetensors", network, params, stats)
    original, written = load_file(path), load_file(tmp_path / "out.safetensors")
    assert sorted(original) == sorted(written)
    for name, value in original.items():
        assert written[name].dtype == value.dtype and written[name].shape == value.shape, name
        np.testing.assert_array_equal(written[name], value, err_msg=name)
    with safe_open(tmp_path / "out.safetensors", "np") as file:
        assert json.loads(file.metadata()["config"])["class"] == type(network).__name__


def test_small_networks_export_under_their_own_names(tmp_path):
    network = convnet(widths=(4, 6))
    params, stats = setup(network, KEY, jnp.zeros((2, 8, 8, 1)))
    path = tmp_path / "convnet.safetensors"
    export_timm(path, network, params, stats)
    assert load_file(path)["block0.conv.kernel"].shape == (3, 3, 1, 4)
    template = jax.tree.map(jnp.zeros_like, (params, stats))
    jax.tree.map(np.testing.assert_array_equal, import_timm(path, network, *template), (params, stats))


def test_every_misfit_is_listed_with_a_hint(tmp_path):
    network, path = NETWORKS["timm_vit"], tmp_path / "bad.safetensors"
    arrays = load_file(GOLDEN / "timm_vit.safetensors")
    del arrays["norm.bias"]
    arrays["blocks.3.norm1.weight"] = np.zeros(48, np.float32)
    arrays["blocks.0.norm1.weight"] = np.zeros(48, np.int32)
    arrays["head.weight"] = np.zeros((10, 48), np.float32)
    arrays["cls_token"] = np.zeros((1, 1, 47), np.float32)
    save_file(arrays, path)
    with pytest.raises(ValueError) as error:
        import_timm(path, network, *shapes(network))
    for part in (
        "missing norm.bias",
        "unexpected blocks.3.norm1.weight\n",
        "blocks.0.norm1.weight is int32 in the file, float32 in the network",
        "unexpected head.weight, which would be left out",
        "cls_token is [1, 1, 47]",
        "[1, 1, 48]",
        "ignore=",
    ):
        assert part in str(error.value)
    path.write_bytes(b"not a weights file")
    with pytest.raises(ValueError, match="safetensors"):
        import_timm(path, network, *shapes(network))


BEYOND = ("fc.weight", "head.weight", "head.bias", "head_dist.weight", "classifier.1.weight", "decoder.blocks.0.w", "m")


@pytest.mark.parametrize("name", ["timm_vit", "timm_resnet_bottleneck", "convnet"])
def test_what_a_file_has_beyond_the_encoder_is_left_out_and_named(name, tmp_path, caplog):
    network, path, size = NETWORKS.get(name, convnet(widths=(4, 6))), tmp_path / "more.safetensors", 32
    if name in NETWORKS:
        arrays = load_file(GOLDEN / f"{name}.safetensors")
    else:
        export_timm(path, network, *setup(network, KEY, jnp.zeros((2, size, size, 3))))
        arrays = load_file(path)
    save_file(arrays, path)
    expected = import_timm(path, network, *shapes(network))
    assert not caplog.text
    save_file(arrays | {key: np.zeros(3, np.float32) for key in BEYOND}, path)
    with caplog.at_level(logging.WARNING):
        jax.tree.map(np.testing.assert_array_equal, import_timm(path, network, *shapes(network)), expected)
    assert f"{path}: left out, as no part of the encoder: {', '.join(sorted(BEYOND))}" in caplog.text
    caplog.clear()
    import_timm(path, network, *shapes(network), ignore=BEYOND)
    assert not caplog.text


@pytest.mark.parametrize(
    "name, key",
    [
        ("timm_vit", "blocks.3.norm1.weight"),
        ("timm_vit", "blocks.0.ls1.gamma"),
        ("timm_vit", "reg_token"),
        ("timm_vit", "fc_norm.weight"),
        ("timm_resnet_bottleneck", "layer4.1.conv1.weight"),
        ("timm_resnet_bottleneck", "layer1.0.se.fc1.weight"),
    ],
)
def test_more_of_the_encoder_itself_is_refused(name, key, tmp_path):
    network, path = NETWORKS[name], tmp_path / "other.safetensors"
    save_file(load_file(GOLDEN / f"{name}.safetensors") | {key: np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match=f"unexpected {key}\n") as error:
        import_timm(path, network, *shapes(network))
    assert "--ignore" in str(error.value)


def test_names_under_a_prefix_and_halves_of_floats(tmp_path):
    network, path = NETWORKS["timm_vit"], tmp_path / "other.safetensors"
    arrays = load_file(GOLDEN / "timm_vit.safetensors")
    save_file({f"module.backbone.{key}": value for key, value in arrays.items()}, path)
    with pytest.raises(ValueError, match="names begin with 'module.backbone.'"):
        import_timm(path, network, *shapes(network))
    save_file({key: value.astype(jnp.bfloat16) for key, value in arrays.items()}, path)
    params, _ = import_timm(path, network, *shapes(network))
    np.testing.assert_allclose(params["norm"]["scale"], arrays["norm.weight"], rtol=0.01)
    assert params["norm"]["scale"].dtype == jnp.float32


def test_an_export_that_fails_leaves_the_file_of_before(tmp_path, monkeypatch):
    network, path = convnet(widths=(4, 6)), tmp_path / "convnet.safetensors"
    path.write_bytes(b"earlier")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        export_timm(path, network, *setup(network, KEY, jnp.zeros((2, 8, 8, 1))))
    assert path.read_bytes() == b"earlier" and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_positions_of_another_grid_are_resampled_with_a_note(caplog):
    network = vit(**{**VIT, "image_size": 48}, depth=3, num_heads=4)
    with caplog.at_level(logging.WARNING):
        params, _ = import_timm(GOLDEN / "timm_vit.safetensors", network, *shapes(network, 48))
    assert "4x4 grid to 6x6" in caplog.text
    assert params["pos_embed"].shape == (37, 48)
    stored = load_file(GOLDEN / "timm_vit.safetensors")["pos_embed"][0]
    np.testing.assert_array_equal(params["pos_embed"][0], stored[0])


@pytest.mark.parametrize("name", ["timm_resnet_bottleneck", "timm_vit"])
def test_grey_first_layer_sums_the_colours_only_if_asked(name):
    network, path = NETWORKS[name], GOLDEN / f"{name}.safetensors"
    with pytest.raises(ValueError, match="grey_from_rgb"):
        import_timm(path, network, *shapes(network, channels=1))
    grey = import_timm(path, network, *shapes(network, channels=1), grey_from_rgb=True)
    rgb = import_timm(path, network, *shapes(network))
    x = jax.random.normal(KEY, (1, 32, 32, 1))
    a, b = forward(network, *grey, x)[0], forward(network, *rgb, jnp.tile(x, (1, 1, 1, 3)))[0]
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_fixed_positions_and_mask_token(tmp_path):
    path = tmp_path / "fixed.safetensors"
    network = vit(**VIT, depth=1, num_heads=4, positions="fixed", mask_token=True)
    params, stats = setup(network, KEY, jnp.zeros((1, 32, 32, 3)))
    export_timm(path, network, params, stats)
    assert load_file(path)["pos_embed"].shape == (1, 17, 48) and "mask_token" not in load_file(path)
    jax.tree.map(np.testing.assert_array_equal, import_timm(path, network, params, stats), (params, stats))
    learned = vit(**VIT, depth=1, num_heads=4)
    x = jax.random.normal(KEY, (1, 32, 32, 3))
    same, _ = forward(learned, *import_timm(path, learned, *shapes(learned)), x)
    np.testing.assert_allclose(same, forward(network, params, stats, x)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="fixed positions"):
        import_timm(GOLDEN / "timm_vit.safetensors", vit(**VIT, depth=3, num_heads=4, positions="fixed"), params, {})
