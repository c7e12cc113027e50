"""Files that hold results, checked before the work that they are to hold."""

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jaxssl.files import whole_file


def check_output(path: str | os.PathLike, *endings: str, option: str = "--out") -> Path:
    """The path, if a file of this name can be written. Raises: ValueError naming the option, before any work."""
    path = Path(path)
    said = f"{option} {stored_name(str(path))}"
    if path.suffix not in endings:
        raise ValueError(f"{said}: the name must end in {' or '.join(endings)}.")
    if path.is_dir():
        raise ValueError(f"{said}: this is a folder; give the name of a file.")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ValueError(f"{said}: the folder {stored_name(str(path.parent))} does not exist.")
    try:
        # Only a file that was made there tells: permissions say nothing of read-only disks.
        with contextlib.suppress(_Written), whole_file(path):
            raise _Written
    except OSError as error:
        raise ValueError(
            f"{said}: nothing can be written to {stored_name(str(folder))} ({error.strerror}); give another folder."
        ) from error
    return path


def write_features(path: Path, features: np.ndarray, label: np.ndarray, names: Iterable[str]) -> None:
    """`features` float [N, D], `label` int [N] and `name`, the N names by `stored_name`, as .npz or .parquet."""
    names = [stored_name(name) for name in names]
    with whole_file(path) as file:
        if path.suffix == ".npz":
            np.savez_compressed(file, features=features, label=label, name=np.asarray(names))
            return
        import pyarrow
        import pyarrow.parquet

        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(features.reshape(-1)), features.shape[1])
        pyarrow.parquet.write_table(pyarrow.table({"name": names, "label": label, "features": rows}), file)


def stored_name(name: str) -> str:
    r"""A name as text that every file format takes: a byte that is no UTF-8, and a backslash, become \x and two digits.

    Undone by re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), text.encode()), which gives the bytes
    of the name. What is no byte at all (a lone surrogate of other origin) becomes \u and four digits.
    """
    return re.sub("[\\\\\ud800-\udfff]", lambda found: _spelled(ord(found[0])), name)


def _spelled(code):
    return f"\\u{code:04x}" if code > 0xDCFF or 0xD7FF < code < 0xDC80 else f"\\x{code & 0xFF:02x}"


class _Written(Exception):
    """Ends the attempt to write."""
