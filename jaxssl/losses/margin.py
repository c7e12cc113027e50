"""Losses that attract positives and repel negatives up to a margin."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, rows_that_count
from jaxssl.ops.checks import float_array, positive_scalar, unit_interval
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def clan(
    z: jax.Array,
    z_aug: jax.Array,
    *,
    margin: float | jax.Array = 0.5,
    alpha: float | jax.Array = 0.5,
    squared: bool = False,
    eps: float | jax.Array = 1e-6,
    where: jax.Array | None = None,
    where_aug: jax.Array | None = None,
) -> jax.Array:
    """CLAN's loss: all rows of the batch are positives of each other, all augmented rows are negatives.

        d(a, b) = (1 - cos(a, b)) / 2                                       in [0, 1]
        S = mean of d(z_i, z_j)               over the pairs where it is above eps
        D = mean of relu(margin - d(z_i, z'_j))  over the pairs where it is above eps
        L = alpha * S + (1 - alpha) * D

    With `squared`, d and relu(...) are squared ahead of everything else. A mean over no pair is 0. When all
    rows are equal, L = (1 - alpha) * margin, and this is a stationary point: watch `clan_active_fraction`.
    `z`: [N, D]; `z_aug`: [M, D], embeddings of augmented rows. `where`: bool [N] as in `losses.rows`;
    `where_aug`: bool [M], of `z_aug`. With None it is `where` if M = N (row n of both is one example), and otherwise
    all count. Only the numbers of pairs are stop-gradient. A zero row has cosine 0 with all rows, and zero gradient.
    Raises: TypeError, ValueError for integers, wrong shapes, widths that differ, alpha outside [0, 1], a margin
    or an eps that is not above 0.
    Source: Wilkie, Hindy, Tachtatzis, Atkinson, Contrastive Self-Supervised Network Intrusion Detection using
    Augmented Negative Pairs, 2025, arXiv:2509.06550, https://arxiv.org/abs/2509.06550
    """
    unit_interval("alpha", alpha)
    z, hinge, where, counted = _pairs(z, z_aug, margin, squared, where, where_aug)
    distance = _distance(z, z)
    similar = _active_mean(jnp.square(distance) if squared else distance, eps, where[:, None] & where)
    return alpha * similar + (1 - alpha) * _active_mean(hinge, eps, counted)


@any_mesh
def clan_active_fraction(
    z: jax.Array,
    z_aug: jax.Array,
    *,
    margin: float | jax.Array = 0.5,
    squared: bool = False,
    eps: float | jax.Array = 1e-6,
    where: jax.Array | None = None,
    where_aug: jax.Array | None = None,
) -> jax.Array:
    """Share of the pairs (z_i, z'_j) that `clan` still pushes apart, in [0, 1]; it stays at 1 in a collapse.

    Arguments and errors as in `clan`. It has no gradient. NaN where a distance is NaN.
    """
    _, hinge, _, counted = _pairs(z, z_aug, margin, squared, where, where_aug)
    hinge = jax.lax.stop_gradient(hinge)
    active = (hinge > positive_scalar("eps", eps, hinge.dtype)).astype(hinge.dtype)
    active = keep(counted, jnp.where(jnp.isnan(hinge), jnp.nan, active))
    return jnp.sum(active) / jnp.maximum(jnp.sum(counted, dtype=hinge.dtype), 1)


def _pairs(z, z_aug, margin, squared, where, where_aug):
    """Checked embeddings [N, D], relu(margin - d) [N, M], the rows [N] and the pairs [N, M] that count."""
    z, z_aug = float_array("z", z, rank=2), float_array("z_aug", z_aug, rank=2)
    if z.shape[1] != z_aug.shape[1]:
        raise ValueError(f"z and z_aug must be equally wide, got {z.shape} and {z_aug.shape}")
    dtype = jnp.promote_types(z.dtype, z_aug.dtype)
    if where_aug is None and len(z) == len(z_aug):
        where_aug = where
    where, where_aug = (
        jnp.ones(len(rows), bool) if chosen is None else rows_that_count(chosen, len(rows), name)
        for name, chosen, rows in (("where", where, z), ("where_aug", where_aug, z_aug))
    )
    z, z_aug = keep(where, z.astype(dtype)), keep(where_aug, z_aug.astype(dtype))
    hinge = jax.nn.relu(positive_scalar("margin", margin, dtype) - _distance(z, z_aug))
    return z, jnp.square(hinge) if squared else hinge, where, where[:, None] & where_aug


def _distance(a, b):
    """(1 - cos) / 2 of all pairs, [N, M]."""
    cosine = jnp.matmul(l2_normalize(a), l2_normalize(b).T, precision="highest")
    return (1 - cosine) / 2


def _active_mean(values, eps, counted):
    """Mean of the values above eps; the others stay out of the sum too, to which they would add N^2 rounding errors."""
    # NaN counts as above eps.
    active = ~(values <= positive_scalar("eps", eps, values.dtype)) & counted
    return jnp.sum(jnp.where(active, values, 0)) / jnp.maximum(jnp.sum(active, dtype=values.dtype), 1)
