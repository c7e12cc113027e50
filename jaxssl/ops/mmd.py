"""Maximum mean discrepancy, a distance of two distributions estimated from samples, and the choice of sensors by it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, positive_int, positive_scalar
from jaxssl.ops.meshes import any_mesh

# Widths s of the kernels in ColloSSL.
WIDTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 100.0)


@any_mesh
def mmd(x: jax.Array, y: jax.Array, *, widths: Sequence[float] = WIDTHS) -> jax.Array:
    """Squared maximum mean discrepancy of two samples under a sum of Gaussian kernels, at least 0.

    max(0, mean k(x, x) + mean k(y, y) - 2 mean k(x, y)), k(a, b) = sum_s exp(-|a - b|^2 / (2 s)), means over all pairs,
    each row with itself included.
    `x`: [N, D]; `y`: [M, D]; `widths`: s, above 0.
    Raises: TypeError, ValueError for integers, shapes that do not fit, a width that is not above 0.
    Source: Gretton et al., A Kernel Two-Sample Test, 2012, JMLR 13; widths as in Jain et al., ColloSSL: Collaborative
    Self-Supervised Learning for Human Activity Recognition, 2022, arXiv:2202.00758, https://arxiv.org/abs/2202.00758
    """
    x, y = float_array("x", x, rank=2), float_array("y", y, rank=2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x and y must be [N, D] and [M, D], got {x.shape} and {y.shape}")
    _check(widths)
    within = _mean_kernel(x, x, widths) + _mean_kernel(y, y, widths)
    return jnp.maximum(within - 2 * _mean_kernel(x, y, widths), 0.0)


@any_mesh
def pairwise_mmd(x: jax.Array, *, widths: Sequence[float] = WIDTHS) -> jax.Array:
    """`mmd` of every pair of samples x [V, N, D]: [V, V], symmetric, 0 on the diagonal."""
    x = float_array("x", x, rank=3)
    _check(widths)
    row = lambda a: jax.lax.map(lambda b: _mean_kernel(a, b, widths), x)
    kernels = jax.lax.map(row, x)
    itself = jnp.diagonal(kernels)
    distance = jnp.maximum(itself[:, None] + itself[None] - kernels - kernels.T, 0.0)
    return jnp.where(jnp.eye(x.shape[0], dtype=bool), 0.0, distance)


def _mean_kernel(a, b, widths):
    # Differences themselves: the narrow kernels would see the rounding of |a|^2 + |b|^2 - 2 a.b.
    squares = jnp.sum(jnp.square(a[:, None] - b[None]), axis=-1)
    return sum(jnp.mean(jnp.exp(-squares / (2 * s))) for s in widths)


def _check(widths):
    if not len(widths):
        raise ValueError(f"widths={widths}: must be one number or more, each above 0.")
    for i, width in enumerate(widths):
        positive_scalar(f"widths[{i}]", width, jnp.float32)


POLICIES = ("closest_pos_all_neg", "closest_pos_next_two_neg", "closest_only", "random")


@any_mesh
def select_sensors(
    distances: jax.Array, anchor: int, *, policy: str = "closest_pos_all_neg", key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """The positive and negative sensors of an anchor, chosen by their distances from it.

    'closest_pos_all_neg': the closest is positive, all others and itself are negative; 'closest_pos_next_two_neg': the
    closest is positive, the next two are negative (with two sensors, the closest too, for there is no other);
    'closest_only': the closest is both; 'random': one at random is positive, one at random negative.
    `distances`: [V], V >= 2; `anchor`: int, never selected; `key`: for 'random'.
    Returns (positive, negative): 0 or 1 float32 [V], so that the choice may be traced; no gradient flows through it.
    Raises: ValueError for an unknown policy, fewer than two sensors, an anchor that is none, 'random' without a key.
    Source: Jain et al., ColloSSL: Collaborative Self-Supervised Learning for Human Activity Recognition, 2022,
    arXiv:2202.00758, https://arxiv.org/abs/2202.00758
    """
    distances = float_array("distances", distances, rank=1)
    count = distances.shape[0]
    if policy not in POLICIES:
        raise ValueError(f"policy={policy!r}: must be one of {POLICIES}.")
    positive_int("anchor", anchor, least=-1)
    if count < 2 or not 0 <= anchor < count:
        raise ValueError(f"anchor={anchor}: must be one of two sensors or more, got {count} distances.")
    others = jnp.arange(count) != anchor
    if policy == "random":
        if key is None:
            raise ValueError("policy='random': needs a key.")
        positive, negative = (
            jnp.argmax(jnp.where(others, jax.random.uniform(k, (count,)), -1.0)) for k in jax.random.split(key)
        )
        return (jnp.arange(count) == positive).astype(jnp.float32), (jnp.arange(count) == negative).astype(jnp.float32)
    order = jnp.where(others, distances, jnp.inf)
    # Rank 0 is the closest of the others; the anchor comes last. Equal distances keep their order.
    rank = jnp.argsort(jnp.argsort(order, stable=True), stable=True)
    positive = (rank == 0) & others
    if policy == "closest_pos_all_neg":
        negative = others
    elif policy == "closest_only" or count == 2:
        negative = positive
    else:
        negative = ((rank == 1) | (rank == 2)) & others
    return positive.astype(jnp.float32), negative.astype(jnp.float32)
