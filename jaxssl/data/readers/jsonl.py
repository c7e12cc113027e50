"""The lines of .jsonl files."""

import json
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.reading import MAX_FILE_MB, lines_of, read_text
from jaxssl.names import shown


def read_jsonl(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> Iterator[tuple[int, dict]]:
    """(line number, object) of the lines that are not blank."""
    for number, line in enumerate(lines_of(read_text(path, max_file_mb, right=right)), 1):
        if line.strip():
            yield number, _json_object(line, f"{shown(path)}, line {number}")


def _json_object(line, where):
    try:
        row = json.loads(line)
        if "\\u" in line:  # half of a pair of surrogates is no character
            json.dumps(row, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"{where}: not JSON that can be read, its brackets lie too deep") from None
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({getattr(error, 'msg', error)})") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: {line[:40]!r} is no object but a {type(row).__name__}")
    return row
