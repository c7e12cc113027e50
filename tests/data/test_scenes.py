"""Scenes: masks that say what is drawn, parts that share nothing, the same for the same seed."""

import numpy as np
import pytest

from jaxssl.data.sets.fashion_mnist import CLASS_NAMES
from jaxssl.data.sets.scenes import scenes
from jaxssl.data.sets.textures import TEXTURES, texture


@pytest.fixture(scope="module")
def splits():
    return scenes(limit=60)


def test_arrays(splits):
    for source, size in zip(splits, (60, 12), strict=True):
        assert source.size == size and source.num_classes == 10 and source.class_names == CLASS_NAMES
        assert source.arrays["image"].shape == (size, 64, 64, 3) and source.arrays["image"].dtype == np.uint8
        for name in ("segmentation", "instance"):
            assert source.arrays[name].shape == (size, 64, 64) and source.arrays[name].dtype == np.uint8
        assert source.fetch(np.array([3, 1]))["segmentation"].shape == (2, 64, 64)
        assert set(source.for_training(source.fetch(np.arange(2)))) == {"image", "index"}
        assert list(source.extra["segmentation_names"]) == ["background", *CLASS_NAMES]


def test_an_item_has_one_class_and_every_class_occurs(splits):
    arrays = splits.train.arrays
    assert set(np.unique(arrays["segmentation"])) == set(range(11))
    for segmentation, instance in zip(arrays["segmentation"], arrays["instance"], strict=True):
        np.testing.assert_array_equal(segmentation == 0, instance == 0)
        for item in np.unique(instance)[1:]:
            assert len(np.unique(segmentation[instance == item])) == 1
        assert 1 <= instance.max() <= 6


def test_the_label_is_the_class_of_most_pixels(splits):
    arrays = splits.train.arrays
    for segmentation, label in zip(arrays["segmentation"], arrays["label"], strict=True):
        counts = np.bincount(segmentation.ravel(), minlength=11)[1:]
        assert counts[label] == counts.max()


def test_masks_are_where_the_items_are():
    """Before a plain ground, what the mask calls background has the ground's colour, and what it calls items not."""
    arrays = scenes(limit=20, background="plain", items=(1, 1)).train.arrays
    for image, segmentation in zip(arrays["image"].astype(int), arrays["segmentation"], strict=True):
        ground = image[0, 0] if segmentation[0, 0] == 0 else image[-1, -1]
        differs = np.abs(image - ground).max(-1) > 0
        # Half-transparent pixels are at the rim, on either side of it.
        inner = differs & (segmentation == 0)
        assert inner.mean() < 0.06 and (differs & (segmentation > 0)).sum() > 0.6 * (segmentation > 0).sum()


def test_scenes_repeat_and_parts_and_seeds_differ(splits):
    again, other = scenes(limit=60), scenes(limit=60, seed=1)
    for name in ("image", "segmentation"):
        np.testing.assert_array_equal(splits.train.arrays[name], again.train.arrays[name])
        assert np.any(splits.train.arrays[name] != other.train.arrays[name])
        assert np.any(splits.train.arrays[name][:12] != splits.test.arrays[name])
    # Fewer scenes are the first ones of more.
    np.testing.assert_array_equal(scenes(limit=20).train.arrays["image"], splits.train.arrays["image"][:20])


def test_colour_says_nothing_of_the_class(splits):
    """Mean colours of the classes are alike: their spread is a small part of that of single scenes."""
    image, segmentation = (splits.train.arrays[name] for name in ("image", "segmentation"))
    means = [image[segmentation == c].mean(0) for c in range(1, 11)]
    assert np.std(means, axis=0).max() < 30 < image[segmentation > 0].std()


def test_sizes():
    small = scenes(size=32, item_size=(10, 16), items=(1, 2), limit=10).train.arrays
    assert small["image"].shape == (10, 32, 32, 3) and small["instance"].max() <= 2
    side = [np.ptp(np.argwhere(s > 0), axis=0).max() + 1 for s in small["segmentation"]]
    assert max(side) <= 32


@pytest.mark.parametrize("kind", TEXTURES)
def test_textures_are_in_range_and_vary(kind):
    image = texture(np.random.default_rng(0), 64, kind)
    assert image.shape == (64, 64, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std((0, 1)).max() > 0.03


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(limit=5), "data.limit=5: must be in 10 ... 4000"),
        (dict(items=(3, 2)), r"data.items=\(3, 2\)"),
        (dict(item_size=(20, 65)), r"data.item_size=\(20, 65\): must be \(least, largest\) in 1 ... 64"),
        (dict(background="photographs"), "data.background='photographs'"),
        (dict(size=0), "data.size=0"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        scenes(**options)
