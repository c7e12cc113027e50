"""Images that lie in one .npz file. For arrays that lie in memory: jaxssl.data.source.from_arrays."""

import dataclasses
import zlib
from zipfile import BadZipFile

import numpy as np

from jaxssl.data.source import Splits, from_arrays


def arrays(*, path: str) -> Splits:
    """Images, and labels if there are any, from a NumPy .npz file.

    The file holds `image` uint8 [N, H, W, C] or [N, H, W] and perhaps `label` int [N]; or `train_image`,
    `train_label`, `test_image`, `test_label`, of which only `train_image` must be there.
    An array `class_names` (strings) may name the classes. Without `test_image` there is no test source.
    Raises: FileNotFoundError; ValueError or TypeError naming the file and what does not fit.
    """
    data = _load(path)
    known = {"image", "label", "train_image", "train_label", "test_image", "test_label", "class_names"}
    if ("image" in data) == ("train_image" in data):
        raise ValueError(f"{path} holds the arrays {sorted(data)}; either `image` or `train_image` must be among them")
    if "image" in data and "test_image" in data:
        raise ValueError(f"{path} holds `image` and `test_image`; call the first one `train_image`")
    if data.keys() - known:
        raise ValueError(f"{path} holds unknown arrays {sorted(data.keys() - known)}; known are {sorted(known)}")
    class_names = [str(name) for name in data["class_names"]] if "class_names" in data else None
    train = _source(data, "" if "image" in data else "train_", class_names, path)
    if "test_image" not in data:
        return Splits(train)
    test = _source(data, "test_", class_names, path)
    if train.arrays["image"].shape[1:] != test.arrays["image"].shape[1:]:
        raise ValueError(
            f"{path}: training images are {train.arrays['image'].shape[1:]} but test images are "
            f"{test.arrays['image'].shape[1:]}"
        )
    if train.has_labels and test.has_labels:  # a class may be absent from one of them
        count = max(train.num_classes, test.num_classes)
        train, test = (dataclasses.replace(part, num_classes=count) for part in (train, test))
    return Splits(train, test)


def _source(data, prefix, class_names, path):
    part = {key: data[prefix + key] for key in ("image", "label") if prefix + key in data}
    return from_arrays(part, class_names=class_names, where=f"{path} ({prefix}image)")


def _load(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist; option `path` must name a .npz file") from None
    except (OSError, EOFError, ValueError, AttributeError, TypeError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as a .npz file of plain arrays: {error}") from error
