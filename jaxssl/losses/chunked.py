"""Contrastive losses over very large batches: the matrix of all pairs is never stored.

Each loss has a dense twin of the same value and gradient. Memory is O(N D + block_size^2) instead of O(N^2); see
`losses.pair_blocks`.

The idea of a tiled log-sum-exp with recomputation: Cheng et al., Breaking the Memory Barrier: Near Infinite Batch Size
Scaling for Contrastive Loss (Inf-CL), 2024, arXiv:2410.17243, https://arxiv.org/abs/2410.17243; Dao et al.,
FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness, 2022, arXiv:2205.14135,
https://arxiv.org/abs/2205.14135
"""

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh

from jaxssl.losses.pair_blocks import LOW, check_divisible, logsumexp, softplus_sum, sweep_of
from jaxssl.losses.pairs import bounded_exp
from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import finite_scalar, float_array, float_pair, positive_scalar
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


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
    sweep = sweep_of(z1.shape[0], block_size, mesh, axis_name)._replace(exclude_self=True)
    # Pair by pair, so that the rows of one device stay on it.
    z = jnp.stack([z1, z2], axis=1).reshape(-1, z1.shape[1])
    rows, _ = logsumexp(sweep, *_columns_that_count(_twice(where), z / temperature, z))
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
    sweep = sweep_of(query.shape[0], block_size, mesh, axis_name, negatives)
    positive = jnp.sum(query * key, axis=1) / temperature
    if negatives is None:
        rows, _ = logsumexp(sweep, *_columns_that_count(where, query / temperature, key))
        return reduce(where, rows - positive, reduction)
    negatives = float_array("negatives", negatives, rank=2).astype(query.dtype)
    if negatives.shape[1] != query.shape[1]:
        raise ValueError(f"negatives must be [M, D] with D = {query.shape[1]}, got shape {negatives.shape}")
    negatives = jax.lax.stop_gradient(l2_normalize(negatives))
    check_divisible(negatives.shape[0], sweep, "negatives")
    rows, _ = logsumexp(sweep, query / temperature, negatives)
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
    sweep = sweep_of(image.shape[0], block_size, mesh, axis_name)._replace(columns=True)
    # For the other direction the images are the columns.
    pair = _columns_that_count(where, *_columns_that_count(where, image, text)[::-1])[::-1]
    rows, cols = logsumexp(sweep, *pair)
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
    sweep = sweep_of(image.shape[0], block_size, mesh, axis_name)
    # The bias is one more dimension, in which all texts are 1.
    ones = jnp.ones_like(text[:, :1])
    pair = jnp.append(image, bias * ones, axis=1), jnp.append(text, ones, axis=1)
    rows = softplus_sum(sweep, *_columns_that_count(where, *pair))
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
