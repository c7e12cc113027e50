"""Views of clouds: the unit sphere, what each transformation keeps, identity at zero strength, independent examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from views import stacked

from jaxssl.augment import points

RANDOM = np.random.default_rng(0)
BATCH = {"points": RANDOM.normal(5, 3, (4, 30, 3)).astype(np.float32), "label": np.arange(4), "index": np.arange(4)}
KEY = jax.random.key(0)
NOTHING = dict(rotation="none", scale=(1, 1), translate=0.0)


def gram(x):
    x = np.asarray(x)
    return np.einsum("...id,...jd->...ij", x, x)


def test_plain_moves_clouds_into_the_unit_sphere_and_keeps_the_rest():
    found = points.plain()(None, BATCH)
    assert set(found) == {"x", "label", "index"}
    np.testing.assert_allclose(found["x"].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found["x"], axis=-1).max(1), 1, rtol=1e-5)
    same = points.plain()(None, {"points": np.ones((2, 5, 3), np.float32)})["x"]
    np.testing.assert_array_equal(same, 0)


def test_views_without_strength_are_the_plain_clouds():
    found = stacked(jax.jit(points.views(num_views=2, **NOTHING))(KEY, BATCH))
    assert set(found) == {"views", "label", "index"} and found["views"].shape == (2, 4, 30, 3)
    np.testing.assert_allclose(found["views"], np.stack([points.plain()(None, BATCH)["x"]] * 2), atol=1e-6)


@pytest.mark.parametrize("rotation", ["vertical", "any"])
def test_a_rotation_keeps_angles_and_handedness(rotation):
    x = points.plain()(None, BATCH)["x"]
    found = jax.jit(points.views(**{**NOTHING, "rotation": rotation}))(KEY, BATCH)["views"][0]
    np.testing.assert_allclose(gram(found), gram(x), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(found[:, :3]), np.linalg.det(x[:, :3]), rtol=1e-3)
    assert np.abs(found - x).max(axis=(1, 2)).min() > 0.01
    heights = np.abs(found[..., 2] - x[..., 2]).max()
    assert heights < 1e-6 if rotation == "vertical" else heights > 0.1


def test_any_rotation_is_uniform():
    """The image of a fixed direction has mean 0 and covariance I / 3."""
    turn = jax.jit(jax.vmap(lambda key: points.rotate(key, jnp.array([[0.0, 0.0, 1.0]]), vertical=False)[0]))
    found = np.asarray(turn(jax.random.split(KEY, 4000)))
    np.testing.assert_allclose(found.mean(0), 0, atol=0.04)
    np.testing.assert_allclose(found.T @ found / len(found), np.eye(3) / 3, atol=0.04)


def test_scale_and_translation_stay_in_their_ranges_axis_by_axis():
    x = np.asarray(points.plain()(None, BATCH)["x"])
    augment = jax.jit(points.views(num_views=20, rotation="none", scale=(0.5, 2.0), translate=0.3))
    found = stacked(augment(KEY, BATCH))["views"]
    factor = found.std(2) / x.std(1)
    shift = found.mean(2)
    assert factor.min() >= 0.499 and factor.max() <= 2.001 and factor.min() < 0.7 and factor.max() > 1.7
    assert np.abs(shift).max() <= 0.3001 and shift.min() < -0.2 and shift.max() > 0.2
    np.testing.assert_allclose(found, x * factor[:, :, None] + shift[:, :, None], atol=1e-4)
    assert len(np.unique(np.round(factor, 5))) > 200, "each axis, cloud and view has its own"


def test_jitter_has_the_deviation_asked_for():
    x = points.plain()(None, BATCH)["x"]
    found = stacked(jax.jit(points.views(num_views=20, **NOTHING, jitter=0.05))(KEY, BATCH))["views"]
    assert float((found - x).std()) == pytest.approx(0.05, rel=0.05)


def test_a_part_is_the_side_towards_a_viewer():
    x = jnp.asarray(BATCH["points"][0])
    found = np.asarray(jax.jit(lambda k: points.see_part(k, x, (0.4, 0.4)))(KEY))
    rows = {tuple(p) for p in np.asarray(x).tolist()}
    kept = {tuple(p) for p in found.tolist()}
    assert len(kept) == 12 and kept <= rows and found.shape == x.shape
    assert {tuple(p) for p in np.asarray(points.see_part(KEY, x, (1.0, 1.0))).tolist()} == rows
    assert len(np.unique(points.see_part(KEY, x, (0.001, 0.001)), axis=0)) == 1


def test_views_differ_by_view_and_example_and_repeat_by_key():
    batch = {"points": np.stack([BATCH["points"][0]] * 4)}
    augment = jax.jit(points.views(num_views=2, jitter=0.01, keep=(0.5, 0.9)))
    found = stacked(augment(KEY, batch))["views"]
    assert np.isfinite(found).all() and len(np.unique(found.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(found, stacked(augment(KEY, batch))["views"])
    other = batch["points"] * np.array([1, 2, 3, 4], np.float32)[:, None, None]
    np.testing.assert_allclose(stacked(augment(KEY, {"points": other}))["views"], found, atol=1e-4)


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(num_views=0), "num_views"),
        (dict(rotation="z"), "rotation='z': must be one of"),
        (dict(scale=(0.0, 1.0)), "scale"),
        (dict(translate=-1.0), "translate"),
        (dict(jitter=-1.0), "jitter"),
        (dict(keep=(0.5, 1.5)), "keep"),
    ],
)
def test_options_out_of_range_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        points.views(**options)


def test_another_kind_of_data_is_refused():
    with pytest.raises(ValueError, match="array `points`"):
        points.plain()(None, {"image": np.zeros((1, 2, 2, 1))})
