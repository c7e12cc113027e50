"""Bundled spoken words, and the lapped cosine transform in which they are packed."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from jaxssl.data.reading import FILES_FOLDER
from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "words spoken by a synthesiser"

WORDS_FILE = FILES_FOLDER / "words.npz"
RATE = 8000  # samples a second
WORD_LENGTH = 6400


def words(*, label: str = "word", limit: int | None = None) -> Splits:
    """16 English words spoken by 72 synthetic voices: `audio` [N, 6400], 0.8 s at 8 kHz.

    The words are zero ... nine, yes, no, left, right, stop and go; 54 voices are for training, 18 others for the test.
    Each word lies at a random place in silence; the places are the same at every call.

    Args:
      label: what the probes ask for: 'word' or 'accent' (six kinds of English).
      limit: number of training words, and a third of it for the test.

    Source: made with espeak-ng by tools/make_words.py.
    """
    if label not in ("word", "accent"):
        raise ValueError(f"data.label={label!r}: must be 'word' or 'accent'.")
    data = _words()
    names = [str(name) for name in data["words" if label == "word" else "accents"]]
    if limit is not None and (not isinstance(limit, int) or limit < 3 * len(names)):
        raise ValueError(f"data.limit={limit!r}: must be None or at least {3 * len(names)}.")
    values, sources = data["label" if label == "word" else "accent"].astype(np.int32), []
    for test in (False, True):
        rows = np.flatnonzero(data["test"] == test)[: None if limit is None else limit // 3 if test else limit]
        arrays = {"audio": data["audio"][rows], "length": np.full(len(rows), WORD_LENGTH, np.int32)}
        source = from_arrays({**arrays, "label": values[rows]}, class_names=names, where=str(WORDS_FILE))
        said = [f"{data['words'][data['label'][i]]}/{data['voices'][data['voice'][i]]}" for i in rows]
        columns = {**source.columns, "voice": data["voice"][rows].astype(np.int32)}
        named = lambda ids, said=said: [said[i] for i in np.asarray(ids)]
        sources.append(dataclasses.replace(source, names=named, columns=columns, group="voice"))
    return Splits(*sources)


@functools.cache
def _words():
    with np.load(WORDS_FILE) as file:
        data = dict(file)
    sound = unpack(data["codes"], data["steps"], data["frames"], WORD_LENGTH)
    # At a random place in silence, so that the place does not tell which word it is.
    shift = np.random.default_rng(0).integers(0, WORD_LENGTH - np.minimum(data["samples"], WORD_LENGTH) + 1)
    sound = np.stack([np.roll(row, by) for row, by in zip(sound, shift)])
    data["audio"] = np.clip(np.round(32767 * 0.8 * sound), -32768, 32767).astype(np.int16)
    return data


FRAME = 128  # samples of a step of the lapped cosine transform in which the words are packed
POWER = 0.75  # codes grow with this power of a coefficient, so that large ones are stored more coarsely


def _cosines():
    """The windowed cosines [2 * FRAME, FRAME] of the transform; with halves overlapped and added it inverts itself."""
    time, wave = np.arange(2 * FRAME)[:, None] + 0.5, np.arange(FRAME) + 0.5
    window = np.sin(np.pi / (2 * FRAME) * time)
    return np.sqrt(2 / FRAME) * window * np.cos(np.pi / FRAME * (time + FRAME / 2) * wave)


def pack(sounds: Sequence[np.ndarray], *, step: float = 0.12) -> dict[str, np.ndarray]:
    """Sounds in -1 ... 1, float [T_n], as small numbers that compress well.

    Frequencies that are weak on the whole are stored in finer steps.

    Returns:
      {`codes`: int8 [sum of frames, FRAME], `steps`: float32 [FRAME], `frames`, `samples`: int32 [N]}.
    """
    basis, spectra = _cosines(), []
    for sound in sounds:
        frames = -(-len(sound) // FRAME) + 1
        padded = np.zeros((frames + 1) * FRAME)
        padded[FRAME : FRAME + len(sound)] = sound
        pieces = padded.reshape(-1, FRAME)
        spectra.append(np.concatenate([pieces[:-1], pieces[1:]], axis=1) @ basis)
    joined = np.concatenate(spectra)
    strength = np.sqrt(np.mean(joined**2, axis=0))
    steps = (step * (strength / strength.max()) ** 0.5).astype(np.float32)
    codes = np.sign(joined) * np.floor((np.abs(joined) / steps) ** POWER + 0.4)
    return {
        "codes": np.clip(codes, -127, 127).astype(np.int8),
        "steps": steps,
        "frames": np.array([len(s) for s in spectra], np.int32),
        "samples": np.array([len(s) for s in sounds], np.int32),
    }


def unpack(codes: np.ndarray, steps: np.ndarray, frames: np.ndarray, length: int) -> np.ndarray:
    """What `pack` made, as sounds float32 [N, length]: longer ones are cut off, shorter ones end in silence."""
    most = max(int(frames.max()), -(-length // FRAME) + 1)
    codes = codes.astype(np.float32)
    spectra = np.zeros((len(frames), most, FRAME), np.float32)
    spectra[np.arange(most) < frames[:, None]] = np.sign(codes) * np.abs(codes) ** (1 / POWER) * steps
    pieces = (spectra.reshape(-1, FRAME) @ np.float32(_cosines().T)).reshape(len(frames), most, -1)
    sound = (pieces[:, :-1, FRAME:] + pieces[:, 1:, :FRAME]).reshape(len(frames), -1)
    return sound[:, :length]
