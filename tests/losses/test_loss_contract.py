"""What every loss promises: dtypes, refusals, finite gradients at zero vectors, and a light import."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_reference import normal, x64

from jaxssl import losses

PAIRS = [
    "nt_xent",
    "nt_xent_chunked",
    "info_nce",
    "info_nce_chunked",
    "negative_cosine_similarity",
    "byol",
    "barlow_twins",
    "vicreg",
    "kd",
    "jeffreys",
    "js",
    "soft_cross_entropy",
]

CALLS = {name: (getattr(losses, name), [normal(0, 6, 4), normal(1, 6, 4)]) for name in PAIRS}
CALLS["cross_entropy"] = lambda logits: losses.cross_entropy(logits, np.arange(len(logits)) % 4 - 1), [normal(0, 6, 4)]
CALLS["info_nce_queue"] = losses.info_nce, [normal(0, 6, 4), normal(1, 6, 4), normal(2, 9, 4)]
CALLS["swav"] = losses.swav, [np.tanh(normal(0, 2, 6, 4)), np.tanh(normal(1, 3, 6, 4))]
CALLS["dino"] = losses.dino, [normal(0, 3, 6, 4), normal(1, 2, 6, 4), normal(2, 4)]
CALLS["clip"] = lambda image, text: losses.clip(image, text, 2.0), [normal(0, 6, 4), normal(1, 6, 4)]
CALLS["sigmoid_pairs"] = (
    lambda image, text: losses.sigmoid_pairs(image, text, 1.0, -2.0),
    [normal(0, 6, 4), normal(1, 6, 4)],
)
CALLS["patch_matching"] = losses.patch_matching, [normal(0, 3, 4, 5), normal(1, 3, 4, 5)]
CALLS["dense_info_nce"] = (
    lambda query, key, queue: losses.dense_info_nce(query, key, queue, np.arange(8).reshape(2, 4) % 3),
    [normal(0, 2, 4, 5), normal(1, 2, 3, 5), normal(2, 6, 5)],
)
CALLS["vicreg_local"] = (
    lambda *a: losses.vicreg_local(*a, position_matches=(3, 2), feature_matches=(2, 2)),
    [normal(0, 5, 4, 3), normal(1, 5, 3, 3), 8 * normal(2, 5, 4, 2), 8 * normal(3, 5, 3, 2)],
)
CALLS["clan"] = losses.clan, [normal(0, 6, 4), normal(1, 8, 4)]
CALLS["masked_patch_mse"] = (
    lambda pred, images: losses.masked_patch_mse(pred, images, np.arange(4)[None] < 2, patch_size=2),
    [normal(0, 1, 4, 8), normal(1, 1, 4, 4, 2)],
)
CALLS["masked_token_mse"] = (
    lambda pred, target: losses.masked_token_mse(pred, target, np.arange(4)[None] < 2),
    [normal(0, 1, 4, 8), normal(1, 1, 4, 8)],
)
CALLS["comasked_consistency"] = (
    lambda z1, z2: losses.comasked_consistency(z1, z2, np.ones((2, 3), bool), np.ones((2, 3), bool)),
    [normal(0, 2, 3, 4), normal(1, 2, 3, 4)],
)
CALLS["masked_token_cross_entropy"] = (
    lambda logits: losses.masked_token_cross_entropy(logits, np.arange(len(logits)) % 4, np.arange(len(logits)) != 1),
    [normal(0, 6, 4)],
)


@pytest.mark.parametrize("name", CALLS)
def test_dtypes(name):
    loss, arrays = CALLS[name]
    low = [jnp.bfloat16(a) for a in arrays]
    same_numbers = [jnp.float32(a) for a in low]
    value, gradient = jax.jit(jax.value_and_grad(loss))(*low)
    assert value.dtype == jnp.float32 and value.shape == ()
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(value, jax.jit(loss)(*same_numbers), rtol=1e-6)  # nothing computed in bfloat16
    with x64():
        exact = jax.jit(loss)(*[np.float64(a) for a in same_numbers])
        assert exact.dtype == jnp.float64
        assert jax.eval_shape(loss, *same_numbers).dtype == jnp.float32
        np.testing.assert_allclose(value, exact, rtol=1e-4)


@pytest.mark.parametrize("name", CALLS)
def test_bad_arrays_are_refused(name):
    loss, arrays = CALLS[name]
    for i in range(len(arrays)):
        with pytest.raises(TypeError, match="floating"):
            loss(*arrays[:i], np.ones(arrays[i].shape, np.int32), *arrays[i + 1 :])
        with pytest.raises(ValueError, match="axes"):
            loss(*arrays[:i], arrays[i][None], *arrays[i + 1 :])
    with pytest.raises(ValueError, match="empty"):
        loss(arrays[0][:0], *arrays[1:])


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_must_agree_in_shape(name):
    for wrong in (normal(1, 5, 4), normal(1, 1, 4), normal(1, 6, 1)):
        with pytest.raises(ValueError, match="same shape"):
            getattr(losses, name)(normal(0, 6, 4), wrong)


@pytest.mark.parametrize("name", CALLS)
def test_zero_vectors_have_finite_gradients(name):
    loss, arrays = CALLS[name]
    arrays = [np.float32(a) for a in arrays]
    one_row = arrays[0].copy()
    one_row[..., 0, :] = 0
    everywhere = [np.zeros_like(a) for a in arrays]
    value_and_gradients = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(arrays)))))
    for case in ([one_row, *arrays[1:]], [everywhere[0], *arrays[1:]], everywhere):
        value, gradients = value_and_gradients(*case)
        assert np.isfinite(value)
        for gradient in gradients:
            assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1e3


@pytest.mark.parametrize(
    "name, option",
    [
        ("nt_xent", "temperature"),
        ("info_nce", "temperature"),
        ("swav", "temperature"),
        ("dino", "student_temperature"),
        ("dino", "teacher_temperature"),
        ("kd", "temperature"),
        ("jeffreys", "temperature"),
        ("js", "temperature"),
        ("soft_cross_entropy", "temperature"),
    ],
)
def test_temperatures(name, option):
    loss, arrays = CALLS[name]
    for wrong in (0, -0.1, float("nan"), np.float32(0), np.ones(2)):
        with pytest.raises(ValueError, match=option):
            loss(*arrays, **{option: wrong})
    expected = jax.jit(lambda *a: loss(*a, **{option: 0.5}))(*arrays)
    traced = jax.jit(lambda t, *a: loss(*a, **{option: t}))(np.float64(0.5), *arrays)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


def test_import_is_light():
    heavy = "flax", "tensorflow", "orbax"
    code = f"import sys, jaxssl.losses; print([name for name in {heavy} if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
