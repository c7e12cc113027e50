"""Matches of the places of two views' feature maps: by position in the image, and by feature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, positive_int
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize
from jaxssl.ops.points import squared_distances


class Matches(NamedTuple):
    """Pairs of places of two views, in the order of the first view's places.

    ids1: int32 [N, K], places of the first view.
    ids2: int32 [N, K], the place of the second view that each is matched with.
    distances: float32 [N, K].
    """

    ids1: jax.Array
    ids2: jax.Array
    distances: jax.Array


@any_mesh
def patch_centres(boxes: jax.Array, flips: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The centres of the cells of a view's feature map, in coordinates of the image.

    Cell (i, j) of a grid of h x w cells is centred at y = y0 + (i + 1/2) height / h, x = x0 + (j + 1/2) width / w; in a
    mirrored view at column w - 1 - j instead of j.

    Args:
      boxes: [N, 4] = (y0, x0, height, width), the crops in input pixels.
      flips: bool [N], True = the view shows its crop mirrored left to right.
      grid: (h, w), the size of the feature map.

    Returns:
      float32 [N, h * w, 2] = (y, x) in input pixels, row by row.

    Raises:
      TypeError, ValueError: boxes that are not floating [N, 4], flips that are not bool [N], a grid below 1.
    """
    boxes, flips = float_array("boxes", boxes, rank=2), jnp.asarray(flips)
    if boxes.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4] as (y0, x0, height, width), got shape {boxes.shape}")
    if flips.dtype != bool:
        raise TypeError(f"flips must be bool [N], got {flips.dtype}")
    if flips.shape != boxes.shape[:1]:
        raise ValueError(f"flips must be bool [N] with N = {len(boxes)}, got shape {flips.shape}")
    for name, size in zip(("grid[0]", "grid[1]"), grid, strict=True):
        positive_int(name, size)
    rows, columns = ((jnp.arange(size, dtype=boxes.dtype) + 0.5) / size for size in grid)
    y = boxes[:, :1] + boxes[:, 2:3] * rows
    x = boxes[:, 1:2] + boxes[:, 3:] * jnp.where(flips[:, None], 1 - columns, columns)
    shape = (len(boxes), *grid)
    centres = jnp.stack([jnp.broadcast_to(y[:, :, None], shape), jnp.broadcast_to(x[:, None], shape)], axis=-1)
    return centres.reshape(len(boxes), -1, 2)


@any_mesh
def nearest_by_position(centres1: jax.Array, centres2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """For every place of the first view the nearest place of the second, and its distance.

    Crops that do not overlap have nearest places too, at large distances.

    Args:
      centres1, centres2: [N, L, 2] and [N, M, 2], of `patch_centres`.

    Returns:
      (ids int32 [N, L] in [0, M), Euclidean distances [N, L]); of equally near places the first. Stop-gradient.

    Raises:
      TypeError, ValueError: integers, or shapes that do not fit.
    """
    centres1, centres2 = _pair("centres1", centres1, "centres2", centres2)
    return _nearest(squared_distances(centres1, centres2))


@any_mesh
def nearest_by_feature(h1: jax.Array, h2: jax.Array, *, metric: str = "cosine") -> tuple[jax.Array, jax.Array]:
    """For every place of the first view the place of the second with the most similar feature, and its distance.

    Args:
      h1, h2: [N, L, D] and [N, M, D], feature maps with their grids flattened.
      metric: 'cosine' for the largest cosine, at the distance 1 - cosine; 'euclidean' for the smallest distance.

    Returns:
      (ids int32 [N, L] in [0, M), distances [N, L]); of equally near places the first. Stop-gradient.

    Raises:
      TypeError, ValueError: integers, shapes that do not fit, another metric.
    """
    h1, h2 = _pair("h1", h1, "h2", h2)
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"metric={metric!r}: must be 'cosine' or 'euclidean'.")
    # In full precision: a product in reduced precision would reorder close neighbours.
    products = lambda a, b: jnp.einsum("nld,nmd->nlm", a, b, precision=jax.lax.Precision.HIGHEST)
    if metric == "cosine":
        cosines = products(l2_normalize(h1), l2_normalize(h2))
        return jnp.argmax(cosines, axis=2).astype(jnp.int32), 1 - jnp.max(cosines, axis=2)
    # Centred at the common mean, so that the products lose no digits where all features lie far from the origin.
    mean = jnp.concatenate([h1, h2], axis=1).mean(1, keepdims=True)
    h1, h2 = h1 - mean, h2 - mean
    lengths = jnp.sum(jnp.square(h1), axis=2)[:, :, None] + jnp.sum(jnp.square(h2), axis=2)[:, None]
    return _nearest(lengths - 2 * products(h1, h2))


@any_mesh
def best_matches(ids: jax.Array, distances: jax.Array, num: int) -> Matches:
    """The `num` places of the first view whose nearest place in the second is nearest.

    Args:
      ids, distances: int [N, L] and floating [N, L], of `nearest_by_position` or `nearest_by_feature`.
      num: K, at most L.

    Returns:
      Matches of [N, K]; of equally near ones the first places. Stop-gradient.

    Raises:
      TypeError, ValueError: other shapes, num below 1 or above L.
    """
    distances, ids = jax.lax.stop_gradient(float_array("distances", distances, rank=2)), jnp.asarray(ids)
    if ids.shape != distances.shape or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(f"ids must be int [N, L] = {distances.shape}, got {ids.dtype} {ids.shape}")
    positive_int("num", num)
    if num > ids.shape[1]:
        raise ValueError(f"num={num}: must be at most {ids.shape[1]}, the places of the first view")
    _, ids1 = jax.lax.top_k(-distances, num)
    ids1 = jnp.sort(ids1, axis=1).astype(jnp.int32)
    of_these = lambda x: jnp.take_along_axis(x, ids1, axis=1)
    return Matches(ids1, of_these(ids).astype(jnp.int32), of_these(distances))


@any_mesh
def take_places(maps: jax.Array, ids: jax.Array) -> jax.Array:
    """The features [N, K, D] at the places `ids` int [N, K] of `maps` [N, L, D]. Raises: ValueError for other shapes."""
    maps, ids = jnp.asarray(maps), jnp.asarray(ids)
    if maps.ndim != 3 or ids.ndim != 2 or len(maps) != len(ids):
        raise ValueError(f"maps must be [N, L, D] and ids int [N, K], got shapes {maps.shape} and {ids.shape}")
    return jnp.take_along_axis(maps, ids[:, :, None], axis=1)


def _pair(name_a, a, name_b, b):
    a, b = (jax.lax.stop_gradient(float_array(name, x, rank=3)) for name, x in ((name_a, a), (name_b, b)))
    if len(a) != len(b) or a.shape[2] != b.shape[2]:
        raise ValueError(f"{name_a} and {name_b} must be [N, L, D] and [N, M, D], got shapes {a.shape} and {b.shape}")
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def _nearest(squared):
    ids = jnp.argmin(squared, axis=2).astype(jnp.int32)
    return ids, jnp.sqrt(jnp.maximum(jnp.min(squared, axis=2), 0))
