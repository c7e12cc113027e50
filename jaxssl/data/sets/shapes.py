"""Solids as triangles, and points drawn on them, for `data.sets.solids`. NumPy only."""

from collections.abc import Sequence

import numpy as np


def lathe(profile: Sequence | np.ndarray, sides: int) -> np.ndarray:
    """A surface of revolution: triangles float [F, 3, 3] of a profile [(radius, height), ...] turned about the z axis.

    Args:
      sides: corners of the cross-section; 3 gives a prism or pyramid, 4 a box, 24 a round solid.
    """
    profile = np.asarray(profile, np.float64)
    angle = 2 * np.pi * (np.arange(sides + 1) + 0.5) / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    height = np.broadcast_to(profile[:, None, 1:], (len(profile), sides + 1, 1))
    grid = np.concatenate([profile[:, None, :1] * ring, height], axis=-1)
    corners = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    faces = [np.stack([corners[i] for i in three], axis=2).reshape(-1, 3, 3) for three in ((0, 1, 2), (0, 2, 3))]
    return np.concatenate(faces)


def rod(radius: float, height: float, *, top: float | None = None, sides: int = 24) -> np.ndarray:
    """A closed rod along z about the origin; `top`: radius at its upper end, 0 for a cone or pyramid."""
    end = radius if top is None else top
    return lathe([(0, -height / 2), (radius, -height / 2), (end, height / 2), (0, height / 2)], sides)


def box(x: float, y: float, z: float) -> np.ndarray:
    """A box of these edges about the origin."""
    return rod(np.sqrt(0.5), 1, sides=4) * np.array([x, y, z])


def ring(radius: float, thickness: float, *, sides: int = 24) -> np.ndarray:
    """A torus about the z axis."""
    angle = np.linspace(0, 2 * np.pi, 13)
    return lathe(np.stack([radius + thickness * np.cos(angle), thickness * np.sin(angle)], axis=-1), sides)


def ellipsoid(x: float, y: float, z: float) -> np.ndarray:
    """An ellipsoid of these radii about the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 13)
    profile = np.stack([np.cos(angle).clip(0), np.sin(angle)], axis=-1)
    return lathe(profile, 24) * np.array([x, y, z])


def at(part: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """The part, moved."""
    return part + np.array([x, y, z])


def _legs(random, across, along, height, thick):
    x, y = across / 2 - thick, along / 2 - thick
    leg = box(thick, thick, height)
    return np.concatenate([at(leg, sx * x, sy * y, -height / 2) for sx in (-1, 1) for sy in (-1, 1)])


def _table(random):
    across, along, height = random.uniform(0.8, 1.4), random.uniform(0.8, 1.4), random.uniform(0.6, 1.0)
    return [box(across, along, 0.08), _legs(random, across, along, height, random.uniform(0.06, 0.12))]


def _chair(random):
    across, along, height = random.uniform(0.6, 0.9), random.uniform(0.6, 0.9), random.uniform(0.5, 0.8)
    back = random.uniform(0.5, 0.9)
    seat, legs = box(across, along, 0.08), _legs(random, across, along, height, random.uniform(0.06, 0.1))
    return [seat, legs, at(box(across, 0.08, back), y=along / 2 - 0.04, z=back / 2)]


def _stool(random):
    radius, height = random.uniform(0.35, 0.55), random.uniform(0.7, 1.1)
    seat, foot = rod(radius, 0.1), rod(radius * random.uniform(0.7, 1.0), 0.06)
    return [seat, at(rod(0.06, height), z=-height / 2), at(foot, z=-height)]


def _mug(random):
    radius, height = random.uniform(0.35, 0.5), random.uniform(0.8, 1.2)
    # The wall is open at the top, and one can see its inner side.
    wall = lathe([(0, -height / 2), (radius, -height / 2), (radius, height / 2), (0.9 * radius, height / 2)], 24)
    inner = lathe([(0.9 * radius, height / 2), (0.9 * radius, -0.4 * height), (0, -0.4 * height)], 24)
    handle = ring(random.uniform(0.2, 0.3), 0.05)[:, :, [0, 2, 1]]
    return [np.concatenate([wall, inner]), at(handle, x=radius + 0.1)]


def _bottle(random):
    body, neck, height = random.uniform(0.25, 0.4), random.uniform(0.08, 0.14), random.uniform(0.8, 1.2)
    shoulder = height * random.uniform(0.15, 0.3)
    profile = [(0, -height / 2), (body, -height / 2), (body, height / 2), (neck, height / 2 + shoulder)]
    top = height / 2 + shoulder + 0.15
    return [lathe(profile, 24), at(rod(neck, 0.3), z=top)]


def _lamp(random):
    radius, height = random.uniform(0.3, 0.5), random.uniform(0.8, 1.2)
    shade = lathe([(radius, 0), (radius * random.uniform(0.3, 0.7), random.uniform(0.3, 0.5))], 24)
    return [at(rod(radius * random.uniform(0.6, 0.9), 0.08), z=-height), at(rod(0.05, height), z=-height / 2), shade]


def _dumbbell(random):
    radius, length = random.uniform(0.25, 0.4), random.uniform(0.6, 1.0)
    bar = rod(random.uniform(0.06, 0.1), length)
    ball = ellipsoid(radius, radius, radius)
    return [bar, np.concatenate([at(ball, z=length / 2 + radius), at(ball, z=-length / 2 - radius)])]


def _hammer(random):
    length, head = random.uniform(0.9, 1.3), random.uniform(0.5, 0.8)
    size = random.uniform(0.18, 0.28)
    return [rod(random.uniform(0.05, 0.09), length), at(box(head, size, size), z=length / 2)]


# Each makes its parts, a list of triangles float [F, 3, 3], from a random generator.
SOLIDS = {
    "ellipsoid": lambda r: [ellipsoid(1, r.uniform(0.7, 1.0), r.uniform(0.5, 1.0))],
    "box": lambda r: [box(1, r.uniform(0.6, 1.0), r.uniform(0.6, 1.4))],
    "cylinder": lambda r: [rod(0.5, r.uniform(0.7, 1.6))],
    "cone": lambda r: [rod(0.6, r.uniform(0.8, 1.5), top=0)],
    "torus": lambda r: [ring(0.6, r.uniform(0.15, 0.3))],
    "pyramid": lambda r: [rod(0.7, r.uniform(0.8, 1.5), top=0, sides=4)],
    "prism": lambda r: [rod(0.7, r.uniform(0.7, 1.6), sides=3)],
    "table": _table,
    "chair": _chair,
    "stool": _stool,
    "mug": _mug,
    "bottle": _bottle,
    "lamp": _lamp,
    "dumbbell": _dumbbell,
    "hammer": _hammer,
}


def sample_surface(random: np.random.Generator, triangles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(points [count, 3], triangle of each [count]): uniform over the area of triangles [F, 3, 3].

    Raises:
      ValueError: where there is no area.
    """
    a, b, c = np.moveaxis(np.asarray(triangles, np.float64), 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    if not np.isfinite(area).all() or not area.sum() > 0:
        raise ValueError("the surface has no area")
    total = np.cumsum(area)
    chosen = np.minimum(np.searchsorted(total, random.random(count) * total[-1], side="right"), len(area) - 1)
    # Of the parallelogram over two edges, the outer half is folded back into the triangle.
    u, v = random.random((2, count))
    outside = u + v > 1
    u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
    a, b, c = a[chosen], b[chosen], c[chosen]
    return a + u[:, None] * (b - a) + v[:, None] * (c - a), chosen


def unit_sphere(x: np.ndarray) -> np.ndarray:
    """A cloud [P, 3] with its mean at the origin and its farthest point at distance 1."""
    x = x - x.mean(0)
    return x / max(np.linalg.norm(x, axis=1).max(), 1e-12)
