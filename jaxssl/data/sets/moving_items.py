"""Generated videos, in which garments move in known ways."""

import numpy as np

from jaxssl.data.sets.fashion_mnist import CLASS_NAMES
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "generated motions"

# (to the right, down, clockwise, growing) of each motion, and how high it bounces.
_DIAGONAL = 0.5**0.5
MOTIONS = {
    "right": (1, 0, 0, 0, 0),
    "down right": (_DIAGONAL, _DIAGONAL, 0, 0, 0),
    "down": (0, 1, 0, 0, 0),
    "down left": (-_DIAGONAL, _DIAGONAL, 0, 0, 0),
    "left": (-1, 0, 0, 0, 0),
    "up left": (-_DIAGONAL, -_DIAGONAL, 0, 0, 0),
    "up": (0, -1, 0, 0, 0),
    "up right": (_DIAGONAL, -_DIAGONAL, 0, 0, 0),
    "clockwise": (0, 0, 1, 0, 0),
    "anticlockwise": (0, 0, -1, 0, 0),
    "growing": (0, 0, 0, 1, 0),
    "shrinking": (0, 0, 0, -1, 0),
    "bouncing": (0, 0, 0, 0, 1),
}
DIRECTIONS = tuple(MOTIONS)[:8]
DEFAULT_MOTIONS = ("right", "down", "left", "up", "clockwise", "anticlockwise", "growing", "shrinking", "bouncing")


def moving_items(
    *,
    train: int = 2000,
    test: int = 400,
    frames: int = 24,
    size: int = 32,
    motions: tuple[str, ...] = DEFAULT_MOTIONS,
    label: str = "motion",
    change: bool = False,
    noise: float = 0.03,
    seed: int = 0,
) -> Splits:
    """Bundled Fashion-MNIST items that move over a small canvas: `video` uint8 [N, frames, size, size, 1].

    One item a video, half as large as the canvas, with one motion: along a line (what leaves on one side comes back
    on the other), turning, growing, shrinking or bouncing. Place, speed, size and angle differ from video to video, and are
    spread alike for all motions, so that no single frame tells the motion. Beside `label` there are `item` (the ten
    classes) and `motion`. Training videos show training items, test videos test items. The same options give the same
    arrays.

    Args:
      train, test: number of videos, motions and items balanced.
      frames, size: T, and height = width of the canvas.
      motions: names of MOTIONS; `label` counts in this order.
      label: 'motion' or 'item'.
      change: at half time every video goes over to another of the motions, `motion_after`; `motion` is the first.
      noise: standard deviation of the noise on every pixel, the full range being 1.
      seed: of all that is drawn.

    Raises:
      ValueError: naming the option.
    """
    motions = tuple(motions)
    for name, count in (("train", train), ("test", test)):
        if not isinstance(count, int) or not 1 <= count <= dict(train=10_000, test=2_000)[name]:
            raise ValueError(f"data.{name}={count!r}: must be a whole number from 1 to the number of bundled items.")
    if frames < 2 or size < 8:
        raise ValueError(f"data.frames={frames}, data.size={size}: must be at least 2 frames, and at least 8 pixels.")
    unknown = sorted(set(motions) - set(MOTIONS))
    if unknown or len(set(motions)) != len(motions) or len(motions) < 2:
        raise ValueError(f"data.motions={motions}: two or more different names of {tuple(MOTIONS)} would be right.")
    if label not in ("motion", "item"):
        raise ValueError(f"data.label={label!r}: 'motion' or 'item' would be right.")
    if not 0 <= noise < 1:
        raise ValueError(f"data.noise={noise}: must be in [0, 1).")
    names = motions if label == "motion" else CLASS_NAMES
    parts = []
    for i, (source, count) in enumerate(zip(fashion_mnist_12k(), (train, test))):
        made = _move(np.random.default_rng([seed, i]), source.arrays, count, frames, size, motions, change, noise)
        parts.append(from_arrays({**made, "label": made[label]}, class_names=names, where="moving_items"))
    return Splits(*parts)


def _move(random, items, count, frames, size, motions, change, noise):
    """`video`, `item` and `motion` of `count` videos, each of another item."""
    # Equally many of each class, in random order; no item twice.
    order = random.permutation(len(items["label"]))
    rank = np.zeros(len(order), int)
    for c in range(len(CLASS_NAMES)):
        mine = order[items["label"][order] == c]
        rank[mine] = np.arange(len(mine))
    rows = random.permutation(np.argsort(rank * len(CLASS_NAMES) + items["label"], kind="stable")[:count])
    motion = random.permutation(np.arange(count) % len(motions))
    after = (motion + random.integers(1, len(motions), count)) % len(motions) if change else motion
    table = np.array([MOTIONS[name] for name in motions])
    # Time runs from -1 to 1 around the middle: there place, angle and size have the same spread for all motions.
    clock = np.linspace(-1, 1, frames)
    half = (frames - 1) / 2
    now = np.where((clock < 0)[:, None, None], table[motion], table[after])  # [T, N, 5]
    speed = random.uniform(0.7, 1.3, count) * half * size / 32
    spin = np.deg2rad(random.uniform(4, 8, count)) * half
    growth = random.uniform(0.3, 0.5, count)
    period, phase = random.uniform(10, 16, count) / half, random.uniform(0, np.pi, count)
    jump = np.abs(np.sin(np.pi * clock[:, None] / period + phase)) - 2 / np.pi
    x = size * random.uniform(size=count) + clock[:, None] * speed * now[..., 0]
    y = size * random.uniform(size=count) + clock[:, None] * speed * now[..., 1] - size / 3 * jump * now[..., 4]
    angle = random.normal(0, 0.2, count) + clock[:, None] * spin * now[..., 2]
    scale = size / 56 * np.exp(random.uniform(-0.2, 0.2, count) + clock[:, None] * growth * now[..., 3])
    # Smoothed once, because it is then seen at about half its size; with an empty edge.
    image = np.pad(items["image"][rows, :, :, 0], ((0, 0), (3, 3), (3, 3))).astype(np.float32)
    image = (image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]) / 4
    image = (image[:, :, :-2] + 2 * image[:, :, 1:-1] + image[:, :, 2:]) / 4
    video = np.empty((count, frames, size, size, 1), np.uint8)
    for t in range(frames):
        frame = _draw(image, x[t], y[t], angle[t], scale[t], size)
        frame += 255 * noise * random.standard_normal(frame.shape, np.float32)
        video[:, t, :, :, 0] = np.clip(np.rint(frame), 0, 255)
    made = dict(video=video, item=items["label"][rows].astype(np.int32), motion=motion.astype(np.int32))
    return made | ({"motion_after": after.astype(np.int32)} if change else {})


def _draw(image, x, y, angle, scale, size):
    """Images [N, h, w] with an empty edge, at places x, y, turned and scaled, on a canvas without borders: [N, size, size]."""
    count, side = image.shape[:2]
    # Every canvas pixel shows what lies at its place in the image; distances go the shorter way round.
    pixel = np.arange(size) + 0.5
    dx = ((pixel - x[:, None] + size / 2) % size - size / 2).astype(np.float32)[:, None, :]
    dy = ((pixel - y[:, None] + size / 2) % size - size / 2).astype(np.float32)[:, :, None]
    cosine, sine = ((f(angle) / scale).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    u = cosine * dx + sine * dy + (side - 1) / 2
    v = cosine * dy - sine * dx + (side - 1) / 2
    inside = (u >= 0) & (v >= 0) & (u < side - 1) & (v < side - 1)
    row, i, j = np.nonzero(inside)
    u, v = u[row, i, j], v[row, i, j]
    left, top = u.astype(np.int32), v.astype(np.int32)
    u, v = u - left, v - top
    flat = image.reshape(-1)
    at = (row * side + top) * side + left
    upper = flat[at] * (1 - u) + flat[at + 1] * u
    lower = flat[at + side] * (1 - u) + flat[at + side + 1] * u
    canvas = np.zeros((count, size, size), np.float32)
    canvas[row, i, j] = upper * (1 - v) + lower * v
    return canvas
