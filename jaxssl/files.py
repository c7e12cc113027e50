"""Files that are there whole or not at all, and JSON that every reader takes."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path`, which takes its place when the block ends well and is removed when it does not.

    Raises: OSError, naming `path`, where the folder cannot be written.
    """
    path = Path(path)
    number, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=path.suffix, dir=path.parent)
    os.close(number)
    fresh = Path(name)
    try:
        fresh.chmod(0o666 & ~_umask())  # as of any other new file; mkstemp's own is for its owner alone
        yield fresh
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with replacing(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


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
    """JSON with null for what is not finite."""
    return json.dumps(finite(tree), indent=indent, allow_nan=False)


def unused(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2`, ... that does not exist."""
    names = (path.with_name(f"{path.name}.{i}" if i else path.name) for i in range(1_000_000))
    return next(name for name in names if not os.path.lexists(name))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
