"""Texts that come with the package."""

import dataclasses
import functools
import gzip
import json
from pathlib import Path

import numpy as np

from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.data.splits import first_of_each_class
from jaxssl.data.tokenizer import load_tokenizer


def bundled_texts(
    file: Path, fields: tuple[str, str], max_length: int, tokenizer: str | None, limit: int | None
) -> Splits:
    """Texts of a bundled file: both texts of a thing are trained on, one is evaluated, and one is the query for it.

    Args:
      file: the bundled file.
      fields: (the text that is evaluated and retrieved, the text that is the query for it).
      max_length, tokenizer: as in `data.readers.text`.
      limit: number of training texts, balanced.
    """
    data = json.loads(gzip.decompress(file.read_bytes()))
    names, encode = data["class_names"], load_tokenizer(tokenizer).encode_batch
    train, test = ({k: np.array(v) for k, v in data[part].items()} for part in ("train", "test"))
    rows = {"train": slice(None), "test": slice(None)}
    if limit is not None:
        per_class = 2 * len(names)
        if limit % per_class or not per_class <= limit <= 2 * len(train["label"]):
            raise ValueError(f"data.limit={limit}: must be a multiple of {per_class} in {per_class} .. 10000.")
        rows["train"] = first_of_each_class(train["label"], limit // per_class)
        rows["test"] = first_of_each_class(test["label"], max(1, limit // 5 // len(names)))
    train = {k: v[rows["train"]] for k, v in train.items()}
    # Interleaved: both texts of one thing are neighbours.
    texts = np.stack([train[field] for field in fields], axis=1).reshape(-1)
    arrays = {**encode(texts, max_length=max_length), "label": np.repeat(train["label"], 2)}
    target, query = (encode(test[field], max_length=max_length) for field in fields)
    pairs = np.array(data["similarity"])
    left, right = pairs[:, 0].astype(int), pairs[:, 1].astype(int)
    extra = {
        "retrieval": {"query": _rows(query, rows["test"]), "target": _rows(target, rows["test"])},
        "similarity": {
            "left": _rows(target, left),
            "right": _rows(target, right),
            "score": pairs[:, 2].astype(np.float32),
        },
    }
    held = {**_rows(target, rows["test"]), "label": test["label"][rows["test"]]}
    where = file.name.split(".")[0]
    train = _source(arrays, names, {}, f"{where} train")
    columns = {**train.columns, "pair": np.arange(train.size, dtype=np.int32) // 2}
    train = dataclasses.replace(
        train, columns=columns, group="pair", part_extra=functools.partial(_of_pairs, arrays, tuple(query))
    )
    return Splits(train, _source(held, names, extra, f"{where} test"))


def _of_pairs(arrays, keys, ids, split):
    """`extra` of some training texts: as a test set, which of both texts of a thing finds the other."""
    both = np.intersect1d(ids[ids % 2 == 0], ids[ids % 2 == 1] - 1)
    if split == "train" or not both.size:
        return {}
    texts = {key: arrays[key] for key in keys}
    return {"retrieval": {"query": _rows(texts, both + 1), "target": _rows(texts, both)}}


def _rows(arrays, rows):
    return {key: value[rows] for key, value in arrays.items()}


def _source(arrays, names, extra, where) -> Source:
    return dataclasses.replace(from_arrays(arrays, class_names=names, where=where), extra=extra)
