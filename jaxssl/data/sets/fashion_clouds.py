"""Images of Fashion-MNIST, raised to clouds of points."""

import numpy as np

from jaxssl.data.readers.points import check_num_points
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "clouds made from images"


def fashion_clouds(*, limit: int | None = 5000, num_points: int = 256, seed: int = 0) -> Splits:
    """Images of Fashion-MNIST as clouds: `points` [N, P, 3], 5,000 for training and 1,000 for testing, ten classes.

    A point is a pixel, drawn with replacement in proportion to its brightness, at a random place in its square; its
    depth is 0.3 of its brightness. The axes are right, depth, up, and the image is 2 wide and high.

    Args:
      limit: number of training images of the bundled part, with a fifth as many test images; None for all 10,000.
      num_points: P.
      seed: of the draw of pixels.

    Source: Xiao, Rasul, Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747, https://arxiv.org/abs/1708.07747
    """
    check_num_points(num_points)
    made = []
    for i, source in enumerate(fashion_mnist_12k(limit=limit)):
        random, image = np.random.default_rng([seed, i]), source.arrays["image"][..., 0] / 255
        clouds = np.stack([_raised(random, picture, num_points) for picture in image])
        arrays = {"points": clouds, "label": source.arrays["label"]}
        made.append(from_arrays(arrays, class_names=source.class_names, where="fashion_clouds"))
    return Splits(*made)


def _raised(random, image, count):
    """A picture [H, W] in 0 ... 1 as points [count, 3]."""
    share = np.cumsum(image.ravel())
    pixel = np.minimum(np.searchsorted(share, random.random(count) * share[-1], side="right"), image.size - 1)
    row, column = np.divmod(pixel, image.shape[1])
    place = np.stack([column, image.shape[0] - 1 - row], axis=-1) + random.random((count, 2))
    place = 2 * place / np.array([image.shape[1], image.shape[0]]) - 1
    return np.float32(np.stack([place[:, 0], 0.3 * image.ravel()[pixel], place[:, 1]], axis=-1))
