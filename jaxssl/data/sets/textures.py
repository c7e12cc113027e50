"""Generated textures, the backgrounds of `data.sets.scenes`. NumPy only."""

import numpy as np


def _turned(random, size):
    """Coordinates [2, s, s] in pixels, turned by a random angle and shifted."""
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32) + random.uniform(0, size, (2, 1, 1)).astype(np.float32)
    return np.stack([np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x])


def _grating(random, size):
    """Two waves across each other."""
    waves = [np.sin(2 * np.pi * _turned(random, size)[0] / random.uniform(5, 24)) for _ in range(2)]
    return waves[0] + random.uniform(0, 1) * waves[1]


def _checks(random, size):
    """A board of two tones."""
    u, v = _turned(random, size) / random.uniform(5, 14, (2, 1, 1))
    return np.where((np.floor(u) + np.floor(v)) % 2 > 0, 1.0, -1.0)


def _bricks(random, size):
    """Rows of bricks with light joints, every other row shifted by half a brick."""
    u, v = _turned(random, size) / np.reshape([random.uniform(10, 20), random.uniform(5, 9)], (2, 1, 1))
    u = u + 0.5 * (np.floor(v) % 2)
    return np.where((u % 1 < 0.15) | (v % 1 < 0.2), 1.0, -0.5)


def _dots(random, size):
    """Round dots on a lattice."""
    u, v = _turned(random, size) / random.uniform(6, 14)
    return np.where((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < random.uniform(0.04, 0.14), 1.0, -0.7)


def _clouds(random, size):
    """Noise of several scales, each half as strong as the next coarser one."""
    total = np.zeros((size, size), np.float32)
    for level in range(1, 5):
        coarse = random.normal(size=(2**level + 2,) * 2)
        weights = _linear(size, coarse.shape[0])
        total += weights @ coarse @ weights.T / 2**level
    return 2 * total


def _linear(size, knots):
    """Weights [size, knots] that interpolate linearly between equally spaced knots."""
    at = np.linspace(0, knots - 1, size)[:, None] - np.arange(knots)
    return np.maximum(0, 1 - np.abs(at)).astype(np.float32)


TEXTURES = {"grating": _grating, "checks": _checks, "bricks": _bricks, "dots": _dots, "clouds": _clouds}


def texture(random: np.random.Generator, size: int, kind: str | None = None) -> np.ndarray:
    """A texture of two random colours with a little noise.

    Args:
      random: NumPy's generator.
      size: height and width s.
      kind: a name of `TEXTURES`, or None for a random one.

    Returns:
      float32 [s, s, 3] in [0, 1].
    """
    make = TEXTURES[kind or list(TEXTURES)[random.integers(len(TEXTURES))]]
    tone = np.clip(0.5 + 0.5 * make(random, size), 0, 1)[..., None]
    dark, light = random.uniform(0, 1, (2, 3))
    image = dark + (light - dark) * tone + random.normal(0, 0.02, (size, size, 1))
    return np.clip(image, 0, 1).astype(np.float32)
