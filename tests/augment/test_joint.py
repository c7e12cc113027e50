"""Several modalities of one example: each by its own recipe, pieces of one time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import audio, image, text, video
from jaxssl.augment.joint import joint

N, FRAMES, RATE = 6, 16, 40  # samples a frame


def ramp():
    """A video and a sound whose values are the time, in frames over their number."""
    seconds = np.arange(FRAMES, dtype=np.float32) / FRAMES
    clip = np.broadcast_to(seconds[:, None, None, None], (N, FRAMES, 4, 4, 1))
    sound = np.broadcast_to(np.arange(FRAMES * RATE, dtype=np.float32) / (FRAMES * RATE), (N, FRAMES * RATE))
    return {"video": clip, "audio": sound, "index": np.arange(N), "target": np.full(N, -1)}


def identity(name):
    """A recipe of two equal views, for tests of what is handed over."""

    def augment(key, batch):
        rest = {k: v for k, v in batch.items() if k not in (name, "length")}
        made = {"views": jnp.stack([batch[name]] * 2), "noise": jax.random.normal(key, (N,))}
        return rest | made | ({"seen_length": batch["length"]} if "length" in batch else {})

    return augment


def test_views_are_dicts_and_the_rest_is_kept():
    recipe = joint(
        video=video.cvrl(frames=4, stride=2, size=4, mean=0.5, std=0.5),
        audio=audio.views(size=64, rate=100, pitch_shift=0.0, reverb=0.0),
    )
    batch = jax.jit(recipe)(jax.random.key(0), ramp())
    assert isinstance(batch["views"], tuple) and len(batch["views"]) == 2
    for view in batch["views"]:
        assert view["video"].shape == (N, 4, 4, 4, 1) and view["audio"].shape == (N, 64)
    assert set(batch) == {"views", "index", "target", "video_start"}


def test_a_part_is_what_its_recipe_alone_gives_whatever_the_others():
    key, batch = jax.random.key(1), ramp()
    both = joint(video=identity("video"), audio=identity("audio"))(key, batch)
    alone = joint(audio=identity("audio"))(key, batch)
    np.testing.assert_array_equal(both["audio_noise"], alone["audio_noise"])
    assert (np.asarray(both["audio_noise"]) != np.asarray(both["video_noise"])).all()
    assert "video" in alone and "audio" not in alone


@pytest.mark.parametrize("frames, samples", [(8, 8 * RATE), (8, 4 * RATE), (4, 8 * RATE), (1, RATE)])
def test_pieces_are_of_one_time(frames, samples):
    recipe = joint(video=identity("video"), audio=identity("audio"), cut=dict(video=frames, audio=samples))
    starts = []
    for seed in range(20):
        batch = jax.jit(recipe)(jax.random.key(seed), ramp())
        pictures, sound = (np.asarray(batch["views"][0][k]) for k in ("video", "audio"))
        assert pictures.shape[1] == frames and sound.shape[1] == samples
        first, begin = pictures[:, 0, 0, 0, 0] * FRAMES, sound[:, 0] * FRAMES
        end, stop = first + frames, begin + samples / RATE
        if frames * RATE == samples:
            np.testing.assert_allclose(first, begin, atol=1e-4)
        else:
            inside = (first <= begin + 1e-3) & (stop <= end + 1e-3) if frames * RATE > samples else None
            outside = (begin <= first + 1e-3) & (end <= stop + 1e-3)
            assert (outside if inside is None else inside).all()
        np.testing.assert_allclose(batch["start"] * (FRAMES - frames), first, atol=FRAMES / RATE)
        starts.append(first)
    if frames == 8 and samples == 8 * RATE:
        counts = np.bincount(np.round(np.concatenate(starts)).astype(int), minlength=9)
        assert counts.min() >= 4 and len(counts) == 9  # 120 draws of 9 starts


def test_lengths_belong_to_their_parts():
    batch = {**ramp(), "audio_length": np.full(N, 10 * RATE)}
    recipe = joint(video=identity("video"), audio=identity("audio"), cut=dict(audio=4 * RATE))
    for seed in range(5):
        found = recipe(jax.random.key(seed), batch)
        assert (np.asarray(found["audio_seen_length"]) == 4 * RATE).all()
        assert (np.asarray(found["views"][0]["audio"])[:, -1] < 10 / FRAMES).all()
        assert "video_seen_length" not in found and "audio_length" not in found


def test_evaluation():
    batch = {
        "image": np.zeros((N, 8, 8, 1), np.uint8),
        "tokens": np.ones((N, 5), np.int32),
        "length": np.full(N, 3),
        "label": np.arange(N),
    }
    recipe = joint(image=image.plain(mean=0.5, std=0.5, size=4), tokens=text.plain(), optional=("tokens",))
    found = jax.jit(recipe)(jax.random.key(0), batch)
    assert found["x"]["image"].shape == (N, 4, 4, 1) and "label" in found and "views" not in found
    alone = recipe(jax.random.key(0), {k: v for k, v in batch.items() if k in ("image", "label")})
    assert set(alone["x"]) == {"image"}


ONE = lambda key, batch: {**batch, "views": (batch["audio"],)}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: joint(), "no part was given"),
        (lambda: joint(video=identity("video"), cut=dict(audio=3)), "cut='audio': no such part; there are video"),
        (lambda: joint(video=identity("video"), cut=dict(video=0)), "video must be an integer of at least 1"),
        (lambda: joint(video=identity("video"), optional=("tokens",)), "optional='tokens': no such part"),
        (
            lambda: joint(tokens=identity("tokens"))(jax.random.key(0), ramp()),
            "joint.tokens: the batch has no `tokens`, only audio, index, target, video",
        ),
        (
            lambda: joint(video=identity("video"), audio=ONE)(jax.random.key(0), ramp()),
            "unequal numbers of views, {'video': 2, 'audio': 1}",
        ),
        (
            lambda: joint(video=video.plain(frames=2, stride=1, mean=0, std=1), audio=ONE)(jax.random.key(0), ramp()),
            "some recipes make views, others prepare for evaluation",
        ),
        (
            lambda: joint(video=identity("video"), cut=dict(video=17))(jax.random.key(0), ramp()),
            "a piece of 17 is longer than `video`",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
