"""Generated clouds of solids with known classes and parts."""

import numpy as np

from jaxssl.data.readers.points import check_num_points
from jaxssl.data.sets.shapes import SOLIDS, sample_surface, unit_sphere
from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "generated data"

CLASSES = tuple(SOLIDS)


def solids(
    *,
    train: int = 3000,
    test: int = 750,
    num_points: int = 256,
    noise: float = 0.03,
    visible: float = 0.6,
    outliers: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Generated clouds of 15 classes, as a scanner sees things: `points` [N, P, 3], `part` int8 [N, P], `label`.

    A solid is drawn with random proportions, stretched along each axis by up to a third, turned about the vertical
    axis, and seen from one random side: of points uniform on its surface only the nearest ones remain. The surface is
    that of all parts, inner ones too; nothing hides behind another thing. The same options give the same arrays.

    Args:
      train, test: number of clouds.
      num_points: P.
      noise: standard deviation of every coordinate, in a cloud that fills the unit sphere.
      visible: share of the points nearest to the viewer that remain; 1 for all.
      outliers: share of points that lie anywhere in the cube around the cloud; their part is -1.
      seed: of everything.
    """
    for name, count in (("train", train), ("test", test)):
        if count < len(CLASSES):
            raise ValueError(f"data.{name}={count}: must be at least {len(CLASSES)}, one cloud of each class.")
    check_num_points(num_points)
    for name, value in (("visible", visible), ("outliers", outliers)):
        if not 0 <= value <= 1 or name == "visible" and not value:
            raise ValueError(f"data.{name}={value}: must be a share, from 0 to 1.")
    if not noise >= 0:
        raise ValueError(f"data.noise={noise}: must be at least 0.")
    options = dict(num_points=num_points, noise=noise, visible=visible, outliers=outliers)
    parts = (_solids(np.random.default_rng([seed, i]), count, **options) for i, count in enumerate((train, test)))
    return Splits(*(from_arrays(part, class_names=CLASSES, where="solids") for part in parts))


def _solids(random, count, *, num_points, noise, visible, outliers):
    """`points`, `part` and `label` of `count` clouds."""
    label = random.permutation(np.arange(count) % len(CLASSES))
    points = np.empty((count, num_points, 3), np.float32)
    part = np.empty((count, num_points), np.int8)
    for n in range(count):
        parts = SOLIDS[CLASSES[label[n]]](random)
        number = np.repeat(np.arange(len(parts)), [len(triangles) for triangles in parts])
        triangles = np.concatenate(parts) * np.exp(random.uniform(-0.3, 0.3, 3))
        angle = random.uniform(0, 2 * np.pi)
        x, chosen = sample_surface(random, triangles @ about_vertical(angle).T, int(np.ceil(num_points / visible)))
        side = random.normal(size=3)
        # Random among those seen, so that the order of the points says nothing.
        seen = random.permutation(np.argsort(-(x @ side))[:num_points])
        x = unit_sphere(x[seen]) + noise * random.normal(size=(num_points, 3))
        stray = random.random(num_points) < outliers
        points[n] = np.where(stray[:, None], random.uniform(-1, 1, x.shape), x)
        part[n] = np.where(stray, -1, number[chosen[seen]])
    return {"points": points, "part": part, "label": label}


def about_vertical(angle: float) -> np.ndarray:
    """The matrix that turns by an angle about the third axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
