"""Files that are there whole or not at all, and JSON that every reader takes."""

import contextlib
import json
import math
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the name only when it is complete; after an error nothing of it is left.

    It is written beside its place. An earlier file of the name stays until then.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    unfinished = path.with_name(f".{uuid.uuid4().hex}.unfinished")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def check_writable(folder: str | Path) -> None:
    """Raises OSError where no file can be made in a folder: full, read-only or not one's own."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".write-test.") as file:
        file.write(b"\0" * 4096)
        file.flush()


def finite(tree: Any) -> Any:
    """A tree of numbers for JSON, which has neither NaN nor infinity: null in their place."""
    if isinstance(tree, Mapping):
        return {k: finite(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [finite(v) for v in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def to_json(tree: Any, indent: int | None = None) -> str:
    """JSON with null for numbers that are not finite."""
    return json.dumps(finite(tree), indent=indent, allow_nan=False)


def unused(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2`, ... that does not exist."""
    names = (path.with_name(f"{path.name}.{i}" if i else path.name) for i in range(1_000_000))
    return next(name for name in names if not os.path.lexists(name))
