"""Where clips begin, and that what is done to a clip is done to all its frames alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from views import stacked

from jaxssl.augment import image, video
from jaxssl.augment.view import ViewOptions, check_options

STATISTICS = dict(mean=(0.5,), std=(0.25,))


def starts(length, frames, stride, power, draws):
    sample = lambda key: video.sample_clip_pair(key, length, frames, stride, power=power)
    return np.asarray(jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), draws)))


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0, None])
def test_the_distance_of_two_clips_has_the_published_distribution(power):
    """Kolmogorov-Smirnov distance below 0.01 over 100,000 draws; all begin inside, and either may come first."""
    length, frames, stride = 60, 8, 2
    places = length - 14
    found = starts(length, frames, stride, power, 100_000)
    assert found.min() == 0 and found.max() == places - 1
    distance = np.abs(found[:, 0] - found[:, 1])
    k = np.arange(1, places + 1)
    if power is None:
        expected = k / places
    else:
        expected = k * (power + 1) / (power * places) - k ** (power + 1) / (power * places ** (power + 1))
    empirical = np.cumsum(np.bincount(distance, minlength=places)) / len(distance)
    assert np.abs(empirical - expected).max() < 0.01
    far = distance > 0
    assert abs((found[far, 0] < found[far, 1]).mean() - 0.5) < 0.01
    # Given the distance, the earlier clip begins anywhere alike.
    earlier = found.min(1)[distance == 5]
    counts = np.bincount(earlier, minlength=places - 5)
    assert len(counts) == places - 5 and counts.min() > 0.5 * counts.mean()


def test_the_mean_distance_is_a_third_of_the_longest_and_power_one_has_a_closed_form():
    distance = np.abs(np.diff(starts(1016, 8, 2, 1.0, 50_000), axis=1))
    np.testing.assert_allclose(distance.mean(), 1002 / 3, rtol=0.02)
    part = np.arange(1, 11) / 10
    np.testing.assert_allclose(video.interval_cdf(10, 1.0), 2 * part - part**2)
    assert video.interval_cdf(1, 1.0).tolist() == [1.0]
    assert (starts(15, 8, 2, 1.0, 10) == 0).all()


def strong(**changes):
    options = dict(
        size=12,
        crop_scale=(0.3, 1.0),
        crop_ratio=(0.5, 2.0),
        jitter=(0.8, 0.8, 0.8, 0.2),
        jitter_probability=1.0,
        grayscale_probability=0.2,
        blur_probability=1.0,
        solarize_probability=0.5,
    )
    return check_options(ViewOptions(**{**options, **changes}))


ALONE = dict(jitter_probability=0.0, grayscale_probability=0.0, blur_probability=0.0, solarize_probability=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        ALONE,
        {**ALONE, "flip_probability": 1.0},
        {**ALONE, "jitter_probability": 1.0},
        {**ALONE, "grayscale_probability": 1.0},
        {**ALONE, "blur_probability": 1.0},
        {**ALONE, "solarize_probability": 1.0},
    ],
    ids=["all", "crop", "flip", "jitter", "grey", "blur", "solarize"],
)
def test_equal_frames_stay_equal(changes):
    frame = np.random.default_rng(0).uniform(size=(16, 20, 3)).astype(np.float32)
    clip = jnp.asarray(np.repeat(frame[None], 5, axis=0))
    view = jax.jit(jax.vmap(lambda key: video.augment_clip(key, clip, strong(**changes))))
    found = np.asarray(view(jax.random.split(jax.random.key(1), 8)))
    assert found.shape == (8, 5, 12, 12, 3)
    np.testing.assert_array_equal(found, np.repeat(found[:, :1], 5, axis=1))
    assert np.abs(found[0] - found[1]).max() > 0.05, "every clip has its own chances"


def test_frames_on_their_own_differ_in_the_ablation():
    clip = jnp.asarray(np.repeat(np.random.default_rng(0).uniform(size=(1, 16, 16, 3)), 4, axis=0), jnp.float32)
    found = jax.jit(lambda key: video.augment_clip(key, clip, strong(), consistent=False))(jax.random.key(0))
    assert all(np.abs(found[0] - found[t]).max() > 0.05 for t in range(1, 4))


@pytest.fixture(scope="module")
def counted():
    """Videos whose frame t has the grey value t, 10 n in video n."""
    value = np.arange(24)[None] + 10 * np.arange(4)[:, None]
    return {
        "video": np.broadcast_to(value[:, :, None, None, None], (4, 24, 9, 7, 1)).astype(np.uint8),
        "label": np.arange(4),
    }


def test_views_are_the_clips_that_were_drawn(counted):
    still = dict(crop_scale=(1.0, 1.0), crop_ratio=(7 / 9, 7 / 9), flip_probability=0.0, color_strength=0.0)
    still |= dict(grayscale_probability=0.0, blur_probability=(0.0, 0.0), solarize_probability=(0.0, 0.0))
    augment = jax.jit(video.cvrl(frames=5, stride=3, size=(9, 7), mean=0.0, std=1 / 255, **still))
    first, again, other = (stacked(augment(jax.random.key(k), counted)) for k in (0, 0, 1))
    assert first["views"].shape == (2, 4, 5, 9, 7, 1) and set(first) == {"views", "start", "label"}
    np.testing.assert_array_equal(first["views"], again["views"])
    assert (np.asarray(first["start"]) != other["start"]).any()
    expected = first["start"][:, :, None] + 3 * np.arange(5) + 10 * np.arange(4)[:, None]
    np.testing.assert_allclose(first["views"][..., 4, 3, 0], expected, atol=1e-3)
    assert first["start"].min() >= 0 and first["start"].max() <= 24 - 13


def test_plain_takes_the_clip_in_the_middle_or_where_asked(counted):
    options = dict(frames=5, stride=3, mean=0.0, std=1 / 255)
    for where, start in ((0.0, 0), (0.5, 6), (1.0, 11)):
        found = video.plain(**options, where=where)(None, counted)
        assert found["x"].shape == (4, 5, 9, 7, 1) and "video" not in found
        expected = start + 3 * np.arange(5) + 10 * np.arange(4)[:, None]
        np.testing.assert_allclose(found["x"][..., 0, 0, 0], expected, atol=1e-3)
    random = np.random.default_rng(0).integers(0, 256, (2, 6, 10, 14, 3), np.uint8)
    found = video.plain(frames=3, stride=2, size=8, **STATISTICS)(None, {"video": random})["x"]
    frames = image.plain(size=8, **STATISTICS)(None, {"image": random[:, 2]})["x"]
    np.testing.assert_allclose(found[:, 1], frames, atol=1e-6)


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(frames=0), "frames"),
        (dict(stride=0), "stride"),
        (dict(power=0), "power"),
        (dict(color_strength=3.0), "color_strength"),
        (dict(blur_probability=0.5), "blur_probability"),
        (dict(solarize_probability=(0.0, 2.0)), "must be in"),
        (dict(size=0), "size"),
    ],
)
def test_bad_options_are_named(changes, said):
    with pytest.raises(ValueError, match=said):
        video.cvrl(**{**dict(frames=4, stride=2, size=8, **STATISTICS), **changes})


def test_bad_batches_are_named(counted):
    augment = video.cvrl(frames=9, stride=3, size=8, **STATISTICS)
    with pytest.raises(ValueError, match="reaches over 25 frames but the videos have only 24"):
        augment(jax.random.key(0), counted)
    with pytest.raises(ValueError, match="need the array `video`"):
        augment(jax.random.key(0), {"image": counted["video"]})
    with pytest.raises(ValueError, match="N, T, H, W, C"):
        augment(jax.random.key(0), {"video": counted["video"][0]})
    with pytest.raises(ValueError, match="where"):
        video.plain(frames=2, stride=1, where=2.0, **STATISTICS)
