"""The bundled motions of a watch."""

import numpy as np

from jaxssl.data.reading import FILES_FOLDER
from jaxssl.data.source import Splits, from_arrays

MOTIONS_FILE = FILES_FOLDER / "basic_motions.npz"


def basic_motions() -> Splits:
    """40 training and 40 test series [100, 6] of four motions: 10 s of a watch's accelerometer and gyroscope at 10 Hz.

    Channels 0 ... 2 are the accelerometer, 3 ... 5 the gyroscope. Ten series of each class in each part; the split is
    that of the archive.

    Source: Clements (University of East Anglia); Bagnall et al., The UEA multivariate time series classification
    archive, 2018, arXiv:1811.00075, https://arxiv.org/abs/1811.00075
    """
    with np.load(MOTIONS_FILE) as file:
        data = dict(file)
    names = [str(name) for name in data["class_names"]]
    parts = (
        from_arrays(
            {"series": data[f"{part}_x"], "label": data[f"{part}_label"]},
            class_names=names,
            where=f"BasicMotions {part}",
        )
        for part in ("train", "test")
    )
    return Splits(*parts)
