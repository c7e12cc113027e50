"""Sums over all pairs of rows and columns, block by block: the matrix of their products is never stored.

The backward pass computes the products again from the rows, the columns and one number a row, so that memory is
O(N D + block_size^2) instead of O(N^2). Over several devices the columns travel in a ring; every device keeps its rows.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh
from jax.sharding import PartitionSpec as P

from jaxssl.ops.checks import positive_int

# Instead of -inf, of which the difference of two is not a number.
LOW = -1e30


class Sweep(NamedTuple):
    """How the pairs are visited; static.

    block_size: rows and columns of a block. mesh, axis_name: where rows and columns are sharded, or None.
    exclude_self: the pair of a row with the column of the same index does not count.
    columns: `logsumexp` reduces over the rows too.
    """

    block_size: int
    mesh: Any
    axis_name: str
    exclude_self: bool = False
    columns: bool = False

    @property
    def devices(self) -> int:
        """The number of devices that the rows lie on."""
        return 1 if self.mesh is None else self.mesh.shape[self.axis_name]


def sweep_of(
    size: int,
    block_size: int,
    mesh: Mesh | AbstractMesh | None,
    axis_name: str,
    negatives: jax.Array | None = None,
) -> Sweep:
    """The `Sweep` of a loss of `size` rows.

    `block_size`, `mesh`, `axis_name`: as in `nt_xent_chunked`. `negatives`: [M, D], the columns where these are not the
    rows.
    Raises: TypeError, ValueError for block_size < 1, a mesh that lacks the axis, a size that the axis does not divide, a
    mesh inside `jax.shard_map`.
    """
    positive_int("block_size", block_size)
    around = jax.sharding.get_abstract_mesh()
    if mesh is None:
        # Under Manual axes (shard_map, pmap) the arrays are those of one device.
        sizes = size, *([] if negatives is None else jnp.shape(negatives)[:1])
        ring = AxisType.Manual not in around.axis_types and axis_name in around.shape
        ring = ring and not any(s % around.shape[axis_name] for s in sizes)
        return Sweep(int(block_size), around if ring else None, axis_name)
    if axis_name not in mesh.shape:
        raise ValueError(f"axis_name='{axis_name}': the mesh has the axes {tuple(mesh.shape)}; must be one of them.")
    if AxisType.Manual in around.axis_types:
        raise ValueError("mesh: inside shard_map every device has rows of its own; leave the mesh out there.")
    sweep = Sweep(int(block_size), _with_auto_axes(mesh, around), axis_name)
    check_divisible(size, sweep, "rows")
    return sweep


def _with_auto_axes(mesh, around):
    """`mesh` as shard_map takes it here: that around the call, if it is the same but for the types of its axes."""
    if around.shape == mesh.shape:
        return around
    auto = (AxisType.Auto,) * len(mesh.axis_names)
    if isinstance(mesh, Mesh):
        return Mesh(mesh.devices, mesh.axis_names, axis_types=auto)
    return mesh.update_axis_types(dict(zip(mesh.axis_names, auto)))


def check_divisible(size: int, sweep: Sweep, name: str) -> None:
    """Raises ValueError when the devices of the sweep do not divide `size`, calling the rows `name`."""
    if size % sweep.devices:
        raise ValueError(
            f"{name}: {size} cannot be divided over the {sweep.devices} devices of mesh axis '{sweep.axis_name}'"
        )


def logsumexp(sweep: Sweep, rows: jax.Array, cols: jax.Array) -> tuple[jax.Array, Any]:
    """log sum_j exp(rows_i . cols_j) [M] of rows [M, D] and columns [K, D]; with `sweep.columns` log sum_i of it [K] too.

    Pairs that do not count have the product `LOW`. Reverse mode only, once.
    """
    return _logsumexp_of_varying(sweep, *_varying((rows, cols), rows, cols))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _logsumexp_of_varying(sweep, rows, cols):

    def visit(row, total_row, col, total_col, logits):
        total_row = _add(total_row, logits, axis=1)
        return total_row, _add(total_col, logits.T, axis=1) if sweep.columns else total_col

    start = lambda x: (jnp.full(x.shape[:1], LOW, x.dtype), jnp.zeros(x.shape[:1], x.dtype))
    start_col = start if sweep.columns else lambda x: ()
    row, col = _visit_all(sweep, visit, (rows,), (cols,), start, start_col)
    finish = lambda state: state[0] + jnp.log(state[1])
    return finish(row), finish(col) if sweep.columns else None


def _logsumexp_forward(sweep, rows, cols):
    out = _logsumexp_of_varying(sweep, rows, cols)
    return out, (rows, cols, *out)


def _logsumexp_backward(sweep, saved, grads):
    rows, cols, total_row, total_col = saved
    grad_row, grad_col = grads

    def visit(row, d_row, col, d_col, logits):
        # d logits = share of the row's sum + share of the column's sum
        weight = row[1][:, None] * jnp.exp(logits - row[2][:, None])
        if sweep.columns:
            weight += col[1][None] * jnp.exp(logits - col[2][None])
        return d_row + _matmul(weight, col[0]), d_col + _matmul(weight.T, row[0])

    row_in = (rows, grad_row, total_row)
    col_in = (cols, grad_col, total_col) if sweep.columns else (cols,)
    return _visit_all(sweep, visit, row_in, col_in, jnp.zeros_like, jnp.zeros_like)


_logsumexp_of_varying.defvjp(_logsumexp_forward, _logsumexp_backward)


def softplus_sum(sweep: Sweep, rows: jax.Array, cols: jax.Array) -> jax.Array:
    """sum_j log(1 + exp(rows_i . cols_j)) [M] of rows [M, D] and columns [K, D]. Reverse mode only, once."""
    return _softplus_sum_of_varying(sweep, *_varying((rows, cols), rows, cols))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _softplus_sum_of_varying(sweep, rows, cols):

    def visit(row, total, col, nothing, logits):
        return total + jax.nn.softplus(logits).sum(1), nothing

    start = lambda x: jnp.zeros(x.shape[:1], x.dtype)
    return _visit_all(sweep, visit, (rows,), (cols,), start, lambda x: ())[0]


def _softplus_sum_forward(sweep, rows, cols):
    return _softplus_sum_of_varying(sweep, rows, cols), (rows, cols)


def _softplus_sum_backward(sweep, saved, grad):
    def visit(row, d_row, col, d_col, logits):
        weight = row[1][:, None] * jax.nn.sigmoid(logits)
        return d_row + _matmul(weight, col[0]), d_col + _matmul(weight.T, row[0])

    rows, cols = saved
    return _visit_all(sweep, visit, (rows, grad), (cols,), jnp.zeros_like, jnp.zeros_like)


_softplus_sum_of_varying.defvjp(_softplus_sum_forward, _softplus_sum_backward)


def _add(state, logits, axis):
    """Adds exp(logits) to running sums kept as (largest so far, sum relative to it)."""
    largest, total = state
    new = jnp.maximum(largest, logits.max(axis))
    return new, total * jnp.exp(largest - new) + jnp.exp(logits - new[:, None]).sum(axis)


def _matmul(a, b):
    # As in the dense losses: float32 in full, whatever the accelerator's default.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _visit_all(sweep: Sweep, visit, row_in, col_in, row_start, col_start):
    """Reduces over all pairs: the final (row state, column state).

    row_in, col_in: tuples of arrays [M, ...] and [K, ...], the embeddings first.
    row_start, col_start: embeddings -> initial state, a tree of arrays that lead with the same number of rows.
    visit(row, row state, column, column state, logits [b, b]) -> (row state, column state), for one pair of blocks;
    logits of pairs that do not count are LOW.
    """
    if sweep.mesh is None or sweep.devices == 1:
        return _visit_ring(sweep, visit, row_in, col_in, row_start, col_start)
    body = lambda row_in, col_in: _visit_ring(sweep, visit, row_in, col_in, row_start, col_start)
    spec = P(sweep.axis_name)
    return jax.shard_map(body, mesh=sweep.mesh, in_specs=(spec, spec), out_specs=spec, check_vma=False)(row_in, col_in)


def _visit_ring(sweep, visit, row_in, col_in, row_start, col_start):
    size, devices = sweep.block_size, sweep.devices
    rows, cols = row_in[0], col_in[0]
    num_rows, num_cols = rows.shape[0], cols.shape[0]
    row_block, col_block = min(size, num_rows), min(size, num_cols)
    row_in, row_state = _blocks((row_in, _varying(row_start(rows), rows)), row_block)
    col_in, col_state = _blocks((col_in, _varying(col_start(cols), cols)), col_block)
    padded = num_rows % row_block or num_cols % col_block
    me = jax.lax.axis_index(sweep.axis_name) if devices > 1 else 0

    def pair(i, row, row_state, j, col, col_state, origin):
        logits = _matmul(row[0], col[0].T)
        row_id, col_id = i * row_block + jnp.arange(row_block), j * col_block + jnp.arange(col_block)
        counts = True
        if padded:
            counts = (row_id < num_rows)[:, None] & (col_id < num_cols)[None]
        if sweep.exclude_self:
            counts &= (me * num_rows + row_id)[:, None] != (origin * num_cols + col_id)[None]
        if counts is not True:
            logits = jnp.where(counts, logits, LOW)
        return visit(row, row_state, col, col_state, logits)

    def turn(carry, step):
        row_state, col_in, col_state = carry
        origin = (me - step) % devices

        def over_rows(col_state, block):
            i, row, row_state = block

            def over_cols(row_state, block):
                j, col, col_state = block
                return pair(i, row, row_state, j, col, col_state, origin)

            row_state, col_state = jax.lax.scan(over_cols, row_state, (_numbers(col_in), col_in, col_state))
            return col_state, row_state

        col_state, row_state = jax.lax.scan(over_rows, col_state, (_numbers(row_in), row_in, row_state))
        if devices > 1:
            ring = [(d, (d + 1) % devices) for d in range(devices)]
            col_in, col_state = jax.lax.ppermute((col_in, col_state), sweep.axis_name, ring)
        return (row_state, col_in, col_state), None

    (row_state, _, col_state), _ = jax.lax.scan(turn, (row_state, col_in, col_state), jnp.arange(devices))
    return _unblock(row_state, num_rows), _unblock(col_state, num_cols)


def _varying(tree, *like):
    """`tree`, inside shard_map typed as different on the devices of all axes over which one of the arrays `like` is.

    There the states of a scan must have one type throughout, and a gradient that of its array.
    """
    if AxisType.Manual not in jax.sharding.get_abstract_mesh().axis_types:
        return tree
    # A zero that is computed from an array has its type, whatever stands in it.
    zeros = [jnp.where(jnp.isnan(x[0, 0]), 0, jnp.zeros((), x.dtype)) for x in like]
    return jax.tree.map(lambda x: x + sum(zeros), tree)


def _blocks(tree, size):
    """Leaves [M, ...] as [blocks, size, ...], padded with zeros."""

    def split(x):
        x = jnp.pad(x, [(0, -x.shape[0] % size)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(-1, size, *x.shape[1:])

    return jax.tree.map(split, tree)


def _unblock(tree, size):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:size], tree)


def _numbers(tree):
    return jnp.arange(jax.tree.leaves(tree)[0].shape[0])
