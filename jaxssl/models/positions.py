"""Positions of tokens: fixed sine-cosine codes in one, two and three dimensions, and resampling of learned ones."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

Resampling = Literal["antialiased", "torch"]


def sincos_1d(dim: int, length: int) -> np.ndarray:
    """Fixed codes of positions t: [sin(t w), cos(t w)], w_i = 10000^(-i / (dim / 2)).

    Args:
      dim: length of a code, even.
      length: number of positions.

    Returns:
      float32 [length, dim].

    Raises:
      ValueError: if dim is odd.
    """
    if dim % 2:
        raise ValueError(f"width {dim}: fixed 1-D positions need an even width.")
    angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(dim // 2) / (dim / 2))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def sincos_2d(dim: int, grid: tuple[int, int]) -> np.ndarray:
    """Fixed sine-cosine codes of a patch grid.

    code = [sin(x w), cos(x w), sin(y w), cos(y w)], w_i = 10000^(-i / (dim / 4)), x the column, y the row.

    Args:
      dim: length of a code, divisible by 4.
      grid: (rows, columns).

    Returns:
      float32 NumPy array [rows * columns, dim], row by row.

    Raises:
      ValueError: if dim is not divisible by 4.

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
    https://arxiv.org/abs/2111.06377
    """
    if dim % 4:
        raise ValueError(f"width {dim}: fixed 2-D positions need a width divisible by 4.")
    rows, columns = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    frequencies = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    angles = [axis.reshape(-1, 1) * frequencies for axis in (columns, rows)]
    return np.concatenate([f(a) for a in angles for f in (np.sin, np.cos)], axis=1).astype(np.float32)


def sincos_3d(dim: int, grid: tuple[int, int, int]) -> np.ndarray:
    """Fixed codes of a grid (in time, rows, columns): float32 [time * rows * columns, dim], frames first.

    The first quarter of a code is that of the time, the rest that of the place (`sincos_2d`).

    Raises:
      ValueError: if dim is not divisible by 16.
    """
    if dim % 16:
        raise ValueError(f"width {dim}: fixed positions in time and space need a width divisible by 16.")
    time, place = sincos_1d(dim // 4, grid[0]), sincos_2d(3 * dim // 4, grid[1:])
    return np.concatenate([np.repeat(time, len(place), axis=0), np.tile(place, (grid[0], 1))], axis=1)


def sincos(dim: int, grid: tuple[int, ...]) -> np.ndarray:
    """Fixed codes of a grid of one, two or three axes: float32 [prod(grid), dim]."""
    grid = tuple(grid)
    if len(grid) == 1:
        return sincos_1d(dim, grid[0])
    if len(grid) in (2, 3):
        return sincos_2d(dim, grid) if len(grid) == 2 else sincos_3d(dim, grid)
    raise ValueError(f"grid={grid}: fixed positions have one, two or three axes.")


def torch_cubic(length: int, new_length: int) -> np.ndarray:
    """Weights [new_length, length] of torch's bicubic resampling along one axis, as DINO calls it.

    The kernel is Keys' with a = -0.75, without antialiasing; entry i lies at (i + 1/2) / s - 1/2, with the factor
    s = (new_length + 0.1) / length; beyond the ends lies the last value.

    Args:
      length, new_length: number of entries before and after.
    """
    weights = np.zeros((new_length, length))
    scale, a = (new_length + 0.1) / length, -0.75
    for i in range(new_length):
        place = (i + 0.5) / scale - 0.5
        first = math.floor(place)
        for k in range(first - 1, first + 3):
            t = abs(place - k)
            near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
            weights[i, min(max(k, 0), length - 1)] += near if t <= 1 else far
    return weights.astype(np.float32)


def resample(
    positions: jax.Array, grid: tuple[int, int], new_grid: tuple[int, int], method: Resampling = "antialiased"
) -> jax.Array:
    """Resamples learned positions to another patch grid, bicubic.

    Args:
      positions: [rows * columns, D].
      grid, new_grid: (rows, columns) stored and wanted.
      method: 'antialiased' when shrinking, or 'torch', `torch_cubic`, as DINO's release does.

    Returns:
      [new_rows * new_columns, D]; `positions` itself when the grids agree.
    """
    if tuple(grid) == tuple(new_grid):
        return positions
    dim = positions.shape[-1]
    image = rearrange(positions, "(h w) d -> h w d", h=grid[0])
    if method == "torch":
        rows, columns = (jnp.asarray(torch_cubic(old, new)) for old, new in zip(grid, new_grid, strict=True))
        return rearrange(jnp.einsum("rh,cw,hwd->rcd", rows, columns, image), "h w d -> (h w) d")
    image = jax.image.resize(image, (*new_grid, dim), method="bicubic", antialias=True)
    return rearrange(image, "h w d -> (h w) d")


def as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) from an int or a pair."""
    return (size, size) if isinstance(size, int) else tuple(size)


def patch_grid(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """(rows, columns) of patches in an image (height, width); ValueError unless patch_size divides both."""
    height, width = image_size
    if height % patch_size or width % patch_size:
        raise ValueError(f"patch_size={patch_size}: must divide the image size {height}x{width}.")
    return height // patch_size, width // patch_size


def take_tokens(x: jax.Array, ids: jax.Array) -> jax.Array:
    """Rows ids [N, M] of tokens x [N, L, D] -> [N, M, D], example by example."""
    return jnp.take_along_axis(x, ids[:, :, None], axis=1)
