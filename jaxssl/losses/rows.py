"""The examples of a batch that count, and losses as their mean or example by example.

The options `where` and `reduction` mean the same in all losses:

`where`: bool [N], False = padding. The value and the gradient are those of the loss without these rows: they are
neither anchors nor negatives nor part of any statistic, and what stands in them, NaN included, reaches nothing. Where
no row counts the loss is 0 and has no gradient. None: all rows count.
`reduction`: 'mean', or 'none' for the values [N] of the examples: 0 where `where` is False, and the mean over the
other rows is the loss.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def rows_that_count(where: ArrayLike | None, num_rows: int | None, name: str = "where") -> jax.Array | None:
    """`where` as bool [N], or None. Raises: TypeError when it is not bool, ValueError when it is not [N]."""
    if where is None:
        return None
    if num_rows is None:
        raise ValueError(f"{name}: the arrays have no axis of rows; leave it out")
    where = jnp.asarray(where)
    if where.dtype != bool:
        raise TypeError(f"{name} must be bool [N], True = this row counts; got {where.dtype}")
    if where.shape != (num_rows,):
        raise ValueError(f"{name} must be bool [N] with N = {num_rows}, the rows of the batch; got shape {where.shape}")
    return where


def keep(where: jax.Array | None, array: jax.Array, axis: int = 0) -> jax.Array:
    """`array` [..., N, ...] with zeros where it does not count; `where` [N, ...] covers its axes from `axis` on.

    To be applied before all arithmetic: the gradient is NaN where a NaN is multiplied by 0, or left out by a later `where`.
    """
    if where is None:
        return array
    where = where.reshape((1,) * axis + where.shape + (1,) * (array.ndim - axis - where.ndim))
    return jnp.where(where, array, jnp.zeros((), array.dtype))


def mask_weights(
    name: str,
    mask: jax.Array | None,
    axes: str,
    where: jax.Array | None,
    shape: tuple[int, ...],
    dtype: jnp.dtype,
) -> jax.Array:
    """The weights of `mask` [N, ...], True or 1 = counts, as an array of `shape`; 0 in rows that do not count.

    Raises: ValueError when the mask, or None for all, has another shape, which the message calls `axes`.
    """
    mask = jnp.ones(shape, bool) if mask is None else jnp.asarray(mask)
    if mask.shape != shape:
        raise ValueError(f"{name} must be {axes} = {shape}, got {mask.shape}")
    return keep(where, mask.astype(dtype))


def count(where: jax.Array | None, array: jax.Array) -> int | jax.Array:
    """The number of rows of `array` [N, ...] that count."""
    return array.shape[0] if where is None else jnp.sum(where, dtype=array.dtype)


def both(where: jax.Array | None, num_rows: int) -> jax.Array | None:
    """The pairs of rows [N, N] that both count, and all pairs of a row with itself."""
    return None if where is None else _pairs(where, num_rows)


def _pairs(where: jax.Array, num_rows: int) -> jax.Array:
    return where[:, None] & where | jnp.eye(num_rows, dtype=bool)


def logits_of_both(where: jax.Array | None, logits: jax.Array) -> jax.Array:
    """`logits` [N, N] with -inf for pairs that do not count. A row that does not count has itself, and a logarithm."""
    return logits if where is None else jnp.where(_pairs(where, len(logits)), logits, -jnp.inf)


def mean(where: jax.Array | None, array: jax.Array) -> jax.Array:
    """Mean over the rows of `array` [N, ...] that count; 0 where none does."""
    if where is None:
        return jnp.mean(array, axis=0)
    return jnp.sum(keep(where, array), axis=0) / jnp.maximum(count(where, array), 1)


def variance(where: jax.Array | None, array: jax.Array, ddof: int = 0) -> jax.Array:
    """Variance over the rows of `array` [N, ...] that count; 0 where fewer than two do."""
    if where is None:
        return jnp.var(array, axis=0, ddof=ddof)
    squares = jnp.square(keep(where, array - mean(where, array)))
    return jnp.sum(squares, axis=0) / jnp.maximum(count(where, array) - ddof, 1)


def zero_unless(where: jax.Array | None, value: jax.Array, least: int = 1) -> jax.Array:
    """`value` [], or 0 where fewer than `least` rows of `where` [N] count."""
    return value if where is None else jnp.where(jnp.sum(where) >= least, value, 0)


def reduce(where: jax.Array | None, values: jax.Array, reduction: str, of_row: Callable = jnp.mean) -> jax.Array:
    """The loss of `values` [N, ...]: an example's is their mean, or with `of_row` jnp.sum their sum.

    Raises: ValueError for another reduction.
    """
    check_reduction(reduction)
    trailing = tuple(range(1, values.ndim))
    if reduction == "none":
        return keep(where, of_row(values, axis=trailing))
    if where is None:
        return jnp.mean(values) if of_row is jnp.mean else jnp.sum(values) / len(values)
    return jnp.sum(keep(where, of_row(values, axis=trailing))) / jnp.maximum(count(where, values), 1)


def weighted(values: jax.Array, weights: jax.Array, reduction: str) -> jax.Array:
    """sum weights * values / sum weights, of `values` and `weights` [N, ...]; 0 where all weights are.

    The values must be finite where the weight is 0 (see `keep`). With the reduction 'none' [N], every row's part of the
    sum over the mean sum of the weights of a row: their mean over the rows that have a weight is that with 'mean'.
    Where the weights of all these rows have one sum, it is the row's own mean.
    Raises: ValueError for another reduction.
    """
    check_reduction(reduction)
    total = jnp.sum(weights)
    total = jnp.where(total > 0, total, 1.0)
    if reduction == "mean":
        return jnp.sum(values * weights) / total
    trailing = tuple(range(1, values.ndim))
    num_rows = jnp.sum(jnp.any(weights > 0, axis=trailing), dtype=values.dtype)
    return jnp.sum(values * weights, axis=trailing) * (num_rows / total)


def check_reduction(reduction: str) -> None:
    """Raises ValueError for a reduction that does not exist."""
    if not isinstance(reduction, str) or reduction not in ("mean", "none"):
        raise ValueError(f"reduction={reduction!r}: must be 'mean' or 'none'.")
