"""Images that lie in one .npz file. For arrays that lie in memory: jaxssl.data.source.from_arrays."""

import dataclasses

from jaxssl.data.readers.npz import load_parts
from jaxssl.data.reading import MAX_FILE_MB
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown


def arrays(*, path: str, max_file_mb: float = MAX_FILE_MB) -> Splits:
    """Images, and labels if there are any, from a NumPy .npz file.

    The file holds `image` uint8 [N, H, W, C] or [N, H, W] and perhaps `label` int [N]; or `train_image`,
    `train_label`, `test_image`, `test_label`, of which only `train_image` must be there.
    An array `class_names` (strings) may name the classes. Without `test_image` there is no test source.

    Args:
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError, TypeError: naming the file and what does not fit.
    """
    data, prefixes, class_names = load_parts(path, ("image", "label"), max_file_mb)
    path = shown(path)
    train = _source(data, prefixes[0], class_names, path)
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
