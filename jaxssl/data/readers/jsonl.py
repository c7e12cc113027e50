"""The lines of .jsonl files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.data.reading import MAX_FILE_MB, lines_of, read_text
from jaxssl.names import shown


def read_jsonl(path: str | Path, max_file_mb: float = MAX_FILE_MB, *, right: str = "") -> Iterator[tuple[int, dict]]:
    """(line number, object) of the lines that are not blank.

    Args:
      path, max_file_mb, right: as in `jaxssl.data.reading`.
    """
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


def label_ids(
    labels: Sequence[Any], lines: Sequence[int], file: str, *, optional: bool = False
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """(int32 [N] with -1 where there is none, names of the classes or None) of the labels of the lines of a file.

    Args:
      labels: names of classes, or whole numbers 0, 1, ..., all of one kind; None where a line has no label.
      lines: their line numbers, for messages.
      file: its name, for messages.
      optional: some lines may have a label and others none; else all or none.

    Raises:
      ValueError: naming the file and the line.
    """
    kinds = {}
    for label, line in zip(labels, lines):
        is_number = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**31
        if not is_number and label is not None and not (isinstance(label, str) and label.strip()):
            right = "the name of a class, or a whole number 0, 1, ..., would be right"
            raise ValueError(f"{file}, line {line}: `label` is {label!r}; {right}")
        if label is not None or not optional:
            kinds.setdefault(type(label), (line, label))
    if len(kinds) > 1:
        (first, one), (line, other), *_ = kinds.values()
        right = f"give all lines a number, or all a name{'' if optional else ', or none a label'}"
        raise ValueError(f"{file}, line {line}: `label` is {other!r}, but that of line {first} is {one!r}; {right}")
    names = tuple(sorted({label for label in labels if isinstance(label, str)}))
    codes = {name: i for i, name in enumerate(names)} | {None: -1}
    return np.array([codes.get(label, label) for label in labels], np.int32), names or None
