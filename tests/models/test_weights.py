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
        features = forward(network, params, stats, x, method="features")[0].transpose(0, 3, 1, 2)
    else:
        tokens, _ = forward(network, params, stats, x, method="tokens")
        features = jnp.concatenate([tokens["cls"][:, None], tokens["registers"], tokens["patches"]], axis=1)
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
    arrays["head.weight"] = np.zeros((10, 48), np.float32)
    arrays["cls_token"] = np.zeros((1, 1, 47), np.float32)
    save_file(arrays, path)
    with pytest.raises(ValueError) as error:
        import_timm(path, network, *shapes(network))
    for part in (
        "missing norm.bias",
        "unexpected head.weight",
        "cls_token is [1, 1, 47]",
        "[1, 1, 48]",
        "ignore=",
    ):
        assert part in str(error.value)
    path.write_bytes(b"not a weights file")
    with pytest.raises(ValueError, match="safetensors"):
        import_timm(path, network, *shapes(network))


def test_classifier_can_be_ignored(tmp_path):
    network, path = NETWORKS["timm_vit"], tmp_path / "head.safetensors"
    save_file(load_file(GOLDEN / "timm_vit.safetensors") | {"head.bias": np.zeros(3, np.float32)}, path)
    import_timm(path, network, *shapes(network), ignore=("head.",))


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
