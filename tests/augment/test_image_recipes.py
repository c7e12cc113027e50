"""The recipes of views: shapes, range, determinism, identity at zero strength, independence, boxes."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import Image
from views import stacked

from jaxssl.augment import image, multicrop

UNIT = dict(mean=0.0, std=1.0)
RECIPES = {
    "simclr": image.simclr(size=(12, 16), **UNIT, num_views=3, return_boxes=True),
    "byol": image.byol(size=16, **UNIT, return_boxes=True),
    "mae": image.mae(size=16, **UNIT, return_boxes=True),
    "dino": multicrop.dino(global_size=16, local_size=8, **UNIT, num_local=3, return_boxes=True),
}
VIEWS = {"simclr": (3, 12), "byol": (2, 16), "mae": (1, 16), "dino": (2, 16)}


@pytest.fixture(scope="module")
def photos():
    """uint8 [6, 24, 20, 3]: pieces of a photograph; the last two are the same."""
    photo = skimage.data.astronaut()
    corners = ((0, 200), (60, 180), (200, 150), (300, 250), (300, 250))
    pieces = [photo[y : y + 96 : 4, x : x + 80 : 4] for y, x in corners]
    return np.stack([255 - pieces[0], *pieces])


@pytest.fixture(scope="module", params=sorted(RECIPES))
def recipe(request, photos):
    """A compiled recipe, its name, its batch and its result for key 0."""
    augment = jax.jit(RECIPES[request.param])
    batch = {"image": photos, "label": np.arange(6), "index": np.arange(6) + 10}
    return request.param, augment, batch, stacked(augment(jax.random.key(0), batch))


def test_shapes_and_kept_entries(recipe):
    name, _, batch, out = recipe
    count, height = VIEWS[name]
    assert out["views"].shape == (count, 6, height, 16, 3) and out["views"].dtype == jnp.float32
    assert out["boxes"].shape == (count, 6, 4) and out["flips"].shape == (count, 6)
    assert "image" not in out
    np.testing.assert_array_equal(out["label"], batch["label"])
    np.testing.assert_array_equal(out["index"], batch["index"])
    assert ("local_views" in out) == (name == "dino")
    if name == "dino":
        assert out["local_views"].shape == (3, 6, 8, 8, 3) and out["local_boxes"].shape == (3, 6, 4)
        assert out["local_flips"].shape == (3, 6)


def test_shapes_of_the_other_recipes(photos):
    key, batch = jax.random.key(0), {"image": photos}
    out = stacked(jax.eval_shape(image.moco_v2(size=16, **UNIT), key, batch))
    assert set(out) == {"views"} and out["views"].shape == (2, 6, 16, 16, 3)
    out = stacked(jax.eval_shape(multicrop.swav(global_size=16, local_size=(8, 6), num_local=2, **UNIT), key, batch))
    assert out["views"].shape == (2, 6, 16, 16, 3) and out["local_views"].shape == (2, 6, 8, 6, 3)
    out = stacked(jax.eval_shape(multicrop.dino(global_size=16, local_size=8, num_local=0, **UNIT), key, batch))
    assert set(out) == {"views"} and out["views"].shape == (2, 6, 16, 16, 3)


def test_views_stay_in_range_and_differ(recipe):
    _, _, _, out = recipe
    for name in ("views", "local_views"):
        views = np.asarray(out.get(name, np.full((1, 2, 1), 0.5) * [[0], [1]]))
        assert views.min() >= 0 and views.max() <= 1
        flat = views.reshape(-1, views[0, 0].size)
        assert len(np.unique(flat, axis=0)) == len(flat), "equal images and views should get different crops"


def test_result_is_a_function_of_the_key(recipe):
    _, augment, batch, out = recipe
    again = stacked(augment(jax.random.key(0), batch))
    other = stacked(augment(jax.random.key(1), batch))
    for name in out:
        np.testing.assert_array_equal(out[name], again[name])
    assert not np.array_equal(out["views"], other["views"])
    assert augment._cache_size() == 1


def test_examples_do_not_touch_each_other(recipe):
    _, augment, batch, out = recipe
    changed = batch["image"].copy()
    changed[2] = 255 - changed[2]
    other = stacked(augment(jax.random.key(0), batch | {"image": changed}))
    rest = [0, 1, 3, 4, 5]
    for name in (name for name in out if "views" in name):
        np.testing.assert_array_equal(out[name][:, rest], other[name][:, rest])
        assert not np.array_equal(out[name][:, 2], other[name][:, 2])
    np.testing.assert_array_equal(out["boxes"], other["boxes"])


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_and_flips_reproduce_the_crop(photos, channels):
    augment = image.simclr(
        size=16,
        **UNIT,
        interpolation="bilinear",
        color_strength=0.0,
        grayscale_probability=0.0,
        blur_probability=0.0,
        return_boxes=True,
    )
    pixels = photos[..., :channels]
    out = stacked(jax.jit(augment)(jax.random.key(5), {"image": pixels}))
    assert 0 < out["flips"].sum() < out["flips"].size
    for v, n in np.ndindex(2, 6):
        y0, x0, h, w = out["boxes"][v, n].tolist()
        source = Image.fromarray(pixels[n] if channels == 3 else pixels[n, ..., 0])
        expected = source.resize((16, 16), Image.Resampling.BILINEAR, box=(x0, y0, x0 + w, y0 + h))
        expected = np.asarray(expected, np.float32).reshape(16, 16, channels) / 255
        expected = expected[:, ::-1] if out["flips"][v, n] else expected
        np.testing.assert_allclose(out["views"][v, n], expected, atol=2 / 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_zero_strength_is_exactly_plain(photos, channels):
    pixels = photos[:, :20, :20, :channels]
    options = dict(
        size=20,
        crop_scale=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
        flip_probability=0.0,
        mean=(0.4, 0.5, 0.3)[:channels],
        std=(0.2, 0.3, 0.25)[:channels],
    )
    if channels == 3:
        augment = image.simclr(**options, color_strength=0.0, grayscale_probability=0.0, blur_probability=0.0)
    else:  # all operations stay in the program, but no example draws them
        augment = image.simclr(**options, jitter_probability=1e-9, grayscale_probability=1e-9, blur_probability=1e-9)
    plain = image.plain(mean=options["mean"], std=options["std"])

    @jax.jit
    def both(key, batch):
        return jnp.stack(augment(key, batch)["views"]), plain(key, batch)["x"]

    views, evaluated = both(jax.random.key(0), {"image": pixels})
    expected = (pixels.astype(np.float32) / 255 - options["mean"]) / options["std"]
    np.testing.assert_allclose(evaluated, expected, atol=1e-5)
    np.testing.assert_allclose(views, np.stack([evaluated, evaluated]), atol=1e-5)


def test_grey_images(photos):
    pixels = photos[..., :1]
    augment = jax.jit(image.byol(size=16, **UNIT, solarize_probability=(1.0, 0.0)))
    out = stacked(augment(jax.random.key(0), {"image": pixels}))
    assert out["views"].shape == (2, 6, 16, 16, 1) and set(out) == {"views"}
    assert out["views"].min() >= 0 and out["views"].max() <= 1
    assert out["views"][0].max() <= 0.5 < out["views"][1].max()
    scaled = stacked(augment(jax.random.key(0), {"image": pixels.astype(np.float32) / 255}))
    np.testing.assert_allclose(out["views"], scaled["views"], atol=1e-6)


def test_probabilities_are_met():
    pixels = np.broadcast_to(np.array([200, 100, 50], np.uint8), (500, 4, 4, 3))
    augment = jax.jit(
        image.simclr(
            size=4,
            **UNIT,
            jitter_probability=0.0,
            grayscale_probability=0.3,
            flip_probability=0.7,
            blur_probability=0.0,
            return_boxes=True,
        )
    )
    out = stacked(augment(jax.random.key(0), {"image": pixels}))
    grey = np.ptp(out["views"], axis=-1).max((2, 3)) < 1e-3
    assert abs(grey.mean() - 0.3) < 0.07 and abs(out["flips"].mean() - 0.7) < 0.07
    assert abs(np.corrcoef(grey.ravel(), out["flips"].ravel())[0, 1]) < 0.15


def test_switching_operations_off_does_not_move_the_crops(recipe):
    name, _, batch, out = recipe
    if name == "simclr":
        mae = image.mae(size=(12, 16), **UNIT, num_views=3, crop_scale=(0.08, 1.0), return_boxes=True)
        crops = stacked(jax.jit(mae)(jax.random.key(0), batch))
        np.testing.assert_array_equal(out["boxes"], crops["boxes"])
        np.testing.assert_array_equal(out["flips"], crops["flips"])


def test_plain_takes_the_centre_and_keeps_the_batch(photos):
    batch = {"image": photos, "label": np.arange(6), "_mask": np.ones(6, bool)}
    out = jax.jit(image.plain(size=16, crop_fraction=0.8, **UNIT))(None, batch)
    assert set(out) == {"x", "label", "_mask"} and out["x"].shape == (6, 16, 16, 3)
    expected = Image.fromarray(photos[1]).resize((16, 16), Image.Resampling.BILINEAR, box=(2, 4, 18, 20))
    np.testing.assert_allclose(out["x"][1], np.asarray(expected) / 255, atol=2 / 255)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(blur_probability=1.5), r"blur_probability=1.5: must be in \[0, 1\]"),
        (dict(flip_probability=-0.1), "flip_probability"),
        (dict(crop_scale=(0.9, 0.1)), "crop_scale"),
        (dict(crop_scale=(0.1, 1.1)), "crop_scale"),
        (dict(crop_ratio=(0.0, 1.0)), "crop_ratio"),
        (dict(blur_kernel=4), "blur_kernel=4: must be odd"),
        (dict(blur_kernel=51), "blur_kernel=51"),
        (dict(blur_sigma=(2.0, 0.1)), "blur_sigma"),
        (dict(interpolation="cubic"), "interpolation"),
        (dict(num_views=0), "num_views"),
        (dict(size=0), "size"),
        (dict(size=(8, -1)), "size"),
        (dict(std=0.0), "std"),
        (dict(color_strength=-1), "color_strength"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        image.simclr(**(dict(size=16, **UNIT) | options))


def test_bad_options_of_other_recipes_are_refused():
    with pytest.raises(ValueError, match="solarize_probability=0.2: must be a pair"):
        image.byol(size=16, **UNIT, solarize_probability=0.2)
    with pytest.raises(ValueError, match="jitter=.*: must be"):
        image.moco_v2(size=16, **UNIT, jitter=(0.4, 0.4, 0.4, 0.6))
    with pytest.raises(ValueError, match="crop_fraction"):
        image.plain(**UNIT, size=16, crop_fraction=0.0)
    with pytest.raises(ValueError, match="interpolation"):
        image.plain(**UNIT, size=16, interpolation="nearest")
    with pytest.raises(ValueError, match="local_scale"):
        multicrop.dino(global_size=16, local_size=8, **UNIT, local_scale=(0.4, 0.05))
    with pytest.raises(ValueError, match="local_size"):
        multicrop.swav(global_size=16, local_size=0, **UNIT)
    with pytest.raises(ValueError, match="num_local"):
        multicrop.dino(global_size=16, local_size=8, **UNIT, num_local=-1)
    with pytest.raises(ValueError, match="global_blur_probability"):
        multicrop.dino(global_size=16, local_size=8, **UNIT, global_blur_probability=(1.0, 2.0))


@pytest.mark.parametrize(
    "pixels, message",
    [
        (np.zeros((2, 8, 8, 3), np.int32), "must be uint8, or float"),
        (np.zeros((2, 8, 8, 4), np.uint8), "C = 1 or 3"),
        (np.zeros((8, 8, 3), np.uint8), r"\[N, H, W, C\]"),
        (np.zeros((2, 8, 8, 1), np.uint8), "must have one entry, or one for each channel of images with C = 1"),
    ],
)
def test_bad_images_are_refused_while_tracing(pixels, message):
    statistics = dict(mean=(0.5,) * 3, std=(0.5,) * 3)
    for augment in (image.mae(size=8, **statistics), image.plain(**statistics)):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(augment, jax.random.key(0), {"image": pixels})
    with pytest.raises(ValueError, match="no 'image'"):
        jax.eval_shape(image.mae(size=8, **UNIT), jax.random.key(0), {"label": np.zeros(2)})


def test_factories_take_explicit_keyword_options_only():
    image_factories = (image.simclr, image.byol, image.moco_v2, image.mae, image.plain)
    for factory in (*image_factories, multicrop.dino, multicrop.swav):
        kinds = {parameter.kind for parameter in inspect.signature(factory).parameters.values()}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}, factory.__name__
