"""Decoded examples in files that are mapped into memory: any data source, written once, read at the speed of the disk.

A pack is a folder with `pack.json` and one NumPy file an array and split, `train.image.npy`, `train.label.npy`, ...;
rows are read where they lie, so that nothing is loaded as a whole, and what was read once stays in the system's cache.
"""

import json
import logging
import shutil
from pathlib import Path

import numpy as np

from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.source import Splits, from_arrays

log = logging.getLogger("jaxssl")

FORMAT = 1
INDEX = "pack.json"
BATCH = 256


def packed(*, path: str, limit: int | None = None) -> Splits:
    """A pack that `write_pack` or tools/pack.py made.

    path: the folder.
    limit: use the first so many training examples only.

    With data.mode='stream' rows are read as they are needed; 'resident' puts them all on the accelerator.
    Raises: FileNotFoundError; ValueError naming the file and what does not fit.
    """
    folder = Path(path).expanduser()
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder / INDEX} does not exist; a folder written by tools/pack.py would be right")
    try:
        index = json.loads((folder / INDEX).read_text())
        parts, names = index["splits"], index["class_names"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / INDEX} is damaged ({error}); write the pack again") from error
    if index.get("format") != FORMAT:
        raise ValueError(f"{folder}: format {index.get('format')!r}; this version reads {FORMAT}; write the pack again")
    if limit is not None and not 1 <= limit <= parts["train"]["size"]:
        raise ValueError(f"data.limit={limit}: must lie in 1 .. {parts['train']['size']}")
    sources = {}
    for split, part in parts.items():
        rows = slice(limit if split == "train" else None)
        arrays = {name: _mapped(folder / f"{split}.{name}.npy", part, name)[rows] for name in part["arrays"]}
        sources[split] = from_arrays(arrays, class_names=names, where=str(folder))
    return Splits(sources["train"], sources.get("test"))


def is_pack(path: str) -> bool:
    """Whether a folder holds a pack."""
    return bool(path) and (Path(path).expanduser() / INDEX).is_file()


def write_pack(splits: Splits, path: str) -> dict[str, int]:
    """Writes every readable example of the splits, in order, and returns how many of each.

    The folder appears under its name only when it is complete. Examples that cannot be read are left out, and counted in
    the log. What only evaluators read (`Source.extra`) is not written.

    Raises: FileExistsError if the folder is there already.
    """
    folder = Path(path).expanduser()
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; give a new folder, or remove it first")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    parts = {split: _write(source, unfinished, split) for split, source in splits.sources().items()}
    names = splits.train.class_names
    index = {"format": FORMAT, "class_names": list(names) if names else None, "splits": parts}
    (unfinished / INDEX).write_text(json.dumps(index, indent=1) + "\n")
    unfinished.rename(folder)
    return {split: part["size"] for split, part in parts.items()}


def _write(source, folder, split):
    """One split; {'size': rows, 'arrays': {name: [dtype, shape of an example]}}."""
    example = {k: v for k, v in source.fetch(np.zeros(0, np.int64)).items() if k != "index"}
    files = {name: open(folder / f"{split}.{name}.rows", "wb") for name in example}
    size = 0
    try:
        for batch in evaluation_batches(source, batch_size=min(BATCH, source.size)):
            readable = batch["_mask"]
            size += int(readable.sum())
            for name, file in files.items():
                batch[name][readable].tofile(file)
    finally:
        for file in files.values():
            file.close()
    if size < source.size:
        log.warning("%s: %d of %d examples cannot be read and are left out", split, source.size - size, source.size)
    if not size:
        raise ValueError(f"{split}: none of the {source.size} examples can be read")
    for name, value in example.items():
        shape = (size, *value.shape[1:])
        with open(folder / f"{split}.{name}.npy", "wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(value.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            with open(folder / f"{split}.{name}.rows", "rb") as rows:
                shutil.copyfileobj(rows, file, 2**24)
        (folder / f"{split}.{name}.rows").unlink()
    return {"size": size, "arrays": {name: [str(v.dtype), list(v.shape[1:])] for name, v in example.items()}}


def _mapped(file, part, name):
    """The array of a file, not loaded. Raises ValueError if it is not what the index says."""
    dtype, shape = part["arrays"][name]
    try:
        array = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); write the pack again") from error
    if (str(array.dtype), list(array.shape)) != (dtype, [part["size"], *shape]):
        raise ValueError(
            f"{file} holds {array.dtype} {list(array.shape)}; {INDEX} says {dtype} {[part['size'], *shape]}; "
            "write the pack again"
        )
    return array
