"""The arrays of .npz files."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxssl.data.reading import MAX_FILE_MB, check_size, foreign, regular_file
from jaxssl.names import shown


def load_npz(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> dict[str, np.ndarray]:
    """The arrays of a .npz file. The sizes in their headers are compared with the file before anything is allocated.

    Objects are never unpickled.

    Args:
      path, max_file_mb, right: as in `jaxssl.data.reading`.
    """
    regular_file(path, max_file_mb, right=right)
    with foreign(path, "a .npz file of plain arrays"), zipfile.ZipFile(path) as file:
        members = file.infolist()
        names = [member.filename.removesuffix(".npy") for member in members]
        if len(set(names)) < len(names):
            raise ValueError("two arrays have one name")
        check_size(sum(member.file_size for member in members), max_file_mb, "what it unpacks to")
        return {name: _member(file, member, name) for name, member in zip(names, members)}


def _member(file, member, name):
    with file.open(member) as data:
        version = np.lib.format.read_magic(data)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"`{name}` is in version {version} of the format")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(data)
        if dtype.hasobject:
            raise ValueError(f"`{name}` holds Python objects, which are never unpickled; numbers or text fit")
        promised, there = math.prod(shape) * dtype.itemsize, member.file_size - data.tell()
        if promised != there or min(shape, default=0) < 0:
            raise ValueError(f"the header of `{name}` promises {dtype} {shape}, {promised} bytes, but {there} follow")
        if not there and any(shape[:1]):
            raise ValueError(f"`{name}` has the shape {shape}, which holds nothing")
    with file.open(member) as data:
        return np.lib.format.read_array(data, allow_pickle=False)


def load_parts(
    path: str | Path, names: Sequence[str], max_file_mb: float = MAX_FILE_MB
) -> tuple[dict[str, np.ndarray], list[str], list[str] | None]:
    """(arrays by name, prefixes of the parts, class names or None) of a .npz file with one part or two.

    Args:
      path, max_file_mb: as in `jaxssl.data.reading`.
      names: arrays of a part, of which the first must be there: `x` for one part without a prefix, or `train_x` and
        perhaps `test_x`. `class_names` may be there too.

    Raises:
      FileNotFoundError, ValueError: naming the file and the arrays that do not fit.
    """
    data, first = load_npz(path, max_file_mb, right="option `path` must name a .npz file"), names[0]
    path = shown(path)
    known = {f"{prefix}{name}" for prefix in ("", "train_", "test_") for name in names} | {"class_names"}
    if data.keys() - known:
        raise ValueError(f"{path} holds unknown arrays {sorted(data.keys() - known)}; known are {sorted(known)}")
    if (first in data) == (f"train_{first}" in data):
        raise ValueError(
            f"{path} holds the arrays {sorted(data)}; either `{first}` or `train_{first}` must be among them"
        )
    if first in data and f"test_{first}" in data:
        raise ValueError(f"{path} holds `{first}` and `test_{first}`; call the first one `train_{first}`")
    named = data.get("class_names")
    if named is not None and (named.ndim != 1 or named.dtype.kind not in "US"):
        raise ValueError(f"{path}: `class_names` is {named.dtype} {named.shape}; strings [K] would be right")
    class_names = [str(name) for name in data["class_names"]] if "class_names" in data else None
    prefixes = ["" if first in data else "train_"] + ["test_"] * (f"test_{first}" in data)
    return data, prefixes, class_names


class Padded(NamedTuple):
    """Rows of unequal lengths, filled up behind their ends."""

    x: np.ndarray
    length: np.ndarray
    label: np.ndarray
    names: list[str]


def padded_part(data: Mapping[str, np.ndarray], prefix: str, file: str, *, shapes: str, channels: int | None) -> Padded:
    """One part of what `load_parts` found: `x` [N, T, C] of numbers, `length` int [N] (T), and `label` int [N] (-1).

    Args:
      data: the arrays.
      prefix: of the part.
      file: name of the file, for messages.
      shapes: what `x` may be, for messages.
      channels: C; None: any number, and with one channel `x` may be [N, T].

    Raises:
      TypeError, ValueError: naming the file and the array or the row that does not fit.
    """
    x = data[prefix + "x"]
    if not (np.issubdtype(x.dtype, np.floating) or np.issubdtype(x.dtype, np.integer)):
        raise TypeError(f"{file}: `{prefix}x` is {x.dtype}; it must be numbers")
    x = x[..., None] if channels is None and x.ndim == 2 else x
    if x.ndim != 3 or not x.size or channels not in (None, x.shape[2]):
        raise ValueError(f"{file}: `{prefix}x` has shape {x.shape}; it must be {shapes}")
    count, time = x.shape[:2]
    length = data.get(prefix + "length", np.full(count, time))
    label = data.get(prefix + "label", np.full(count, -1))
    for name, value in (("length", length), ("label", label)):
        if value.shape != (count,) or not np.issubdtype(value.dtype, np.integer):
            raise ValueError(f"{file}: `{prefix}{name}` is {value.dtype} {value.shape}; whole numbers [{count}] fit")
    wrong = np.flatnonzero((length < 1) | (length > time))
    if len(wrong):
        raise ValueError(f"{file}, row {wrong[0]}: `{prefix}length` is {length[wrong[0]]}; it must be in 1 ... {time}")
    return Padded(x, length, label, [f"{file}, {prefix}x row {i}" for i in range(count)])
