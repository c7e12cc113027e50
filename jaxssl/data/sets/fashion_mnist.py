"""Fashion-MNIST: the whole (70,000 images, from files), and a balanced part that comes with the package.

Source: Xiao, Rasul, Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms, 2017, arXiv:1708.07747, https://arxiv.org/abs/1708.07747. Copyright Zalando SE, MIT licence.
"""

import gzip
import io
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxssl.data.reading import MAX_FILE_MB, check_size, read_bytes
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
FILES = {
    "train_image": "train-images-idx3-ubyte",
    "train_label": "train-labels-idx1-ubyte",
    "test_image": "t10k-images-idx3-ubyte",
    "test_label": "t10k-labels-idx1-ubyte",
}
VARIABLE = "FASHION_MNIST_DIR"
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"


def fashion_mnist(*, path: str | None = None, max_file_mb: float = MAX_FILE_MB) -> Splits:
    """The official 60,000 training and 10,000 test images, uint8 [28, 28, 1], ten classes.

    Read from the four idx files (gzipped or not) in `path`; without `path` in the folder that the environment
    variable FASHION_MNIST_DIR names, else in /usr/share/datasets/fashion-mnist, else by TensorFlow Datasets.

    Args:
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError: listing the places.
      ValueError: naming a file that is missing or damaged.
    """
    folder = _folder(path)
    data = _from_tensorflow_datasets() if folder is None else read_folder(folder, max_file_mb)
    return official_splits(data)


def read_folder(folder: str | Path, max_file_mb: float = MAX_FILE_MB) -> dict[str, np.ndarray]:
    """The four idx files of a folder: {train,test}_image uint8 [N, 28, 28], {train,test}_label uint8 [N]."""
    ndim = lambda key: 3 if key.endswith("image") else 1
    return {key: _read_idx(_file(folder, name), ndim(key), max_file_mb) for key, name in FILES.items()}


def official_splits(data: Mapping[str, np.ndarray]) -> Splits:
    """The published training and test part, from `train_image`, `train_label`, `test_image`, `test_label`."""
    train, test = (
        from_arrays(
            {"image": data[f"{part}_image"], "label": data[f"{part}_label"]},
            class_names=CLASS_NAMES,
            where=f"Fashion-MNIST {part}",
        )
        for part in ("train", "test")
    )
    return Splits(train, test)


def _folder(path):
    """The folder to read, or None when no folder was named and the usual one does not exist."""
    named = path or os.environ.get(VARIABLE)
    if not named:
        return DEBIAN_FOLDER if os.path.isdir(DEBIAN_FOLDER) else None
    if not os.path.isdir(named):
        said = "option `path`" if path else f"environment variable {VARIABLE}"
        raise FileNotFoundError(f"{said} names {shown(named)}, which is not a folder; {_what_is_right()}")
    return named


def _what_is_right():
    return f"a folder with the four files {', '.join(FILES.values())} (each may end in .gz) would be right"


def _file(folder, name):
    for file in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if file.exists():
            return file
    raise ValueError(f"{shown(folder)} has no file {name} or {name}.gz; {_what_is_right()}")


def _read_idx(path, ndim, max_file_mb):
    """An idx file: 00 00 08 <ndim>, then ndim big-endian sizes, then the bytes."""
    data, file = read_bytes(path, max_file_mb), shown(path)
    if path.suffix == ".gz":
        try:
            with gzip.open(io.BytesIO(data)) as packed:
                # At most 1,000 times as large, which is all that this packing can do; `+ 1` shows that there is more.
                data = packed.read(min(int(max_file_mb * 2**20), 1100 * len(data) + 2**16) + 1)
        except Exception as error:  # damaged streams fail in many ways
            raise ValueError(f"{file} is damaged or truncated: {error}") from error
        check_size(len(data), max_file_mb, f"what {file} unpacks to")
    if data[:4] != bytes([0, 0, 8, ndim]):
        raise ValueError(
            f"{file} begins with {data[:4].hex(' ') or 'nothing'}; "
            f"an idx file of {ndim}-dimensional bytes begins with 00 00 08 0{ndim}"
        )
    header = 4 + 4 * ndim
    shape = tuple(np.frombuffer(data[4:header].ljust(4 * ndim, b"\0"), ">u4").tolist())
    if len(data) - header != math.prod(shape):
        raise ValueError(f"{file} is truncated or too long: {len(data) - header} bytes for an array {shape}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _from_tensorflow_datasets():
    try:
        import tensorflow_datasets

        builder = tensorflow_datasets.builder("fashion_mnist")
        builder.download_and_prepare()
        parts = {
            part: tensorflow_datasets.as_numpy(builder.as_dataset(split=part, batch_size=-1))
            for part in ("train", "test")
        }
    except Exception as error:  # not installed, no network, disk full: the user needs the list
        raise FileNotFoundError(
            f"Fashion-MNIST was not found. Looked for: option `path` (not given); environment variable "
            f"{VARIABLE} (not set); {DEBIAN_FOLDER} (no such folder; apt install dataset-fashion-mnist); "
            f"TensorFlow Datasets ({type(error).__name__}: {error}). {_what_is_right()}. "
            "data.sets.fashion_mnist_12k comes with the package and needs no files."
        ) from error
    return {f"{part}_{key}": value[key] for part, value in parts.items() for key in ("image", "label")}
