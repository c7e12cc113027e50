"""Sound: generated notes, bundled spoken words, and folders of sound files of one's own.

A source has `audio` int16 [N, T], mono, 32768 = full scale, and `length` int32 [N]: what follows after length[n]
samples is silence that fills up a short sound.
"""

import dataclasses
import functools
import io
from pathlib import Path

import numpy as np

from jaxssl.data.folder import check_folder_options, existing_folder, folder_source, folder_splits
from jaxssl.data.reading import MAX_EXAMPLE_MB, check_size, read_bytes, regular_file
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

WORDS_FILE = Path(__file__).parent / "files" / "words.npz"
MAX_RATE = 2**24  # samples a second of any file; the filter that resamples grows with it
RATE = 8000  # samples a second of notes and words
WORD_LENGTH = 6400
ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")

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
    """
    for name, count in (("train", train), ("test", test)):
        if count < PITCHES:
            raise ValueError(f"data.{name}={count}: must be at least {PITCHES}, one note of each pitch")
    if label not in ("timbre", "pitch"):
        raise ValueError(f"data.label={label!r}: must be 'timbre' or 'pitch'")
    if not seconds > 0:
        raise ValueError(f"data.seconds={seconds}: must be above 0")
    names = TIMBRES if label == "timbre" else tuple(f"MIDI {LOWEST + i}" for i in range(PITCHES))
    sources = []
    for part, count in enumerate((train, test)):
        sound, timbre, pitch = _notes(np.random.default_rng([seed, part]), count, round(RATE * seconds))
        arrays = {"audio": sound, "length": np.full(count, sound.shape[1], np.int32)}
        arrays["label"] = timbre if label == "timbre" else pitch
        sources.append(from_arrays(arrays, class_names=names, where="tones"))
    return Splits(*sources)


def recipes(harmonic, hertz):
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


def words(*, label: str = "word", limit: int | None = None) -> Splits:
    """16 English words spoken by 72 synthetic voices: `audio` [N, 6400], 0.8 s at 8 kHz.

    The words are zero ... nine, yes, no, left, right, stop and go; 54 voices are for training, 18 others for the test.
    A word lies at a random place, which is always the same, with silence around it.

    Args:
      label: what the probes ask for: 'word' or 'accent' (six kinds of English).
      limit: so many training words only, and a third of it for the test.

    Source: made with espeak-ng by tools/make_words.py.
    """
    if label not in ("word", "accent"):
        raise ValueError(f"data.label={label!r}: must be 'word' or 'accent'")
    data = _words()
    names = [str(name) for name in data["words" if label == "word" else "accents"]]
    if limit is not None and (not isinstance(limit, int) or limit < 3 * len(names)):
        raise ValueError(f"data.limit={limit!r}: must be None or at least {3 * len(names)}")
    values, sources = data["label" if label == "word" else "accent"].astype(np.int32), []
    for test in (False, True):
        rows = np.flatnonzero(data["test"] == test)[: None if limit is None else limit // 3 if test else limit]
        arrays = {"audio": data["audio"][rows], "length": np.full(len(rows), WORD_LENGTH, np.int32)}
        source = from_arrays({**arrays, "label": values[rows]}, class_names=names, where=str(WORDS_FILE))
        said = [f"{data['words'][data['label'][i]]}/{data['voices'][data['voice'][i]]}" for i in rows]
        sources.append(dataclasses.replace(source, names=lambda ids, said=said: [said[i] for i in np.asarray(ids)]))
    return Splits(*sources)


@functools.cache
def _words():
    with np.load(WORDS_FILE) as file:
        data = dict(file)
    sound = unpack(data["codes"], data["steps"], data["frames"], WORD_LENGTH)
    # Silence around it; where a word lies would else tell half of what it is.
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


def pack(sounds, *, step: float = 0.12):
    """Sounds in -1 ... 1, float [T_n], as small numbers that compress well.

    Returns a dict: `codes` int8 [sum of frames, FRAME], `steps` float32 [FRAME], `frames`, `samples` int32 [N].
    Frequencies that are weak on the whole are stored in finer steps.
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


def unpack(codes, steps, frames, length):
    """What `pack` made, as sounds float32 [N, length]: longer ones are cut off, shorter ones end in silence."""
    most = max(int(frames.max()), -(-length // FRAME) + 1)
    codes = codes.astype(np.float32)
    spectra = np.zeros((len(frames), most, FRAME), np.float32)
    spectra[np.arange(most) < frames[:, None]] = np.sign(codes) * np.abs(codes) ** (1 / POWER) * steps
    pieces = (spectra.reshape(-1, FRAME) @ np.float32(_cosines().T)).reshape(len(frames), most, -1)
    sound = (pieces[:, :-1, FRAME:] + pieces[:, 1:, :FRAME]).reshape(len(frames), -1)
    return sound[:, :length]


def audio_folder(
    *,
    path: str,
    rate: int = 22050,
    seconds: float = 10.0,
    in_memory: bool = True,
    label_from_folder: bool = True,
    test_fraction: float = 0.2,
    max_unreadable: float = 0.05,
    max_file_mb: float = MAX_EXAMPLE_MB,
) -> Splits:
    """All sound files below a folder: `audio` int16 [N, rate * seconds], mono.

    Files: wav, flac, ogg, mp3, aif at any depth of folders, in the order of their names; hidden and all other files are
    passed over. All but wav need the package soundfile. Channels are averaged; of a longer file the middle is taken, a
    shorter one is filled up with silence. Labels, test files and files that cannot be read: as `data.image_folder`
    says.

    Args:
      path: the folder.
      rate: samples a second; files of another rate are resampled.
      seconds: length of every example.
      in_memory: read all files at the start, for mode='resident'; what cannot be read is then left out. Else files are
        read when they are asked for, with mode='stream'.
      max_file_mb: a larger file is unreadable, and one that unpacks to more (4 bytes a sample).
    """
    for name, value, right in (("rate", rate, isinstance(rate, int)), ("seconds", seconds, True)):
        if not right or not value > 0:
            raise ValueError(f"{name} {value!r} must be {'a whole number ' if name == 'rate' else ''}above 0")
    check_folder_options(test_fraction, max_unreadable)
    root = existing_folder(path, "sound file")
    *parts, labels_of, class_names = folder_splits(
        root, ENDINGS, label_from_folder=label_from_folder, test_fraction=test_fraction, kind="sound file"
    )
    length = round(rate * seconds)
    blank = {"audio": np.zeros(length, np.int16), "length": np.ones((), np.int32)}
    read = lambda file: read_sound(file, rate, length, max_file_mb)
    options = dict(max_unreadable=max_unreadable, kind="sound file")
    made = [folder_source(root, files, labels_of, class_names, read, blank, **options) for files in parts]
    return Splits(*(_in_memory(s, root) if s is not None and in_memory else s for s in made))


def _in_memory(source, root):
    batch = source.fetch(np.arange(source.size), substitute=False)
    kept = np.flatnonzero(batch["_mask"])
    if not len(kept):
        raise ValueError(f"none of the {source.size} sound files in {shown(root)} that this split holds is readable")
    arrays = {name: batch[name][kept] for name in ("audio", "length", "label")}
    made = from_arrays(arrays, class_names=source.class_names, where=shown(root))
    names = lambda ids: source.names(kept[np.asarray(ids)].tolist())
    return dataclasses.replace(made, names=names, num_classes=source.num_classes)


def read_sound(file, rate, length, max_file_mb=MAX_EXAMPLE_MB):
    """`audio` int16 [length] and `length` of one file. Raises OSError or ValueError for a file that cannot be read."""
    x, found = _decoded(Path(file), max_file_mb)
    x = np.asarray(x, np.float32)
    x = x.mean(axis=1) if x.ndim == 2 else x
    if not len(x):
        raise ValueError("it holds no samples")
    if not np.isfinite(x).all():
        raise ValueError("it holds samples that are not finite")
    wanted = -(-length * found // rate) + 1
    start = max(len(x) - wanted, 0) // 2
    x = x[start : start + wanted]
    if found != rate:
        if not 1 <= found <= MAX_RATE:
            raise ValueError(f"its header says {found} samples a second")
        from scipy.signal import resample_poly

        common = np.gcd(found, rate)
        x = resample_poly(x, rate // common, found // common)
    x = x[:length]
    sound = np.zeros(length, np.int16)
    sound[: len(x)] = np.clip(np.round(32768 * x), -32768, 32767)
    return {"audio": sound, "length": np.int32(len(x))}


def _decoded(file, max_file_mb):
    """(samples [T] or [T, channels] in -1 ... 1, rate)."""
    if file.suffix.lower() == ".wav":
        from scipy.io import wavfile

        # From bytes in memory no more is allocated than there is, whatever the header promises.
        data = read_bytes(file, max_file_mb)
        try:
            rate, x = wavfile.read(io.BytesIO(data))
        except Exception as error:  # damaged headers fail in many ways
            raise ValueError(f"not a readable .wav file: {error}") from error
        if np.issubdtype(x.dtype, np.floating):
            return x, rate
        # Unsigned bytes lie around 128; 24 bits come as the upper ones of 32.
        return (x.astype(np.float32) - 128) / 128 if x.dtype == np.uint8 else x / -float(np.iinfo(x.dtype).min), rate
    try:
        import soundfile
    except ImportError as error:
        raise ImportError(
            f"{file}: reading {file.suffix} needs the package soundfile: pip install soundfile"
        ) from error
    regular_file(file, max_file_mb)
    try:
        with soundfile.SoundFile(file) as opened:
            if opened.seekable():  # as soundfile.read does, which decides the last bit of an .mp3
                opened.seek(0)
            # In pieces, because the number of samples in a header may be anything.
            pieces, size, most = [], 0, max(1, 2**24 // opened.channels)
            while len(piece := opened.read(most, dtype="float32", always_2d=True)):
                pieces.append(piece)
                size += piece.nbytes
                check_size(size, max_file_mb, "what it unpacks to")
            return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32), opened.samplerate
    except (RuntimeError, MemoryError, OverflowError) as error:  # what libsndfile raises is a RuntimeError
        raise ValueError(str(error) or "no memory") from error
