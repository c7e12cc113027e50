"""Contrastive losses over very large batches: the matrix of all pairs is never stored.

Each loss has a dense twin of the same value and gradient. Pairs are visited block by block; the backward pass computes
the logits again from the embeddings and one number a row, so that memory is O(N D + block_size^2) instead of O(N^2).
Over several devices the columns travel in a ring, every device keeping its rows.

The idea of a tiled log-sum-exp with recomputation: Cheng et al., Breaking the Memory Barrier: Near Infinite Batch Size
Scaling for Contrastive Loss (Inf-CL), 2024, arXiv:2410.17243, https://arxiv.org/abs/2410.17243; Dao et al.,
FlashAttention, 2022, arXiv:2205.14135, https://arxiv.org/abs/2205.14135
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh
from jax.sharding import PartitionSpec as P

from jaxssl.losses.pairs import bounded_exp
from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import finite_scalar, float_array, float_pair, positive_int, positive_scalar
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize

# Instead of -inf, of which the difference of two is not a number.
LOW = -1e30


@any_mesh
def nt_xent_chunked(
    z1: jax.Array,
    z2: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    block_size: int = 1024,
    mesh: Mesh | AbstractMesh | None = None,
    axis_name: str = "data",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """`nt_xent` in memory O(N D + block_size^2).

    mean_i -log(exp(s_ij / T) / sum_{k != i} exp(s_ik / T)), s the cosine, j the other view of i,
    k over all 2N rows.
    `z1`, `z2`: [N, D], normalised inside. `temperature`: T, a number or a (traced) scalar.
    `block_size`: rows and columns of the blocks of logits. `mesh`: a mesh over whose axis `axis_name` the rows are
    sharded; N must then be divisible by the size of that axis. With None a single device, or, where `jax.set_mesh` is
    around the call, its axis of that name if it has one that divides N; inside `jax.shard_map` and `jax.pmap`, where
    every device has rows of its own, a single device.
    `where`, `reduction`: as in `nt_xent`.
    Nothing is stop-gradient. Reverse mode only, once.
    Raises: TypeError, ValueError for integers, wrong or different shapes, temperature <= 0, block_size < 1,
    a mesh that lacks the axis, N that the axis does not divide.
    Source: that of `nt_xent`, and this module's.
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    temperature = positive_scalar("temperature", temperature, z1.dtype)
    where = rows_that_count(where, len(z1))
    z1, z2 = l2_normalize(keep(where, z1)), l2_normalize(keep(where, z2))
    sweep = _sweep(z1.shape[0], block_size, mesh, axis_name)._replace(exclude_self=True)
    # Pair by pair, so that the rows of one device stay on it.
    z = jnp.stack([z1, z2], axis=1).reshape(-1, z1.shape[1])
    rows, _ = _logsumexp(sweep, *_columns_that_count(_twice(where), z / temperature, z))
    # Both directions of an example.
    rows = rows.reshape(-1, 2)
    return reduce(where, rows, reduction) - reduce(where, jnp.sum(z1 * z2, axis=1), reduction) / temperature


@any_mesh
def info_nce_chunked(
    query: jax.Array,
    key: jax.Array,
    negatives: jax.Array | None = None,
    *,
    temperature: float | jax.Array = 0.2,
    block_size: int = 1024,
    mesh: Mesh | AbstractMesh | None = None,
    axis_name: str = "data",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """`info_nce` in memory O(N D + block_size^2).

    mean_n -log(exp(q_n.k_n / T) / (exp(q_n.k_n / T) + sum_m exp(q_n.c_m / T))), c_m the `negatives`, or with None
    the keys of the other examples in the batch.
    `query`, `key`: [N, D]; `negatives`: [M, D]; all normalised inside; `key` and `negatives` are stop-gradient.
    `temperature`, `block_size`, `mesh`, `axis_name` and errors: as in `nt_xent_chunked`; M must be divisible too.
    `where`, `reduction`: as in `info_nce`.
    Source: that of `info_nce`, and this module's.
    """
    query, key = float_pair("query", query, "key", key)
    temperature = positive_scalar("temperature", temperature, query.dtype)
    where = rows_that_count(where, len(query))
    query = l2_normalize(keep(where, query))
    key = jax.lax.stop_gradient(l2_normalize(keep(where, key)))
    sweep = _sweep(query.shape[0], block_size, mesh, axis_name, negatives)
    positive = jnp.sum(query * key, axis=1) / temperature
    if negatives is None:
        rows, _ = _logsumexp(sweep, *_columns_that_count(where, query / temperature, key))
        return reduce(where, rows - positive, reduction)
    negatives = float_array("negatives", negatives, rank=2).astype(query.dtype)
    if negatives.shape[1] != query.shape[1]:
        raise ValueError(f"negatives must be [M, D] with D = {query.shape[1]}, got shape {negatives.shape}")
    negatives = jax.lax.stop_gradient(l2_normalize(negatives))
    _check_divisible(negatives.shape[0], sweep, "negatives")
    rows, _ = _logsumexp(sweep, query / temperature, negatives)
    return reduce(where, jnp.logaddexp(rows, positive) - positive, reduction)


@any_mesh
def clip_chunked(
    image: jax.Array,
    text: jax.Array,
    log_scale: float | jax.Array,
    *,
    max_scale: float = 100.0,
    block_size: int = 1024,
    mesh: Mesh | AbstractMesh | None = None,
    axis_name: str = "data",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """`clip` in memory O(N D + block_size^2); both directions in one pass over the pairs.

    S = s U V^T, L = (mean_i CE(S_i, i) + mean_j CE(S^T_j, j)) / 2, s = min(exp(log_scale), max_scale), U and V the
    L2-normalised rows.
    `image`, `text`: [N, D]; `log_scale`: a scalar, with the gradient at `max_scale` of `clip`. Every row is its own
    group. `block_size`, `mesh`, `axis_name` and errors: as in `nt_xent_chunked`. `where`, `reduction`: as in `clip`.
    Source: that of `clip`, and this module's.
    """
    image, text = float_pair("image", image, "text", text)
    scale = bounded_exp(finite_scalar("log_scale", log_scale, image.dtype), max_scale)
    where = rows_that_count(where, len(image))
    image, text = scale * l2_normalize(keep(where, image)), l2_normalize(keep(where, text))
    sweep = _sweep(image.shape[0], block_size, mesh, axis_name)._replace(columns=True)
    # For the other direction the images are the columns.
    pair = _columns_that_count(where, *_columns_that_count(where, image, text)[::-1])[::-1]
    rows, cols = _logsumexp(sweep, *pair)
    return reduce(where, (rows + cols) / 2 - jnp.sum(image * text, axis=1), reduction)


@any_mesh
def sigmoid_pairs_chunked(
    image: jax.Array,
    text: jax.Array,
    log_scale: float | jax.Array,
    bias: float | jax.Array,
    *,
    max_scale: float | None = None,
    block_size: int = 1024,
    mesh: Mesh | AbstractMesh | None = None,
    axis_name: str = "data",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """`sigmoid_pairs` in memory O(N D + block_size^2).

    L = -1/N sum_ij log sigmoid(y_ij (s u_i.v_j + b)), y_ij = 1 for pairs and -1 for all others, s = exp(log_scale).
    `image`, `text`: [N, D]; `log_scale`, `bias`: scalars. Every row is its own group. `block_size`, `mesh`,
    `axis_name` and errors: as in `nt_xent_chunked`. `where`, `reduction`: as in `sigmoid_pairs`.
    Source: that of `sigmoid_pairs`, and this module's.
    """
    image, text = float_pair("image", image, "text", text)
    log_scale, bias = (finite_scalar(name, x, image.dtype) for name, x in (("log_scale", log_scale), ("bias", bias)))
    scale = jnp.exp(log_scale) if max_scale is None else bounded_exp(log_scale, max_scale)
    where = rows_that_count(where, len(image))
    image, text = scale * l2_normalize(keep(where, image)), l2_normalize(keep(where, text))
    sweep = _sweep(image.shape[0], block_size, mesh, axis_name)
    # The bias is one more dimension, in which all texts are 1.
    ones = jnp.ones_like(text[:, :1])
    pair = jnp.append(image, bias * ones, axis=1), jnp.append(text, ones, axis=1)
    rows = _softplus_sum(sweep, *_columns_that_count(where, *pair))
    # -log sigmoid(x) = softplus(x) - x, for the pairs.
    return reduce(where, rows - jnp.sum(image * text, axis=1) - bias, reduction)


def _columns_that_count(where, rows, cols):
    """Rows [M, D + 1] and columns [K, D + 1], of which the products are LOW / 2 at columns that do not count.

    Half, so that where rows are columns too the product of two that do not count is not below LOW.
    """
    if where is None:
        return rows, cols
    low = jnp.where(where, 0, LOW / 2).astype(cols.dtype)[:, None]
    return jnp.append(rows, jnp.ones_like(rows[:, :1]), axis=1), jnp.append(cols, low, axis=1)


def _twice(where):
    return None if where is None else jnp.repeat(where, 2)


class _Sweep(NamedTuple):
    """How the pairs are visited; static."""

    block_size: int
    mesh: Any
    axis_name: str
    exclude_self: bool = False  # the pair of a row with the column of the same number does not count
    columns: bool = False  # reduce over rows too

    @property
    def devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.shape[self.axis_name]


def _sweep(size, block_size, mesh, axis_name, negatives=None) -> _Sweep:
    positive_int("block_size", block_size)
    around = jax.sharding.get_abstract_mesh()
    if mesh is None:
        # Under Manual axes (shard_map, pmap) the arrays are those of one device.
        sizes = size, *([] if negatives is None else jnp.shape(negatives)[:1])
        ring = AxisType.Manual not in around.axis_types and axis_name in around.shape
        ring = ring and not any(s % around.shape[axis_name] for s in sizes)
        return _Sweep(int(block_size), around if ring else None, axis_name)
    if axis_name not in mesh.shape:
        raise ValueError(f"axis_name='{axis_name}': the mesh has the axes {tuple(mesh.shape)}")
    if AxisType.Manual in around.axis_types:
        raise ValueError("mesh: inside shard_map every device has rows of its own; leave the mesh out there")
    sweep = _Sweep(int(block_size), _with_auto_axes(mesh, around), axis_name)
    _check_divisible(size, sweep, "rows")
    return sweep


def _with_auto_axes(mesh, around):
    """`mesh` as shard_map takes it here: that around the call, if it is the same but for the types of its axes."""
    if around.shape == mesh.shape:
        return around
    auto = (AxisType.Auto,) * len(mesh.axis_names)
    if isinstance(mesh, Mesh):
        return Mesh(mesh.devices, mesh.axis_names, axis_types=auto)
    return mesh.update_axis_types(dict(zip(mesh.axis_names, auto)))


def _check_divisible(size, sweep, name):
    if size % sweep.devices:
        raise ValueError(
            f"{name}: {size} cannot be divided over the {sweep.devices} devices of mesh axis '{sweep.axis_name}'"
        )


def _logsumexp(sweep: _Sweep, rows, cols):
    """log sum_j exp(rows_i . cols_j) [M] and, where asked for, log sum_i exp(rows_i . cols_j) [K] (else None)."""
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


def _softplus_sum(sweep: _Sweep, rows, cols):
    """sum_j log(1 + exp(rows_i . cols_j)) [M]."""
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


def _visit_all(sweep: _Sweep, visit, row_in, col_in, row_start, col_start):
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
