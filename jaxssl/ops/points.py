"""Sets of points in space: farthest point sampling, nearest neighbours, groups around centres."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, positive_int
from jaxssl.ops.meshes import any_mesh


@any_mesh
def squared_distances(a: jax.Array, b: jax.Array) -> jax.Array:
    """|a_i - b_j|^2 of points a [..., n, D] and b [..., m, D]: [..., n, m].

    By differences, not by |a|^2 + |b|^2 - 2 a b, which loses the digits of small distances far from the origin.
    In float32 at least: integers, bfloat16 and float16 become float32 first, and neither wrap nor overflow.
    Raises: TypeError for complex numbers, ValueError for shapes that do not fit.
    """
    a, b = jnp.asarray(a), jnp.asarray(b)
    dtype = jnp.promote_types(jnp.promote_types(a.dtype, b.dtype), jnp.float32)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"a and b must be real numbers, got {a.dtype} and {b.dtype}")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"a and b must be [..., n, D] and [..., m, D], got shapes {a.shape} and {b.shape}")
    a, b = a.astype(dtype), b.astype(dtype)
    return jnp.sum(jnp.square(a[..., :, None, :] - b[..., None, :, :]), axis=-1)


@any_mesh
def farthest_points(x: jax.Array, num: int, *, start: int | None = None) -> jax.Array:
    """Farthest point sampling: each next point is the one farthest from all that are chosen.

    i_1 = start, i_{k+1} = argmax_i min_{j <= k} |x_i - x_{i_j}|^2; of equally far points the first is taken.
    `x`: [N, P, 3]; `num`: number of points to choose, at most P; `start`: index of the first point, or None for the point
    farthest from the mean, so that the choice does not depend on the order of the points (published: index 0).
    Returns indices int32 [N, num]. Stop-gradient.
    Raises: TypeError, ValueError for integers, another rank, or a `num` or `start` that does not fit.
    Source: Eldar, Lindenbaum, Porat, Zeevi, The farthest point strategy for progressive image sampling, 1997,
    doi:10.1109/83.623193, https://doi.org/10.1109/83.623193; Qi et al., PointNet++: Deep Hierarchical Feature Learning on
    Point Sets in a Metric Space, 2017, arXiv:1706.02413, https://arxiv.org/abs/1706.02413
    """
    x = jax.lax.stop_gradient(float_array("x", x, rank=3))
    positive_int("num", num)
    size = x.shape[1]
    if num > size:
        raise ValueError(f"num={num}: must be at most {size}, the number of points.")
    if start is None:
        first = jnp.argmax(jnp.sum(jnp.square(x - x.mean(1, keepdims=True)), axis=-1), axis=1)
    else:
        positive_int("start", start, least=0)
        if start >= size:
            raise ValueError(f"start={start}: must be below {size}, the number of points.")
        first = jnp.full(x.shape[0], start)

    def choose(carry, _):
        nearest, last = carry
        at = jnp.take_along_axis(x, last[:, None, None], axis=1)
        nearest = jnp.minimum(nearest, jnp.sum(jnp.square(x - at), axis=-1))
        return (nearest, jnp.argmax(nearest, axis=1).astype(jnp.int32)), last

    # An infinity that keeps the sharding of x.
    start_distance = jnp.full_like(x[..., 0], jnp.inf)
    _, chosen = jax.lax.scan(choose, (start_distance, first.astype(jnp.int32)), None, length=num)
    return chosen.T


@any_mesh
def nearest_points(query: jax.Array, x: jax.Array, num: int) -> jax.Array:
    """Indices of the `num` points of x [N, P, 3] nearest to each query [N, Q, 3]: int32 [N, Q, num], nearest first.

    Of equally near points the first come first. Raises: TypeError, ValueError for integers, other ranks, num > P.
    """
    query, x = float_array("query", query, rank=3), float_array("x", x, rank=3)
    positive_int("num", num)
    if num > x.shape[1]:
        raise ValueError(
            f"num={num}: must be at most {x.shape[1]}, the number of points among which neighbours are sought."
        )
    distance = squared_distances(jax.lax.stop_gradient(query), jax.lax.stop_gradient(x))
    return jax.lax.top_k(-distance, num)[1].astype(jnp.int32)


@any_mesh
def group_points(x: jax.Array, num_groups: int, group_size: int) -> tuple[jax.Array, jax.Array]:
    """Patches of a cloud: (centres [N, G, 3], groups [N, G, K, 3]), each group relative to its centre.

    Centres are farthest points of x [N, P, 3], groups their nearest neighbours, themselves among them. The patches,
    as sets, do not depend on the order of the points. Raises as `farthest_points`, `nearest_points`.
    Source: Pang et al., Masked Autoencoders for Point Cloud Self-supervised Learning, 2022, arXiv:2203.06604,
    https://arxiv.org/abs/2203.06604
    """
    x = float_array("x", x, rank=3)
    chosen = farthest_points(x, num_groups)
    centers = jnp.take_along_axis(x, chosen[:, :, None], axis=1)
    ids = nearest_points(centers, x, group_size)
    rows = jnp.take_along_axis(x, ids.reshape(len(x), -1, 1), axis=1)
    return centers, rows.reshape(*ids.shape, 3) - centers[:, :, None]
