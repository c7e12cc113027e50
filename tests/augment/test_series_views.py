"""Views of series: ranges, identity at zero strength, independence of examples, what lies behind the end of a series."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from views import stacked

from jaxssl.augment import series

RANDOM = np.random.default_rng(0)
BATCH = {"series": RANDOM.normal(2, 3, (4, 30, 6)).astype(np.float32), "label": np.arange(4), "index": np.arange(4)}
KEY = jax.random.key(0)


def test_plain_standardises_and_keeps_the_rest():
    found = series.plain()(None, BATCH)
    assert set(found) == {"x", "label", "index"}
    np.testing.assert_allclose(found["x"].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(found["x"].std(1), 1, rtol=1e-4)
    given = series.plain(mean=(2.0,) * 6, std=(3.0,) * 6, clip=1.0)(None, BATCH)["x"]
    np.testing.assert_allclose(given, np.clip((BATCH["series"] - 2) / 3, -1, 1), rtol=1e-5, atol=1e-6)
    constant = series.plain()(None, {"series": np.ones((1, 5, 2), np.float32)})["x"]
    np.testing.assert_array_equal(constant, 0)


def test_short_series_are_stretched_and_what_fills_them_up_is_never_seen():
    time = np.arange(10, dtype=np.float32)
    x = np.stack([time, np.where(time < 4, time, np.nan)])[..., None]
    found = series.plain(size=7, mean=(0.0,), std=(1.0,))(None, {"series": x, "length": np.array([10, 4])})["x"]
    np.testing.assert_allclose(found[..., 0], [np.linspace(0, 9, 7), np.linspace(0, 3, 7)], rtol=1e-6)


def test_sensors_are_cut_at_the_same_time():
    clock = np.broadcast_to(np.arange(30.0)[:, None], (4, 30, 6)).astype(np.float32)
    augment = jax.jit(series.sensors(crop=0.5, mean=(0.0,), std=(1.0,)))
    found = stacked(augment(KEY, {"series": clock}))["views"]
    assert found.shape == (2, 4, 15, 3)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(np.diff(found[0], axis=1), 1)
    assert len(np.unique(found[0, :, 0, 0])) > 1, "examples are cut at places of their own"
    x = series.plain_sensors(mean=(0.0,), std=(1.0,))(None, BATCH)["x"]
    np.testing.assert_array_equal(x[:, 1], BATCH["series"][..., 3:])


def test_views_without_strength_are_the_series():
    augment = series.views(crop_scale=(1.0, 1.0), jitter=0, scale=0, mean=(0.0,), std=(1.0,))
    found = stacked(jax.jit(augment)(KEY, BATCH))["views"]
    np.testing.assert_allclose(found, np.stack([BATCH["series"]] * 2), rtol=1e-6)
    np.testing.assert_allclose(
        stacked(series.whole(mean=(0.0,), std=(1.0,))(KEY, BATCH))["views"], found[:1], rtol=1e-6
    )


def test_views_differ_by_view_and_example_and_repeat_by_key():
    batch = {"series": np.stack([BATCH["series"][0]] * 4)}
    augment = jax.jit(series.views(rotation=True, segments=3, warp=0.3))
    found = stacked(augment(KEY, batch))["views"]
    assert found.shape == (2, 4, 30, 6) and np.isfinite(found).all()
    assert len(np.unique(np.asarray(found).reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(found, stacked(augment(KEY, batch))["views"])
    alone = stacked(augment(KEY, {"series": batch["series"] + np.array([0, 1, 1, 1])[:, None, None]}))["views"]
    np.testing.assert_allclose(alone[:, 0], found[:, 0], rtol=1e-5, atol=1e-5)


def test_single_transformations():
    x = jnp.asarray(BATCH["series"][0])
    turned = series.rotate(KEY, x)
    norms = lambda v: np.linalg.norm(np.reshape(v, (30, 2, 3)), axis=-1)
    np.testing.assert_allclose(norms(turned), norms(x), rtol=1e-4)
    products = lambda v: np.cross(v[0, :3], v[1, :3]) @ v[2, :3]
    np.testing.assert_allclose(products(np.asarray(turned)), products(np.asarray(x)), rtol=1e-3)  # no mirror image
    mixed = series.permute_segments(jax.random.key(3), x, 4)
    np.testing.assert_allclose(np.sort(mixed, axis=0), np.sort(x, axis=0))
    np.testing.assert_array_equal(mixed[28:], x[28:])
    clock = jnp.linspace(0, 1, 50)[:, None]
    warped = series.time_warp(KEY, clock, 0.5)[:, 0]
    assert (np.diff(warped) > 0).all() and float(np.abs(warped - clock[:, 0]).max()) > 0.01
    np.testing.assert_allclose(warped[np.array([0, -1])], [0, 1], atol=1e-5)
    piece = series.crop_resize(KEY, clock, (0.3, 0.6))[:, 0]
    assert 0.3 <= piece[-1] - piece[0] <= 0.6 and 0 <= piece[0] and piece[-1] <= 1
    np.testing.assert_allclose(series.rescale(KEY, x, 0.0), x)


@pytest.mark.parametrize(
    "factory, options, said",
    [
        ("plain", dict(mean=(0.0,)), "go together"),
        ("plain", dict(mean=(0.0,), std=(0.0,)), "above 0"),
        ("plain", dict(size=1), "size"),
        ("plain", dict(clip=-1.0), "clip"),
        ("views", dict(crop_scale=(0.0, 1.0)), "crop_scale"),
        ("views", dict(segments=0), "segments"),
        ("views", dict(jitter=-0.1), "jitter"),
        ("sensors", dict(crop=1.5), "crop"),
    ],
)
def test_bad_options(factory, options, said):
    with pytest.raises(ValueError, match=said):
        getattr(series, factory)(**options)


def test_data_that_does_not_fit():
    with pytest.raises(ValueError, match="2 values but the series have 6 channels"):
        series.plain(mean=(0.0, 0.0), std=(1.0, 1.0))(None, BATCH)
    with pytest.raises(ValueError, match="channels=4"):
        series.plain_sensors(channels=4)(None, BATCH)
    with pytest.raises(ValueError, match="array `series`"):
        series.plain()(None, {"image": 0})
