"""Sound: the generator, the bundled words, packing, folders of sound files, and what is said about bad ones."""

import logging
import sys
import wave

import numpy as np
import pytest
from scipy.io import wavfile

from jaxssl.data.readers.audio_folder import audio_folder
from jaxssl.data.sets.tones import LOWEST, TIMBRES, tones
from jaxssl.data.sets.words import RATE, WORDS_FILE, pack, unpack, words


@pytest.fixture(scope="module")
def notes():
    return tones(train=48, test=24, label="pitch")


def test_notes_are_fixed_balanced_and_of_their_pitch(notes):
    x, label = notes.train.arrays["audio"], notes.train.arrays["label"]
    assert x.shape == (48, 8000) and x.dtype == np.int16
    np.testing.assert_array_equal(x, tones(train=48, test=24, label="pitch").train.arrays["audio"])
    assert (tones(train=48, test=24, seed=1).train.arrays["audio"] != x).any()
    # The autocorrelation has its peak at the period of the note, or at a multiple.
    for row, pitch in zip(x.astype(np.float64), label):
        period = RATE / (440 * 2 ** ((LOWEST + pitch - 69) / 12))
        correlation = np.fft.irfft(np.abs(np.fft.rfft(row, 16384)) ** 2)[: 4 * int(period)]
        lag = 20 + np.argmax(correlation[20:])
        turns = lag / period
        assert abs(turns - round(turns)) < 0.06 * round(turns), (pitch, lag, period)


def test_timbres_and_pitches_are_balanced():
    splits = tones(train=384, test=192)
    np.testing.assert_array_equal(np.bincount(splits.train.arrays["label"]), 48)
    assert splits.train.class_names == TIMBRES
    pitches = tones(train=384, test=192, label="pitch").train.arrays["label"]
    pairs = splits.train.arrays["label"] * 24 + pitches
    np.testing.assert_array_equal(np.bincount(pairs), 2)


def test_words_come_with_the_package_and_test_voices_are_others():
    splits = words()
    assert splits.train.size == 864 and splits.test.size == 288
    for source in splits:
        x = source.arrays["audio"]
        assert x.shape[1] == 6400 and x.dtype == np.int16
        assert len(set(np.bincount(source.arrays["label"]))) == 1
        loud = np.abs(x.astype(np.int32)).max(1)
        assert loud.min() > 10000
    voices = [{n.split("/")[1] for n in s.names(np.arange(s.size))} for s in splits]
    assert len(voices[0]) == 54 and len(voices[1]) == 18 and not voices[0] & voices[1]
    assert WORDS_FILE.stat().st_size <= 700_000
    assert words(label="accent").train.num_classes == 6
    assert words(limit=96).test.size == 32
    assert splits.train.names([0])[0].split("/")[0] == splits.train.class_names[splits.train.arrays["label"][0]]


@pytest.mark.parametrize("options", [dict(label="voice"), dict(limit=3)])
def test_bad_options_of_words(options):
    with pytest.raises(ValueError, match=f"data.{next(iter(options))}"):
        words(**options)


@pytest.mark.parametrize("options", [dict(label="note"), dict(train=5), dict(seconds=0.0)])
def test_bad_options_of_tones(options):
    with pytest.raises(ValueError, match=f"data.{next(iter(options))}"):
        tones(**options)


def test_packing_loses_little_and_fine_steps_lose_nothing():
    random, clock = np.random.default_rng(0), np.arange(1000) / 8000
    sounds = [np.sin(2 * np.pi * f * clock[:n]) * 0.5 for f, n in ((300, 1000), (700, 641), (90, 130))]
    sounds.append(random.normal(size=300) * 0.1)
    for step, allowed in ((0.12, 0.06), (1e-3, 5e-3)):
        packed = pack(sounds, step=step)
        found = unpack(packed["codes"], packed["steps"], packed["frames"], 800)
        assert packed["codes"].dtype == np.int8 and found.shape == (4, 800)
        if np.abs(packed["codes"]).max() == 127:  # too fine for a byte
            continue
        for row, sound in zip(found, sounds):
            n = min(len(sound), 800)
            assert np.sqrt(np.mean((row[:n] - sound[:n]) ** 2)) < allowed


def tone(seconds, rate, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(file, x, rate, kind=np.int16):
    file.parent.mkdir(parents=True, exist_ok=True)
    scale = 1 if np.issubdtype(kind, np.floating) else np.iinfo(kind).max
    wavfile.write(file, rate, (x * scale).astype(kind))


@pytest.fixture
def folder(tmp_path):
    for i in range(12):
        write(tmp_path / "low" / f"{i}.wav", tone(0.5, 8000, 200 + i), 8000)
        write(tmp_path / "high" / "deep" / f"{i}.WAV", tone(0.5, 16000, 900 + i), 16000)
    (tmp_path / "low" / "notes.txt").write_text("no sound")
    return tmp_path


def test_sub_folders_are_labels_and_rates_agree(folder):
    splits = audio_folder(path=str(folder), rate=8000, seconds=0.25)
    assert splits.train.class_names == ("high", "low") and splits.train.size + splits.test.size == 24
    for source in splits:
        assert source.arrays["audio"].shape[1] == 2000 and (source.arrays["length"] == 2000).all()
        for x, label, name in zip(source.arrays["audio"], source.arrays["label"], source.names(range(source.size))):
            peak = np.argmax(np.abs(np.fft.rfft(x.astype(float)))) * 4
            assert (peak > 500) == (label == 0) == name.startswith("high/")
            assert 15000 < np.abs(x[50:-50]).max() < 17500
    stream = audio_folder(path=str(folder), rate=8000, seconds=0.25, in_memory=False)
    assert stream.train.arrays is None
    batch = stream.train.fetch(np.arange(3))
    np.testing.assert_array_equal(batch["audio"], splits.train.arrays["audio"][:3])
    np.testing.assert_array_equal(batch["label"], splits.train.arrays["label"][:3])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_bits_and_channels(kind, tmp_path):
    x = tone(0.5, 8000)
    both = np.stack([x, 0 * x], axis=1)
    scaled = both * 127 + 128 if kind == np.uint8 else both * (1 if kind == np.float32 else np.iinfo(kind).max)
    wavfile.write(tmp_path / "a.wav", 8000, scaled.astype(kind))
    found = audio_folder(path=str(tmp_path), rate=8000, seconds=0.5).train.arrays
    assert found["length"][0] == 4000 and found["label"][0] == -1
    np.testing.assert_allclose(found["audio"][0] / 32768, x / 2, atol=0.01)


def test_24_bits(tmp_path):
    x = tone(0.1, 8000)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1), file.setsampwidth(3), file.setframerate(8000)
        file.writeframes(b"".join(int(v * 2**23).to_bytes(3, "little", signed=True) for v in x))
    found = audio_folder(path=str(tmp_path), rate=8000, seconds=0.1).train.arrays["audio"][0]
    np.testing.assert_allclose(found / 32768, x, atol=1e-3)


def test_long_files_lose_both_ends_and_short_ones_end_in_silence(tmp_path):
    write(tmp_path / "long.wav", np.linspace(0, 0.9, 8000), 8000)
    write(tmp_path / "short.wav", tone(0.1, 8000), 8000)
    arrays = audio_folder(path=str(tmp_path), rate=8000, seconds=0.5).train.arrays
    np.testing.assert_allclose(arrays["audio"][0].mean() / 32768, 0.45, atol=0.01)
    np.testing.assert_array_equal(arrays["length"], [4000, 800])
    assert not arrays["audio"][1, 800:].any()


def test_other_formats(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    x = tone(0.5, 22050)
    soundfile.write(tmp_path / "a.flac", np.stack([x, x], 1), 22050)
    soundfile.write(tmp_path / "b.ogg", x, 22050)
    soundfile.write(tmp_path / "d.wav", x, 22050, subtype="ULAW")
    arrays = audio_folder(path=str(tmp_path), rate=22050, seconds=0.5, test_fraction=0).train.arrays
    np.testing.assert_allclose(arrays["audio"][0] / 32768, x, atol=1e-3)
    assert np.corrcoef(arrays["audio"][1], x)[0, 1] > 0.99
    np.testing.assert_allclose(arrays["audio"][2] / 32768, x, atol=0.02)
    (tmp_path / "c.flac").write_bytes(b"fLaC and then nothing")
    assert audio_folder(path=str(tmp_path), rate=22050, seconds=0.5, max_unreadable=0.5).train.size == 3


def test_without_the_reader_the_message_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(ImportError, match="a.flac.*pip install soundfile"):
        audio_folder(path=str(tmp_path))


def test_unreadable_files_are_named_and_left_out(folder, caplog):
    (folder / "low" / "0.wav").write_bytes(b"RIFF")
    write(folder / "low" / "1.wav", np.zeros(0), 8000)
    with caplog.at_level(logging.WARNING, "jaxssl"):
        splits = audio_folder(path=str(folder), rate=8000, seconds=0.25, max_unreadable=0.5)
    assert splits.train.size + splits.test.size == 22
    assert "low/0.wav" in caplog.text and "it holds no samples" in caplog.text
    names = [n for s in splits for n in s.names(np.arange(s.size))]
    assert len(names) == 22 and "low/0.wav" not in names
    with pytest.raises(ValueError, match="unreadable.*low/"):
        audio_folder(path=str(folder), rate=8000, seconds=0.25, max_unreadable=0.0)


def test_bad_folders_and_options(tmp_path):
    with pytest.raises(ValueError, match="--data FOLDER"):
        audio_folder(path="")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        audio_folder(path=str(tmp_path / "absent"))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="has no sound files: it holds only .txt"):
        audio_folder(path=str(tmp_path))
    for options in (dict(rate=0), dict(rate=0.5), dict(seconds=0.0), dict(test_fraction=1.0), dict(max_unreadable=2.0)):
        with pytest.raises(ValueError, match=next(iter(options))):
            audio_folder(path=str(tmp_path), **options)
