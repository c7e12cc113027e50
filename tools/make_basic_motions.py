"""Makes jaxssl/data/files/basic_motions.npz from the two .ts files of BasicMotions.

    python tools/make_basic_motions.py FOLDER

FOLDER holds BasicMotions_TRAIN.ts and BasicMotions_TEST.ts, as aeon/datasets/data/BasicMotions of the package aeon 1.6.0
does, or the archive of https://www.timeseriesclassification.com/description.php?Dataset=BasicMotions.
"""

import sys
from pathlib import Path

import numpy as np

from jaxssl.data.readers.series import series
from jaxssl.data.sets.basic_motions import MOTIONS_FILE


def main(folder: str) -> None:
    """Writes the file from the two .ts files in a folder."""
    splits = series(path=str(Path(folder) / "BasicMotions_TRAIN.ts"))
    part = {"class_names": np.array(splits.train.class_names)}
    for name, source in splits.sources().items():
        part[f"{name}_x"] = source.arrays["series"]
        part[f"{name}_label"] = source.arrays["label"].astype(np.uint8)
    np.savez_compressed(MOTIONS_FILE, **part)
    print(f"{MOTIONS_FILE}: {MOTIONS_FILE.stat().st_size} bytes, { ({k: v.shape for k, v in part.items()}) }")


if __name__ == "__main__":
    main(*sys.argv[1:])
