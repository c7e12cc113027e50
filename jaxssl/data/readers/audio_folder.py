"""Folders of sound files.

A source has `audio` int16 [N, T], mono, 32768 = full scale, and `length` int32 [N]: after length[n] samples a
short sound is filled up with silence.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.data.readers.folder import check_folder_options, existing_folder, folder_source, folder_splits
from jaxssl.data.reading import MAX_EXAMPLE_MB, check_size, regular_file
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

MAX_RATE = 2**24  # samples a second of any file; the filter that resamples grows with it
ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")


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
    passed over. Channels are averaged. A longer file is cut to its middle, a shorter one is filled up with silence.
    Labels, test files and files that cannot be read: as `data.readers.image_folder` says.

    Args:
      path: the folder.
      rate: samples a second; files of another rate are resampled.
      seconds: length of every example.
      in_memory: read all files at the start, for mode='resident'; unreadable files are then left out. Else files are
        read when they are asked for, with mode='stream'.
      max_file_mb: a larger file is unreadable, and one that unpacks to more (4 bytes a sample).
      label_from_folder, test_fraction, max_unreadable: as in `data.readers.image_folder`.
    """
    for name, value, right in (("rate", rate, isinstance(rate, int)), ("seconds", seconds, True)):
        if not right or not value > 0:
            raise ValueError(f"data.{name}={value!r}: must be {'a whole number ' if name == 'rate' else ''}above 0.")
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


def read_sound(file: str | Path, rate: int, length: int, max_file_mb: float = MAX_EXAMPLE_MB) -> dict[str, Any]:
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
