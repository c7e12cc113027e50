"""Makes jaxssl/data/files/fashion_mnist_12k.npz: 1,000 training and 200 test images of each class.

    python tools/make_fashion_mnist_12k.py [FOLDER WITH THE FOUR IDX FILES]

Training images come from the official training file, test images from the official test file. The rows of the
official files are kept as train_index and test_index, in rising order.
"""

import sys

import numpy as np

from jaxssl.data.sets.fashion_mnist import DEBIAN_FOLDER, read_folder
from jaxssl.data.sets.fashion_mnist_12k import PART_FILE

SEED = 12
PER_CLASS = {"train": 1000, "test": 200}


def main(folder: str = DEBIAN_FOLDER) -> None:
    """Writes the file from the four official files in a folder."""
    data = read_folder(folder)
    random = np.random.default_rng(SEED)
    part = {}
    for split, count in PER_CLASS.items():
        label = data[f"{split}_label"]
        rows = np.sort(
            np.concatenate([random.choice(np.flatnonzero(label == c), count, replace=False) for c in range(10)])
        )
        part[f"{split}_image"] = data[f"{split}_image"][rows]
        part[f"{split}_label"] = label[rows]
        part[f"{split}_index"] = rows.astype(np.int32)
    PART_FILE.parent.mkdir(exist_ok=True)
    np.savez_compressed(PART_FILE, **part)
    print(f"{PART_FILE}: {PART_FILE.stat().st_size} bytes, { ({k: v.shape for k, v in part.items()}) }")


if __name__ == "__main__":
    main(*sys.argv[1:])
