"""Views of sound: what each step does to a tone, identity without steps, independence; log-mel against SciPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
from views import stacked

from jaxssl.augment import audio

RATE, SIZE = 8000, 2048
OFF = dict(polarity=0.0, noise=0.0, gain=0.0, filters=0.0, delay=0.0, pitch_shift=0.0, reverb=0.0)
KEY = jax.random.key(0)
CLOCK = np.arange(SIZE) / RATE


def sine(hertz, size=SIZE):
    return np.sin(2 * np.pi * hertz * np.arange(size) / RATE).astype(np.float32)


def level(x):
    return np.sqrt(np.mean(np.square(np.asarray(x)[200:-200])))


def pitch(x):
    """Hertz of the strongest frequency, between the bins."""
    spectrum = np.abs(np.fft.rfft(np.asarray(x) * np.hanning(len(x)), 16 * len(x)))
    return np.argmax(spectrum) * RATE / (16 * len(x))


def test_views_without_steps_are_pieces_of_the_sound():
    ramp = np.arange(3000, dtype=np.int16) + np.int16(1000) * np.arange(4, dtype=np.int16)[:, None]
    batch = {"audio": ramp, "length": np.array([3000, 2500, 2048, 100]), "label": np.arange(4)}
    found = stacked(jax.jit(audio.views(size=SIZE, rate=RATE, **OFF))(KEY, batch))
    assert set(found) == {"views", "label"} and found["views"].shape == (2, 4, SIZE)
    at = np.asarray(found["views"][:, :, 0] * 32768 - 1000 * np.arange(4))
    np.testing.assert_allclose(np.diff(found["views"] * 32768, axis=2), 1, atol=1e-2)
    assert at[0, 0] != at[1, 0] and (at >= 0).all() and (at[:, 0] <= 952).all() and (at[:, 1] <= 452).all()
    assert (at[:, 2:] == 0).all(), "a sound that ends early is seen from its beginning"


def test_plain_is_the_middle_and_short_sounds_are_filled_up():
    batch = {"audio": np.arange(3000, dtype=np.float32)[None], "length": np.array([3000])}
    np.testing.assert_array_equal(audio.plain(size=1000)(None, batch)["x"][0], np.arange(1000, 2000))
    short = audio.plain(size=10)(None, {"audio": np.ones((2, 4), np.float32)})["x"]
    np.testing.assert_array_equal(short, [[1] * 4 + [0] * 6] * 2)


def test_examples_and_views_differ_and_a_key_repeats():
    batch = {"audio": np.tile(sine(500.0, 2500), (3, 1))}
    augment = jax.jit(audio.views(size=SIZE, rate=RATE))
    first, again, other = (stacked(augment(key, batch))["views"] for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first, again)
    flat = np.concatenate([first, other]).reshape(12, -1)
    assert len(np.unique(flat.round(4), axis=0)) == 12 and np.isfinite(flat).all()


def test_silence_stays_finite():
    batch = {"audio": np.zeros((2, 2500), np.int16), "length": np.array([2500, 1])}
    sure = {name: 1.0 for name in OFF}
    found = stacked(jax.jit(audio.views(size=SIZE, rate=RATE, **sure))(KEY, batch))["views"]
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_noise_lies_as_far_below_as_asked():
    x = sine(500.0)
    added = np.asarray(audio.add_noise(KEY, x, 20.0)) - x
    assert 20 * np.log10(level(x) / level(added)) == pytest.approx(20, abs=0.5)


@functools.cache
def filtered():
    return jax.jit(lambda x, corner, is_low: audio.pass_filter(x, corner, is_low, rate=RATE))


@pytest.mark.parametrize("is_low, corner", [(True, 1000.0), (False, 1000.0), (True, 4000.0)])
def test_filters_have_the_gain_of_the_second_order_and_no_phase(is_low, corner):
    for hertz in (125.0, 500.0, 1000.0, 2000.0, 3500.0):
        x = sine(hertz)
        found = np.asarray(filtered()(x, jnp.float32(corner), is_low))
        ratio = hertz / corner if is_low else corner / hertz
        gain = 1.0 if corner >= RATE / 2 else 1 / np.sqrt(1 + ratio**4)
        np.testing.assert_allclose(found[400:-400], gain * x[400:-400], atol=0.02)


def test_echo_is_the_sound_later():
    x = np.random.default_rng(0).normal(size=100).astype(np.float32)
    found = np.asarray(audio.echo(jnp.asarray(x), 30.2, 0.5))
    np.testing.assert_allclose(found[:30], x[:30])
    np.testing.assert_allclose(found[30:], x[30:] + 0.5 * x[:70], rtol=1e-6)


@functools.cache
def shifted():
    return jax.jit(lambda x, s: audio.shift_pitch(x, s, most=7.0))


@pytest.mark.parametrize("semitones", [-7.0, -2.5, 0.0, 5.0, 7.0])
def test_pitch_shift_moves_the_pitch_and_keeps_time_and_loudness(semitones):
    x = np.where(CLOCK < 0.15, sine(440.0), 0).astype(np.float32)
    found = np.asarray(shifted()(x, semitones))
    assert found.shape == x.shape
    assert pitch(found[100:1100]) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)
    assert level(found[:1000]) == pytest.approx(level(x[:1000]), rel=0.15)
    assert np.abs(found[1200 + 512 :]).max() < 0.1, "the sound still ends when it did"


def test_pitch_shift_by_nothing_is_the_sound():
    x = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    np.testing.assert_allclose(audio.shift_pitch(jnp.asarray(x), 0.0)[:-1], x[:-1], atol=2e-3)


def test_reverberation_falls_by_60_decibels_and_keeps_the_power():
    click = np.zeros(SIZE, np.float32)
    click[0] = 1
    tail = np.asarray(audio.reverberate(KEY, jnp.asarray(click), 1000.0))
    assert np.mean(tail**2) == pytest.approx(1 / SIZE, rel=1e-3)
    early, late = np.mean(tail[1:100] ** 2), np.mean(tail[1000:1100] ** 2)
    assert 10 * np.log10(early / late) == pytest.approx(60, abs=4)
    assert tail[0] > np.abs(tail[1:]).max()


def test_chance_of_a_step():
    batch = {"audio": np.ones((400, SIZE), np.float32)}
    found = stacked(jax.jit(audio.views(size=SIZE, rate=RATE, **{**OFF, "polarity": 0.8}))(KEY, batch))["views"]
    assert np.mean(found[:, :, 0] < 0) == pytest.approx(0.8, abs=0.05)
    np.testing.assert_array_equal(np.abs(found), 1)


def test_log_mel_against_scipy():
    x = np.random.default_rng(0).normal(size=(2, 1600)).astype(np.float32)
    found = audio.log_mel(x, rate=RATE, frames=18, mels=20)
    window = np.hanning(200)
    frames = np.stack([x[:, i * 80 : i * 80 + 200] for i in range(18)], axis=1).astype(np.float64)
    power = np.abs(scipy.fft.rfft((frames - frames.mean(-1, keepdims=True)) * window, 256)) ** 2
    expected = np.log(power @ audio.mel_filters(20, 256, RATE, 20.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_mel_filters_are_triangles_that_meet():
    filters = audio.mel_filters(20, 1024, RATE, 20.0)
    assert filters.shape == (513, 20) and filters.min() == 0 and filters.max() <= 1
    centres = filters.argmax(0)
    assert (np.diff(centres) > 0).all() and (np.diff(centres, 2) >= -1).all()
    inside = slice(centres[0] + 1, centres[-1])
    np.testing.assert_allclose(filters[inside].sum(1), 1, atol=1e-5)


def test_spectrograms_show_time_and_pitch_and_are_scaled():
    options = dict(rate=RATE, size=SIZE, mels=32, frames=20, mean=-2.0, std=3.0)
    x = np.where(CLOCK < 0.1, sine(400.0), sine(2500.0)).astype(np.float32)
    found = audio.plain_spectrogram(**options)(None, {"audio": x[None], "label": np.zeros(1)})
    image = np.asarray(found["x"])[0, :, :, 0]
    assert image.shape == (32, 20) and set(found) == {"x", "label"}
    rows = image.argmax(0)
    assert rows[:8].max() < 12 < 20 < rows[12:].min()
    raw = audio.log_mel(x[None], rate=RATE, frames=20, mels=32)[0].T
    np.testing.assert_allclose(image, (raw + 2) / 6, atol=1e-5)
    same = stacked(audio.spectrogram(**options)(KEY, {"audio": x[None]}))["views"]
    np.testing.assert_allclose(same[0], found["x"], atol=1e-5)
    moved = stacked(audio.spectrogram(**options, shift=400)(KEY, {"audio": np.tile(x, (3, 1))}))["views"]
    assert moved.shape == (1, 3, 32, 20, 1) and not np.allclose(moved[0, 0], moved[0, 1])


@pytest.mark.parametrize(
    "options",
    [
        dict(size=1),
        dict(num_views=0),
        dict(rate=0),
        dict(noise=1.5),
        dict(gain_db=(1.0, -1.0)),
        dict(low_pass=(0.0, 5.0)),
    ],
)
def test_bad_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        audio.views(**{"size": 100, "rate": RATE, **options})


@pytest.mark.parametrize("options", [dict(frames=0), dict(mels=0), dict(std=0.0), dict(low=5000.0), dict(size=0)])
def test_bad_options_of_spectrograms_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        audio.plain_spectrogram(**{"size": 100, "rate": RATE, "frames": 4, **options})
    with pytest.raises(ValueError, match="`audio`"):
        audio.plain(size=10)(None, {"series": np.ones((1, 4))})
