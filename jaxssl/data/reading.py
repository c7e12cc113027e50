"""How every reader of this package opens a file: regular files of bounded size only, and one error that names the file.

All functions take `max_file_mb`, the option of all readers: a larger file is refused before it is read, and so is one
whose contents would unpack to more. They raise FileNotFoundError, or ValueError that names the file and, in a text, the
line. `right` ends the message of a file that is missing: what would be right.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from jaxssl.names import shown

FILES_FOLDER = Path(__file__).parent / "files"  # data that come with the package
MAX_FILE_MB = 8192.0  # of a file that holds all examples
MAX_EXAMPLE_MB = 1024.0  # of a file that holds one
BOM = b"\xef\xbb\xbf"
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_file(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> int:
    """The size of a regular file, or of the one that a link leads to. Nothing is opened: a pipe would wait for ever."""
    name = shown(path)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{name} does not exist{right and '; ' + right}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{name} is {kind_of(found.st_mode)}; a regular file would be right")
    check_size(found.st_size, max_file_mb, name)
    return found.st_size


def kind_of(mode: int) -> str:
    """The kind of a file of such a mode, in words."""
    return KINDS.get(stat.S_IFMT(mode), "no regular file")


def check_size(size: int, max_file_mb: float, name: str) -> None:
    """Raises ValueError for more bytes than the option allows. `name`: of the file, or of what it unpacks to."""
    if size > max_file_mb * 2**20:
        raise ValueError(f"{name} has {size / 2**20:,.1f} MB, more than max_file_mb={max_file_mb:g} allows; raise it")


def read_bytes(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> bytes:
    """The contents of a file."""
    size = regular_file(path, max_file_mb, right=right)
    try:
        with open(path, "rb") as file:
            data = file.read(size + 1)
    except (OSError, MemoryError) as error:
        raise ValueError(f"{shown(path)} cannot be read: {getattr(error, 'strerror', None) or 'no memory'}") from error
    if len(data) > size:
        raise ValueError(f"{shown(path)} holds more than the {size} bytes of its size; a file at rest would be right")
    return data


def read_text(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> str:
    """The text of a file in UTF-8, with a byte order mark or without."""
    return decoded(read_bytes(path, max_file_mb, right=right), shown(path))


def decoded(data: bytes, name: str) -> str:
    """Bytes in UTF-8, with a byte order mark or without, as text. `name`: of the file."""
    data = data.removeprefix(BOM)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line, start = data.count(b"\n", 0, error.start) + 1, data.rfind(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}, line {line}: not UTF-8 ({error.reason} at byte {error.start - start + 1}); save the file as UTF-8"
        ) from None


def lines_of(text: str) -> list[str]:
    """The lines of a text, which end in LF, CR LF, or, where there is no LF, in CR; no other character ends a line."""
    ends = "\n" if "\n" in text else "\r"
    lines = [line.rstrip("\r") for line in text.split(ends)]
    return lines if lines[-1] else lines[:-1]


@contextlib.contextmanager
def foreign(path: str | Path, kind: str) -> Iterator[None]:
    """Turns whatever a foreign decoder raises at damaged contents into one ValueError that names the file.

    Args:
      kind: the expected kind of file, such as "a .npz file of plain arrays".
    """
    try:
        yield
    except Exception as error:
        raise ValueError(f"{shown(path)} cannot be read as {kind}: {str(error) or type(error).__name__}") from error
