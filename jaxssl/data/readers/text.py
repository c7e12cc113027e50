"""Texts from a .txt or .jsonl file; without a file, those of Debian's descriptions.

Arrays of an example: `tokens` int32 [L], padded with 0 to one L for all; `length` int32, the tokens before the padding.
"""

import dataclasses
from pathlib import Path

import numpy as np

from jaxssl.data.readers.jsonl import label_ids, read_jsonl
from jaxssl.data.reading import MAX_FILE_MB, lines_of, read_text
from jaxssl.data.sets.debian_descriptions import debian_descriptions
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out
from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.names import shown


def text(
    *,
    path: str | None = None,
    max_length: int = 32,
    tokenizer: str | None = None,
    limit: int | None = None,
    test_fraction: float = 0.0,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """Texts of a file, or without `path` the bundled ones (`debian_descriptions`).

    Args:
      path: a .txt file, one text a line, or a .jsonl file, one object a line with `text` and perhaps `label`: whole
        numbers 0, 1, ..., or names; all lines or none have one. UTF-8.
      max_length: L, the tokens of an example with the class token and the separator; longer texts are cut.
      tokenizer: JSON file of `jaxssl.data.tokenizer`; None takes the one of the package, so that ids never change. The
        encoder's `vocab_size` must be the tokenizer's.
      limit: number of training texts, the first ones (and a fifth as many test texts).
      test_fraction: part of one's own texts that is held out, drawn with a fixed seed; 0 = none.
      max_file_mb: a larger file is refused.

    Raises:
      FileNotFoundError, ValueError: naming the file, the line and what would be right.
    """
    if path is None:
        return debian_descriptions(max_length=max_length, tokenizer=tokenizer, limit=limit)
    check_test_fraction(test_fraction)
    texts, labels, lines = read_texts(path, max_file_mb)
    label, class_names = label_ids(labels, lines, shown(path))
    held_out = hold_out(np.zeros(len(texts), int), test_fraction, np.random.default_rng(0))
    parts = [np.flatnonzero(~held_out), np.flatnonzero(held_out)]
    tokens = load_tokenizer(tokenizer).encode_batch(texts, max_length=max_length)
    sources = []
    for ids, most in zip(parts, (limit, None if limit is None else limit // 5)):
        ids = ids[:most]
        if not ids.size:
            sources.append(None)
            continue
        arrays = {"tokens": tokens["tokens"][ids], "length": tokens["length"][ids], "label": label[ids]}
        source = from_arrays(arrays, class_names=class_names, where=shown(path))
        names = [f"{Path(path).name}:{lines[i]}" for i in ids]
        sources.append(dataclasses.replace(source, names=lambda rows, names=names: [names[r] for r in rows]))
    if sources[0] is None:
        right = "data.limit must be above 0, data.test_fraction smaller"
        raise ValueError(f"{shown(path)}: no training texts are left; {right}")
    count = int(label.max()) + 1
    return Splits(*(s and dataclasses.replace(s, num_classes=count) for s in sources))


def read_texts(path: str | Path, max_file_mb: float = MAX_FILE_MB) -> tuple[list[str], list, list[int]]:
    """(texts, labels or Nones, line numbers) of a .txt or .jsonl file. Raises as `text`."""
    name, ending = shown(path), Path(path).suffix
    if ending not in (".txt", ".jsonl"):
        raise ValueError(f"{name}: the name must end in .txt (a text a line) or .jsonl (an object a line)")
    right = "a .txt or .jsonl file would be right"
    if ending == ".jsonl":
        rows = [(n, *_checked(row, f"{name}, line {n}")) for n, row in read_jsonl(path, max_file_mb, right=right)]
    else:
        content = read_text(path, max_file_mb, right=right)
        lines = lines_of(content)
        if lines and not lines[-1].strip() and not content.endswith(("\n", "\r")):
            lines.pop()  # blanks that end the file
        rows = [(number, line, None) for number, line in enumerate(lines, 1)]
    if not rows:
        raise ValueError(f"{name} is empty; a text a line would be right")
    for number, found, _ in rows:
        if not found.strip():
            raise ValueError(f"{name}, line {number}: the text is empty; every line needs one")
    numbers, texts, labels = (list(column) for column in zip(*rows))
    return texts, labels, numbers


def _checked(row, where):
    """(text, label or None) of an object of a .jsonl file."""
    if "text" not in row:
        raise ValueError(f"{where}: an object with the key `text` is needed; its keys are {sorted(row)}")
    if not isinstance(row["text"], str):
        raise ValueError(f"{where}: `text` is a {type(row['text']).__name__}; it must be a string")
    return row["text"], row.get("label")
