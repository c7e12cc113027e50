"""Generated notes of eight timbres."""

import numpy as np

from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "generated data"

RATE = 8000  # samples a second
TIMBRES = ("flute", "clarinet", "oboe", "strings", "organ", "brass", "voice ah", "voice ee")
PITCHES = 24
LOWEST = 48  # MIDI number: C3, 130.8 Hz
TABLE = 8192


def tones(*, train: int = 1600, test: int = 400, seconds: float = 1.0, label: str = "timbre", seed: int = 0) -> Splits:
    """Generated notes at 8 kHz: `audio` [N, 8000 * seconds], 8 timbres x 24 pitches (C3 ... B4).

    A timbre is a recipe of harmonics, blurred from note to note. Tuning, vibrato, swell, decay, loudness, the phase of
    every harmonic, brightness and background noise differ from note to note. The same options give the same arrays.

    Args:
      train, test: number of notes.
      label: what the probes ask for: 'timbre' or 'pitch'.
      seconds: length of a note.
      seed: of all that is drawn.
    """
    for name, count in (("train", train), ("test", test)):
        if count < PITCHES:
            raise ValueError(f"data.{name}={count}: must be at least {PITCHES}, one note of each pitch.")
    if label not in ("timbre", "pitch"):
        raise ValueError(f"data.label={label!r}: must be 'timbre' or 'pitch'.")
    if not seconds > 0:
        raise ValueError(f"data.seconds={seconds}: must be above 0.")
    names = TIMBRES if label == "timbre" else tuple(f"MIDI {LOWEST + i}" for i in range(PITCHES))
    sources = []
    for part, count in enumerate((train, test)):
        sound, timbre, pitch = _notes(np.random.default_rng([seed, part]), count, round(RATE * seconds))
        arrays = {"audio": sound, "length": np.full(count, sound.shape[1], np.int32)}
        arrays["label"] = timbre if label == "timbre" else pitch
        sources.append(from_arrays(arrays, class_names=names, where="tones"))
    return Splits(*sources)


def recipes(harmonic: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Amplitudes [8, N, H] of the harmonics 1, 2, ... [H] at their frequencies [N, H], one recipe a timbre."""
    bump = lambda centre, width: np.exp(-0.5 * ((hertz - centre) / width) ** 2)
    harmonic = np.broadcast_to(harmonic, hertz.shape).astype(float)
    made = [
        harmonic**-2.5,
        np.where(harmonic % 2 == 1, 1.0, 0.08) / harmonic,
        np.exp(-0.5 * ((harmonic - 4) / 2.0) ** 2) + 0.1,
        1 / harmonic,
        np.where(np.log2(harmonic) % 1 == 0, 1.0, 0.02) / np.sqrt(harmonic),
        np.exp(-harmonic / 5.0) * (1 + bump(1200, 400)),
        (bump(700, 130) + 0.7 * bump(1150, 150) + 0.03) / np.sqrt(harmonic),
        (bump(300, 90) + 0.5 * bump(2300, 250) + 0.03) / np.sqrt(harmonic),
    ]
    return np.stack(made)


def _notes(random, count, length):
    """int16 sound [count, length], timbre and pitch [count]."""
    order = random.permutation(count)
    timbre, pitch = order % len(TIMBRES), order // len(TIMBRES) % PITCHES
    hertz = 440 * 2 ** ((LOWEST + pitch - 69 + random.normal(0, 0.15, count)) / 12)
    clock = np.arange(length) / RATE
    column = lambda low, high: random.uniform(low, high, (count, 1))
    vibrato = column(0, 0.008) * np.sin(2 * np.pi * (column(4, 7) * clock + column(0, 1)))
    turns = np.cumsum(hertz[:, None] * (1 + vibrato), axis=1) / RATE
    swell = np.minimum(clock / column(0.005, 0.15), 1) * np.exp(-clock * column(0, 3))
    # One turn of the wave, as a table to look up; no harmonic lies above what the rate can hold.
    harmonic = np.arange(1, int(0.48 * RATE / hertz.min()) + 1)
    high = harmonic * hertz[:, None]
    amplitude = recipes(harmonic, high)[timbre, np.arange(count)] * harmonic ** random.normal(0, 0.4, (count, 1))
    amplitude = amplitude * np.exp(0.5 * random.normal(size=high.shape)) * (high < 0.48 * RATE)
    turned = np.exp(2j * np.pi * random.uniform(size=high.shape))
    table = np.fft.irfft(np.pad(amplitude * turned, ((0, 0), (1, 0))), TABLE).astype(np.float32)
    signal = np.take_along_axis(table, (turns % 1 * TABLE).astype(np.int32), axis=1)
    signal *= swell.astype(np.float32)
    signal /= np.sqrt(np.mean(signal**2, axis=1, keepdims=True))
    noise = random.standard_normal(signal.shape, np.float32) * 10 ** (-column(10, 30) / 20)
    signal = (signal + noise) * 10 ** (-column(14, 30) / 20)
    return np.clip(np.round(32768 * signal), -32768, 32767).astype(np.int16), timbre, pitch
