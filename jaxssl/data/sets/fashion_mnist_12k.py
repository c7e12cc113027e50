"""The balanced part of Fashion-MNIST that comes with the package."""

import numpy as np

from jaxssl.data.reading import FILES_FOLDER
from jaxssl.data.sets.fashion_mnist import FILES, official_splits
from jaxssl.data.source import Splits
from jaxssl.data.splits import first_of_each_class

PART_FILE = FILES_FOLDER / "fashion_mnist_12k.npz"


def fashion_mnist_12k(*, limit: int | None = None) -> Splits:
    """10,000 training and 2,000 test images, uint8 [28, 28, 1], 1,000 and 200 of each class; no download.

    Drawn with a fixed seed from the official training and test files (tools/make_fashion_mnist_12k.py).
    `index` counts within this part; the file keeps the official row of each image as train_index, test_index.

    Args:
      limit: number of training images, and a fifth as many test images, balanced (a multiple of 50).
    """
    with np.load(PART_FILE) as file:
        data = {key: file[key] for key in FILES}
    if limit is None:
        return official_splits(data)
    if limit % 50 or not 50 <= limit <= 10_000:
        raise ValueError(f"data.limit={limit}: must be a multiple of 50 in 50 .. 10000.")
    kept = {
        "train": first_of_each_class(data["train_label"], limit // 10),
        "test": first_of_each_class(data["test_label"], limit // 50),
    }
    return official_splits({key: value[kept[key.split("_")[0]]] for key, value in data.items()})
