"""A memory with one row for every example, as a plain array [num_examples, ...]."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import known_number, unit_interval
from jaxssl.ops.meshes import any_mesh


@any_mesh
def bank_take(bank: jax.Array, index: jax.Array) -> jax.Array:
    """The rows of the examples `index`, stop-gradient; where index is -1, zeros.

    Args:
      bank: [I, ...], one row for every example.
      index: int [N], in -1 ... I - 1.

    Returns:
      [N, ...] in the bank's dtype.

    Raises:
      ValueError, TypeError: an index that is no vector of integers; a bank without rows.
    """
    bank, index = _checked(bank, index)
    rows = bank[jnp.maximum(index, 0)]
    return jax.lax.stop_gradient(jnp.where(_like(index >= 0, rows), rows, jnp.zeros_like(rows)))


@any_mesh
def bank_update(bank: jax.Array, index: jax.Array, rows: jax.Array, *, momentum: float | jax.Array = 0.0) -> jax.Array:
    """The bank with new = momentum * old + (1 - momentum) * row in the rows of the examples `index`.

    If an index occurs several times in the batch, its last row counts, on any number of devices; rows with index -1 are
    left out. Rows are stop-gradient.

    Args:
      bank: [I, ...], one row for every example.
      index: int [N], in -1 ... I - 1.
      rows: [N, ...], cast to the bank's dtype after the mean.
      momentum: in [0, 1].

    Returns:
      [I, ...] in the bank's dtype.

    Raises:
      ValueError, TypeError: as `bank_take`; rows of another shape; a momentum outside of [0, 1], or one for a bank of
        integers.
    """
    bank, index = _checked(bank, index)
    rows = jax.lax.stop_gradient(jnp.asarray(rows))
    if rows.shape != index.shape + bank.shape[1:]:
        raise ValueError(
            f"rows must be {list(index.shape + bank.shape[1:])}, a row of the bank for each index, got shape {rows.shape}"
        )
    unit_interval("momentum", momentum)
    size = bank.shape[0]
    # Equal indices side by side, in the order of the batch: the last of each run counts.
    order = jnp.argsort(jnp.where((index >= 0) & (index < size), index, size), stable=True)
    index, rows = index[order], rows[order]
    counts = (index >= 0) & jnp.append(index[1:] != index[:-1], True)
    if not jnp.issubdtype(bank.dtype, jnp.floating):
        if known_number("momentum", momentum) != 0:
            raise TypeError(f"momentum={momentum}: must be 0 for a bank of {bank.dtype}, whose rows have no mean.")
        new = rows.astype(bank.dtype)
    else:
        dtype = jnp.promote_types(jnp.promote_types(bank.dtype, rows.dtype), jnp.float32)
        momentum = jnp.asarray(momentum, dtype)
        old = bank[jnp.clip(index, 0, size - 1)].astype(dtype)
        new = momentum * old + (1 - momentum) * rows.astype(dtype)
    # Rows that do not count are sent outside, so that no two write to one place.
    return bank.at[jnp.where(counts, index, size)].set(new.astype(bank.dtype), mode="drop")


def _checked(bank, index):
    bank, index = jnp.asarray(bank), jnp.asarray(index)
    if bank.ndim < 1 or bank.shape[0] == 0:
        raise ValueError(f"bank must have a row for each example, got shape {bank.shape}")
    if index.ndim != 1:
        raise ValueError(f"index must be [N], got shape {index.shape}")
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise TypeError(f"index must be integers, got {index.dtype}")
    return bank, index


def _like(rows, x):
    """bool [N] as [N, 1, ...] with the rank of x."""
    return rows.reshape(rows.shape + (1,) * (x.ndim - 1))
