"""Two-dimensional positions of patch tokens: fixed sine-cosine codes and resampling of learned ones."""

import jax
import jax.numpy as jnp
import numpy as np


def sincos_2d(dim, grid):
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
        raise ValueError(f"fixed 2-D positions need a width divisible by 4, got {dim}")
    rows, columns = np.meshgrid(np.arange(grid[0]), np.arange(grid[1]), indexing="ij")
    frequencies = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    angles = [axis.reshape(-1, 1) * frequencies for axis in (columns, rows)]
    return np.concatenate([f(a) for a in angles for f in (np.sin, np.cos)], axis=1).astype(np.float32)


def resample(positions, grid, new_grid):
    """Resamples learned positions to another patch grid (bicubic, antialiased when shrinking).

    Args:
      positions: [rows * columns, D].
      grid, new_grid: (rows, columns) stored and wanted.

    Returns:
      [new_rows * new_columns, D]; `positions` itself when the grids agree.
    """
    if tuple(grid) == tuple(new_grid):
        return positions
    dim = positions.shape[-1]
    image = positions.reshape(*grid, dim)
    return jax.image.resize(image, (*new_grid, dim), method="bicubic", antialias=True).reshape(-1, dim)


def as_pair(size):
    """(height, width) from an int or a pair."""
    return (size, size) if isinstance(size, int) else tuple(size)


def patch_grid(image_size, patch_size):
    """(rows, columns) of patches in an image (height, width); ValueError unless patch_size divides both."""
    height, width = image_size
    if height % patch_size or width % patch_size:
        raise ValueError(f"patch_size={patch_size} must divide the image size {height}x{width}")
    return height // patch_size, width // patch_size


def to_patches(x, patch_size):
    """Images [N, H, W, C] -> patches [N, L, P * P * C], row by row, each in (row, column, channel) order."""
    n, height, width, channels = x.shape
    rows, columns = patch_grid((height, width), patch_size)
    x = x.reshape(n, rows, patch_size, columns, patch_size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * columns, patch_size * patch_size * channels)


def take_tokens(x, ids):
    """Rows ids [N, M] of tokens x [N, L, D] -> [N, M, D], example by example."""
    return jnp.take_along_axis(x, ids[:, :, None], axis=1)
