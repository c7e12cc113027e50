"""Scenes with known masks: items of Fashion-MNIST, tinted and scaled, before generated textures; no download."""

import dataclasses

import numpy as np
from scipy import ndimage

from jaxssl.data.sets.fashion_mnist import CLASS_NAMES
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.sets.textures import texture
from jaxssl.data.source import Source, Splits, from_arrays

TRAIN, TEST = 4000, 800
# Grey values up to here are the empty ground of an item's own image.
GROUND = 24


def scenes(
    *,
    size: int = 64,
    items: tuple[int, int] = (3, 6),
    item_size: tuple[int, int] = (20, 32),
    limit: int | None = None,
    seed: int = 0,
    background: str = "textures",
) -> Splits:
    """Colour images of a few items each, with the class and the number of the item at every pixel.

    4,000 training and 800 test scenes: uint8 images [s, s, 3] of items of the bundled Fashion-MNIST, training items in
    training scenes and test items in test scenes. An item has a random tint, size and place; a later one hides what is
    behind it. Colour says nothing of the class.

    Beside `image` the arrays are `segmentation` uint8 [N, s, s] (0 = background, 1 + class) and `instance` uint8
    [N, s, s] (0 = background, 1, 2, ... = items from back to front), which only evaluators read, and `label`, the class
    that covers most pixels.

    Args:
      size: height and width s in pixels.
      items: least and largest number of items in a scene.
      item_size: least and largest height and width of an item in pixels, at most `size`.
      limit: the number of training scenes, at least 10, with a fifth as many test scenes.
      seed: another one gives other scenes of the same items.
      background: 'textures', or 'plain' for one colour in each scene.

    Raises:
      ValueError: an option out of range.
    """
    _check(size, items, item_size, limit, background)
    counts = dict(train=TRAIN, test=TEST) if limit is None else dict(train=limit, test=limit // 5)
    parts = fashion_mnist_12k()
    draw = lambda part, source: _drawn(source, (seed, part), counts[part], size, items, item_size, background)
    return Splits(*(draw(part, getattr(parts, part)) for part in ("train", "test")))


def _drawn(source, seed, count, size, items, item_size, background) -> Source:
    random = np.random.default_rng([seed[0], ("train", "test").index(seed[1])])
    image = np.empty((count, size, size, 3), np.uint8)
    segmentation, instance = np.zeros((2, count, size, size), np.uint8)
    for n in range(count):
        scene = texture(random, size) if background == "textures" else np.full((size, size, 3), random.uniform(0, 1, 3))
        for i in range(random.integers(items[0], items[1] + 1)):
            row = random.integers(source.size)
            grey, alpha = _resized(
                source.arrays["image"][row, :, :, 0], random.integers(item_size[0], item_size[1] + 1)
            )
            y, x = random.integers(0, size - len(grey) + 1, 2)
            at = (slice(y, y + len(grey)), slice(x, x + len(grey)))
            tint = random.uniform(0.2, 1, 3)
            scene[at] += alpha[..., None] * (tint * (0.25 + 0.75 * grey[..., None]) - scene[at])
            segmentation[n][at][alpha > 0.5] = 1 + source.arrays["label"][row]
            instance[n][at][alpha > 0.5] = 1 + i
        image[n] = np.round(255 * np.clip(scene, 0, 1))
    area = np.stack([(segmentation == 1 + c).sum((1, 2)) for c in range(len(CLASS_NAMES))], axis=1)
    arrays = dict(image=image, segmentation=segmentation, instance=instance, label=area.argmax(1))
    drawn = from_arrays(arrays, class_names=CLASS_NAMES, where=f"scenes {seed[1]}")
    names = {"segmentation_names": np.array(["background", *CLASS_NAMES])}
    return dataclasses.replace(drawn, extra=names, withheld=(*drawn.withheld, "segmentation", "instance"))


def _resized(grey, side):
    """(grey values, opacity), both float [side, side] in [0, 1], of an item's image uint8 [28, 28]."""
    solid = ndimage.binary_fill_holes(grey > GROUND)
    at = (np.arange(side) + 0.5) * len(grey) / side - 0.5
    weights = np.maximum(0, 1 - np.abs(at.clip(0, len(grey) - 1)[:, None] - np.arange(len(grey))))
    return weights @ (grey / 255) @ weights.T, weights @ solid.astype(float) @ weights.T


def _check(size, items, item_size, limit, background):
    if size < 1:
        raise ValueError(f"data.size={size}: must be at least 1 pixel.")
    if not 1 <= items[0] <= items[1] <= 254:
        raise ValueError(f"data.items={items}: must be (least, largest) in 1 ... 254.")
    if not 1 <= item_size[0] <= item_size[1] <= size:
        raise ValueError(f"data.item_size={item_size}: must be (least, largest) in 1 ... {size}, the scene's size.")
    if limit is not None and not 10 <= limit <= TRAIN:
        raise ValueError(f"data.limit={limit}: must be in 10 ... {TRAIN}.")
    if background not in ("textures", "plain"):
        raise ValueError(f"data.background={background!r}: must be 'textures' or 'plain'.")
