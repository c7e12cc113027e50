"""Decoded examples in files that are mapped into memory: any data source, written once, read at the speed of the disk.

A pack is a folder with `pack.json` and one NumPy file an array and split, `train.image.npy`, `train.label.npy`, ...;
rows are read where they lie, so that nothing is loaded as a whole, and rows that were read stay in the system's cache.
Names and groups of examples, names of classes, and the data of evaluators (`Source.extra`) lie beside them; a pack that
was written without still reads.
"""

import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.views import column, places_of

log = logging.getLogger("jaxssl")

FORMAT = 1
INDEX = "pack.json"
BATCH = 256


def packed(*, path: str, limit: int | None = None) -> Splits:
    """A pack that `write_pack` or tools/pack.py made.

    With data.mode='stream' rows are read as they are needed; 'resident' puts them all on the accelerator.

    Args:
      path: the folder.
      limit: number of training examples, the first ones.

    Raises:
      FileNotFoundError, ValueError: naming the file and what does not fit.
    """
    folder = Path(path).expanduser()
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder / INDEX} does not exist; a folder written by tools/pack.py would be right")
    try:
        index = json.loads((folder / INDEX).read_text())
        parts, names, found = index["splits"], index["class_names"], index.get("format")
        parts = {s: {"class_names": names, **part, "size": int(part["size"])} for s, part in parts.items()}
        total = parts["train"]["size"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} is damaged ({error}); write the pack again") from error
    if found != FORMAT:
        raise ValueError(f"{folder}: format {found!r}; this version reads {FORMAT}; write the pack again")
    if limit is not None and not 1 <= limit <= total:
        raise ValueError(f"data.limit={limit}: must lie in 1 .. {total}.")
    sources = {}
    for split, part in parts.items():
        try:
            sources[split] = _read(folder, split, part, slice(limit if split == "train" else None))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{folder / INDEX} is damaged ({error!r} in {split}); write the pack again") from error
    return Splits(sources["train"], sources.get("test"))


def is_pack(path: str) -> bool:
    """Whether a folder holds a pack."""
    return bool(path) and (Path(path).expanduser() / INDEX).is_file()


def check_new(path: str) -> Path:
    """The folder, if a pack can be written there. Raises: FileExistsError, or OSError naming what cannot be made."""
    folder = Path(path).expanduser()
    if folder.exists():
        raise FileExistsError(f"{folder} exists already; give a new folder, or remove it first")
    shutil.rmtree(_unfinished(folder), ignore_errors=True)
    _unfinished(folder).mkdir(parents=True)
    _unfinished(folder).rmdir()
    return folder


def _unfinished(folder):
    return folder.with_name(folder.name + ".unfinished")


def write_pack(splits: Splits, path: str) -> dict[str, int]:
    """Writes every readable example of the splits, in order, and returns how many of each.

    The folder appears under its name only when it is complete; after an error nothing of it is left. Examples that
    cannot be read are left out, and counted in the log.

    Raises:
      FileExistsError: if the folder is there already.
      ValueError: naming an entry of `Source.extra` that is no array.
    """
    folder = check_new(path)
    extras = {split: _extra_arrays(source.extra, split) for split, source in splits.sources().items()}
    unfinished = _unfinished(folder)
    unfinished.mkdir()
    try:
        parts = {s: _write(source, unfinished, s, extras[s]) for s, source in splits.sources().items()}
        index = {"format": FORMAT, "class_names": _listed(splits.train.class_names), "splits": parts}
        (unfinished / INDEX).write_text(json.dumps(index, indent=1) + "\n")
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return {split: part["size"] for split, part in parts.items()}


def _listed(names):
    return list(names) if names else None


def _extra_arrays(extra, split):
    """{path of keys: array} of nested dicts. Raises ValueError for values that need pickle in a NumPy file."""
    arrays = {}

    def walk(path, value):
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk((*path, key), inner)
            return
        arrays[path] = np.asarray(value)
        if arrays[path].dtype.hasobject or not all(isinstance(key, str) for key in path):
            raise ValueError(f"{split}: extra entry {'/'.join(map(str, path))} is no array of numbers or of text")

    walk((), extra)
    return arrays


def _nested(arrays):
    """Inverse of `_extra_arrays`."""
    found = {}
    for (*outer, last), value in arrays.items():
        place = found
        for key in outer:
            place = place.setdefault(key, {})
        place[last] = value
    return found


def _write(source, folder, split, extra):
    """One split; its entry of the index: 'size', 'arrays' {name: [dtype, shape of an example]}, and what lies beside.

    'names': [bytes, ] of all names, 'ends' of each in them; 'extra': [path of keys, dtype, shape] of each file; 'group':
    [name, dtype] of what says which examples belong together.
    """
    example = {k: v for k, v in source.fetch(np.zeros(0, np.int64)).items() if k != "index"}
    files = {name: open(folder / f"{split}.{name}.rows", "wb") for name in example}
    kept, names, readable_rows = [], [], []
    try:
        for batch in evaluation_batches(source, batch_size=min(BATCH, source.size)):
            readable = batch["_mask"]
            ids = batch["index"][readable]
            kept.append(ids)
            readable_rows.append(readable)
            names += [] if source.names is None else source.names(places_of(source, ids, "pack"))
            for name, file in files.items():
                batch[name][readable].tofile(file)
    finally:
        for file in files.values():
            file.close()
    kept = np.concatenate(kept)
    size = len(kept)
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
    part = {"size": size, "arrays": {name: [str(v.dtype), list(v.shape[1:])] for name, v in example.items()}}
    part |= {"class_names": _listed(source.class_names), "num_classes": source.num_classes}
    if source.names is not None:
        # Surrogates stand for bytes that are no UTF-8; with them every name comes back as it was.
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        np.save(folder / f"{split}-names.npy", np.frombuffer(b"".join(encoded), np.uint8))
        np.save(folder / f"{split}-ends.npy", np.cumsum([len(name) for name in encoded], dtype=np.int64))
        part["names"] = sum(map(len, encoded))
    if source.group:
        group = column(source, source.group, "packed")[np.concatenate(readable_rows)[: source.size]]
        np.save(folder / f"{split}-group.npy", group)
        part["group"] = [source.group, str(group.dtype)]
    extra = _of_rows(extra, split, kept)
    for i, value in enumerate(extra.values()):
        np.save(folder / f"{split}-extra-{i}.npy", value, allow_pickle=False)
    part["extra"] = [[list(path), str(value.dtype), list(value.shape)] for path, value in extra.items()]
    return part


def _of_rows(extra, split, rows):
    """Extra arrays when only some rows are left: the nodes of a graph that the rows are about go with them."""
    nodes = (f"{split}_nodes",)
    return {path: value[rows] if path == nodes else value for path, value in extra.items()}


def _read(folder, split, part, rows):
    """The source of one split, of a slice of its rows."""
    size = part["size"]
    mapped = lambda name, dtype, shape: _mapped(folder / f"{split}{name}.npy", dtype, shape)
    arrays = {name: mapped(f".{name}", d, [size, *shape])[rows] for name, (d, shape) in part["arrays"].items()}
    source = from_arrays(arrays, class_names=part["class_names"], where=str(folder))
    extra = {
        tuple(path): mapped(f"-extra-{i}", dtype, shape) for i, (path, dtype, shape) in enumerate(part.get("extra", ()))
    }
    names = None
    if "names" in part:
        text, ends = mapped("-names", "uint8", [part["names"]]), mapped("-ends", "int64", [size])

        def names(ids):
            spans = ((ends[i - 1] if i else 0, ends[i]) for i in np.asarray(ids, np.int64).tolist())
            try:
                return [text[start:end].tobytes().decode("utf-8", "surrogatepass") for start, end in spans]
            except UnicodeDecodeError as error:
                raise ValueError(f"{folder}/{split}-names.npy is damaged ({error}); write the pack again") from error

    known = {}
    if "group" in part:
        name, dtype = part["group"]
        known = dict(group=name, columns={name: mapped("-group", dtype, [size])[rows]})
    return dataclasses.replace(
        source,
        **known,
        names=names,
        num_classes=part.get("num_classes", source.num_classes),
        extra=_nested(_of_rows(extra, split, rows)),
    )


def _mapped(file, dtype, shape):
    """The array of a file, not loaded. Raises ValueError if it is not what the index says."""
    try:
        if not file.is_file():
            raise OSError("no such file")
        array = np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # NumPy's reader of headers raises whatever it stumbles over
        raise ValueError(f"{file} cannot be read ({error}); write the pack again") from error
    if (str(array.dtype), list(array.shape)) != (dtype, shape):
        raise ValueError(
            f"{file} holds {array.dtype} {list(array.shape)}; {INDEX} says {dtype} {shape}; write the pack again"
        )
    return array
