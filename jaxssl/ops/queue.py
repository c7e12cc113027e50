"""First-in first-out queue of rows, as plain arrays."""

import jax
import jax.numpy as jnp

from jaxssl.ops.meshes import any_mesh


@any_mesh
def queue_push(queue: jax.Array, cursor: jax.Array, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Writes `rows` [N, D] over the oldest rows of `queue` [K, D]; returns (queue, cursor).

    `cursor`: int scalar in [0, K), the position of the oldest row; it wraps, also when N does not divide K.
    Rows are cast to the queue's dtype and are stop-gradient.
    Raises: ValueError for wrong ranks, different D, or N > K; TypeError when the cursor is not an integer.
    """
    queue, cursor, rows = jnp.asarray(queue), jnp.asarray(cursor), jnp.asarray(rows)
    if queue.ndim != 2 or rows.ndim != 2 or queue.shape[1] != rows.shape[1]:
        raise ValueError(f"queue must be [K, D] and rows [N, D], got shapes {queue.shape} and {rows.shape}")
    size, num = queue.shape[0], rows.shape[0]
    if num > size:
        raise ValueError(f"{num} rows do not fit into a queue of {size}; it must hold at least one batch")
    if cursor.ndim != 0:
        raise ValueError(f"cursor must be a scalar, got shape {cursor.shape}")
    if not jnp.issubdtype(cursor.dtype, jnp.integer):
        raise TypeError(f"cursor must be an integer, got {cursor.dtype}")
    positions = (cursor + jnp.arange(num, dtype=cursor.dtype)) % size
    rows = jax.lax.stop_gradient(rows).astype(queue.dtype)
    return queue.at[positions].set(rows, unique_indices=True), (cursor + num) % size
