"""Small image folders made by Pillow."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def save_images():
    """save_images(folder, names): smooth 40 x 30 images, each of its own colours."""

    def save(folder, names):
        for i, name in enumerate(names):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(i).save(file)
        return folder

    return save


def picture(i, size=(40, 30)):
    small = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
