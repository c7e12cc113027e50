"""Pairs of images and captions of one's own, from a .jsonl file."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from jaxssl.data.captions import check_max_length, groups_of, make_prompts, tokenize
from jaxssl.data.decode import MAX_PIXELS, decoder
from jaxssl.data.readers.jsonl import label_ids, read_jsonl
from jaxssl.data.reading import MAX_EXAMPLE_MB, read_bytes
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out
from jaxssl.names import shown

# For classes of one's own, of which nothing is known but the name.
PLAIN_TEMPLATES = ("a photo of {a}.", "a picture of {a}.", "an image of the {n}.", "{n}")


def pairs(
    *,
    path: str | None = None,
    image_size: int = 64,
    channels: int = 3,
    max_length: int = 64,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    max_file_mb: float = MAX_EXAMPLE_MB,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """Images and captions of one's own, all in memory.

    With names of classes there are prompts for them. Without a test set, or labels, evaluators that need them are
    skipped.

    Args:
      path: a .jsonl file with an object a line: `image` (a file, relative to the .jsonl), `caption`, and optionally
        `label` (the name of a class, or a number from 0 on; null for none). All labels must be of one kind.
      image_size, channels: the centre square of each image is resized to this size; 3 = RGB, 1 = grey.
      max_length: tokens of a caption, start and end included; longer ones are cut off.
      test_fraction: share of the pairs that only the evaluation sees, drawn with `seed`; 0: none.
      limit: number of pairs, the first ones.
      max_file_mb: a larger file is refused.
      max_pixels: so is an image of a larger width times height.

    Raises:
      ValueError: naming file and line, before anything is trained, for a line that is not JSON, a missing key, an empty
        caption, an image that is missing or unreadable, labels of two kinds; and for options.
    """
    check_max_length(max_length)
    check_test_fraction(test_fraction)
    if not isinstance(image_size, int) or image_size < 1 or channels not in (1, 3):
        raise ValueError(
            f"data.image_size={image_size}, data.channels={channels}: must be at least 1 pixel, and 1 or 3 channels."
        )
    file = _existing_file(path)
    rows = _read_rows(file, limit, max_file_mb)
    label, class_names = label_ids(
        [row.get("label") for _, row in rows], [line for line, _ in rows], shown(file), optional=True
    )
    decode = decoder(image_size, channels, max_pixels=max_pixels)
    images = np.stack([_read_image(file, line, row["image"], decode, max_file_mb) for line, row in rows])
    texts = [row["caption"] for _, row in rows]
    tokens, length = tokenize(texts, max_length)
    arrays = dict(image=images, tokens=tokens, length=length, group=groups_of([texts])[0], label=label)
    names, extra = [row["image"] for _, row in rows], {}
    if class_names:
        extra["prompts"], extra["prompt_length"] = make_prompts(class_names, PLAIN_TEMPLATES, max_length)
    held_out = hold_out(np.zeros(len(rows), int), test_fraction, np.random.default_rng(seed))
    if held_out.all():
        raise ValueError(
            f"{shown(file)}: {len(rows)} pairs; with data.test_fraction={test_fraction} none is left to train on"
        )

    def part(ids):
        source = from_arrays({k: v[ids] for k, v in arrays.items()}, class_names=class_names, where=str(file))
        return dataclasses.replace(source, names=lambda rows: [names[ids[i]] for i in rows], extra=extra)

    return Splits(part(np.flatnonzero(~held_out)), part(np.flatnonzero(held_out)) if held_out.any() else None)


def _existing_file(path):
    if not path:
        raise ValueError("data.pairs needs a file: --data PAIRS.jsonl with an `image` and a `caption` on each line")
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"data.path='{shown(path)}' is not a file; a .jsonl with `image` and `caption` on each line is right"
        )
    return file


def _read_rows(file, limit, max_file_mb):
    """[(line number, row)] of all lines that are not blank."""
    rows = []
    for number, row in itertools.islice(read_jsonl(file, max_file_mb), None if limit is None else max(limit, 0)):
        for key in ("image", "caption"):
            if key not in row:
                raise ValueError(f"{shown(file)}, line {number}: no key `{key}`, only {sorted(row)}")
            if not isinstance(row[key], str) or not row[key].strip():
                raise ValueError(
                    f"{shown(file)}, line {number}: `{key}` is {row[key]!r}; it must be a text that is not empty"
                )
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{shown(file)} holds no pairs; one JSON object a line would be right")
    return rows


def _read_image(file, line, name, decode, max_file_mb):
    image = file.parent / name
    try:
        return decode(read_bytes(image, max_file_mb), image)
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise ValueError(f"{shown(file)}, line {line}: image '{shown(image)}' cannot be read: {reason}") from error
