"""Series of measurements over time, from a .npz or .ts file.

A source has `series` float32 [N, T, C], time before channels, and `length` int32 [N] where the series are of unequal
lengths: they are then filled up with zeros behind their end, and the augmentations stretch them to one length.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxssl.data.readers.npz import load_parts, padded_part
from jaxssl.data.reading import MAX_FILE_MB, lines_of, read_text, regular_file
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out
from jaxssl.names import shown


def series(*, path: str, test_fraction: float = 0.2, max_file_mb: float = MAX_FILE_MB) -> Splits:
    """Series of one's own from a file.

    FILE.npz: `x` [N, T, C] or [N, T], numbers, and where they are there `length` int [N] (series n ends after
      length[n] samples; what follows is not read) and `label` int [N] (-1 = none). Or `train_x`, `train_length`,
      `train_label` and `test_x`, ...; `class_names` (strings) may name the classes.
    FILE.ts: the text format of the time series archive; beside NAME_TRAIN.ts the file NAME_TEST.ts is the test set.

    Missing values (NaN, or ? in a .ts file) are filled in along a straight line between their neighbours in time.

    Args:
      path: the file.
      test_fraction: share of the labelled series of each class that are held out where the file has no test set; 0 for
        none. The draw is fixed. Without labels nothing is held out.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError, TypeError: naming the file, the row and what would be right.
    """
    check_test_fraction(test_fraction)
    file = Path(path)
    if not path or not file.exists():
        raise FileNotFoundError(f"'{shown(path)}' is no file; option `path` must name a .npz or .ts file")
    regular_file(file, max_file_mb)
    if file.suffix not in (".npz", ".ts"):
        raise ValueError(f"{shown(file)}: the name must end in .npz or .ts")
    parts, class_names = (_read_npz if file.suffix == ".npz" else _read_ts_pair)(file, max_file_mb)
    made = [_source(part, class_names) for part in parts if part is not None]
    if len(made) == 1 and test_fraction and made[0].has_labels:
        held_out = hold_out(made[0].arrays["label"], test_fraction, np.random.default_rng(0), every_class=True)
        part = parts[0]
        chosen = [np.flatnonzero(rows) for rows in (~held_out, held_out) if rows.any()]
        made = [_source(_rows(part, ids), class_names) for ids in chosen]
    shapes = {source.arrays["series"].shape[2] for source in made}
    if len(shapes) > 1:
        raise ValueError(f"{shown(file)}: training and test series differ in channels, {sorted(shapes)}")
    count = max(source.num_classes for source in made)  # a class may be absent from one of them
    made = [dataclasses.replace(s, num_classes=count) if s.has_labels else s for s in made]
    return Splits(*_same_time(made))


def pad(rows: Sequence[np.ndarray], *, where: str = "series") -> tuple[np.ndarray, np.ndarray]:
    """A list of arrays [T_n, C] of unequal lengths as (series [N, max T_n, C], length int32 [N]).

    Raises:
      ValueError: naming the row whose shape does not fit.
    """
    rows = [np.asarray(row, np.float32) for row in rows]
    for i, row in enumerate(rows):
        if row.ndim != 2 or row.shape[1] != rows[0].shape[1] or not row.size:
            raise ValueError(
                f"{where}, row {i}: shape {row.shape}; [T, {rows[0].shape[-1]}] with T >= 1 would be right"
            )
    if not rows:
        raise ValueError(f"{where}: there are no series")
    length = np.array([len(row) for row in rows], np.int32)
    padded = np.zeros((len(rows), length.max(), rows[0].shape[1]), np.float32)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded, length


@dataclasses.dataclass
class _Part:
    """Series as a file has them, and the name of each row."""

    x: np.ndarray
    length: np.ndarray
    label: np.ndarray
    names: list


def _rows(part, ids):
    return _Part(part.x[ids], part.length[ids], part.label[ids], [part.names[i] for i in ids])


def _source(part, class_names):
    arrays = {"series": _filled(part), "label": part.label}
    if (part.length != part.x.shape[1]).any():
        arrays["length"] = part.length
    source = from_arrays(arrays, class_names=class_names, where=part.names[0].rsplit(",", 1)[0])
    return dataclasses.replace(source, names=lambda ids: [part.names[i] for i in np.asarray(ids)])


def _same_time(sources):
    """The sources with equal T, all with `length` where one has it or they differ."""
    times = [source.arrays["series"].shape[1] for source in sources]
    if len(set(times)) == 1 and len({"length" in source.arrays for source in sources}) == 1:
        return sources
    made = []
    for source in sources:
        arrays = {k: v for k, v in source.arrays.items() if k != "index"}
        arrays.setdefault("length", np.full(source.size, arrays["series"].shape[1], np.int32))
        arrays["series"] = np.pad(arrays["series"], ((0, 0), (0, max(times) - arrays["series"].shape[1]), (0, 0)))
        fresh = from_arrays(arrays, class_names=source.class_names)
        made.append(dataclasses.replace(fresh, names=source.names, num_classes=source.num_classes))
    return made


def _filled(part):
    """The series as float32, missing values filled in, zero behind the end of each."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is named below
        x = np.array(part.x, np.float32)
    x[np.arange(x.shape[1]) >= part.length[:, None]] = 0
    bad = np.argwhere(np.isinf(x))
    if len(bad):
        n, t, c = bad[0]
        raise ValueError(f"{part.names[n]}: infinite value at time {t}, channel {c}")
    for n, c in np.unique(np.argwhere(np.isnan(x))[:, [0, 2]], axis=0):
        column = x[n, : part.length[n], c]
        known = np.flatnonzero(~np.isnan(column))
        if not len(known):
            raise ValueError(f"{part.names[n]}: all values of channel {c} are missing")
        column[:] = np.interp(np.arange(len(column)), known, column[known])
    return x


def _read_npz(file, max_file_mb):
    """([training part, test part or None], class names or None)."""
    data, prefixes, names = load_parts(file, ("x", "length", "label"), max_file_mb)
    parts = [_npz_part(data, prefix, shown(file)) for prefix in prefixes]
    return [*parts, None][:2], names


def _npz_part(data, prefix, file):
    x, length, label, names = padded_part(data, prefix, file, shapes="[N, T, C] or [N, T]", channels=None)
    return _Part(x, length.astype(np.int32), label, names)


def _read_ts_pair(file, max_file_mb):
    """A .ts file, and the test file beside it where the name says that there may be one."""
    train, names = _read_ts(file, max_file_mb)
    other = file.with_name(file.name.replace("_TRAIN.ts", "_TEST.ts"))
    if other == file or not other.exists():
        return [train, None], names
    test, test_names = _read_ts(other, max_file_mb)
    if test_names != names:
        raise ValueError(f"{shown(other)}: its classes are {test_names}, those of {shown(file.name)} are {names}")
    return [train, test], names


def _read_ts(path, max_file_mb):
    """(part, class names or None) of one .ts file."""
    file, lines = shown(path), lines_of(read_text(path, max_file_mb))
    classes, begun, rows, labels, names = None, False, [], [], []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        where = f"{file}, line {number}"
        if not line or line.startswith("#"):
            continue
        if not begun:
            word, *values = line.split()
            if not word.startswith("@"):
                raise ValueError(f"{where}: neither a comment (#) nor a header (@...) ahead of @data")
            word = word.lower()
            if word == "@timestamps" and values[:1] == ["true"]:
                raise ValueError(
                    f"{where}: series with time stamps are not read; values at even distances would be right"
                )
            if word == "@classlabel" and values[:1] == ["true"]:
                classes = values[1:]
            begun = word == "@data"
            continue
        fields = line.split(":")
        if classes is not None:
            name = fields.pop().strip()
            if name not in classes:
                raise ValueError(f"{where}: class {name!r} is not one of those that @classLabel names, {classes}")
            labels.append(classes.index(name))
        rows.append(_ts_row(fields, where, rows))
        names.append(where)
    if not begun or not rows:
        raise ValueError(f"{file}: {'no series follow @data' if begun else 'there is no line @data'}")
    x, length = pad(rows, where=file)
    label = np.array(labels if classes is not None else [-1] * len(rows))
    return _Part(x, length, label, names), classes


def _ts_row(fields, where, rows):
    """One series [T, C] from the text of its channels."""
    if not fields:
        raise ValueError(f"{where}: a class without a series; VALUES:CLASS would be right")
    if rows and len(fields) != rows[0].shape[1]:
        raise ValueError(f"{where}: {len(fields)} channels, but {rows[0].shape[1]} in the first series")
    channels = []
    for c, field in enumerate(fields):
        try:
            channels.append([np.nan if v.strip() in ("?", "") else float(v) for v in field.split(",")])
        except ValueError as error:
            raise ValueError(f"{where}, channel {c}: {error}") from None
    lengths = {len(channel) for channel in channels}
    if len(lengths) > 1:
        raise ValueError(f"{where}: its channels have different lengths, {sorted(lengths)}")
    with np.errstate(over="ignore"):
        return np.array(channels, np.float32).T
