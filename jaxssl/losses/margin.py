"""Losses that draw positives together and push negatives apart up to a margin."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, positive_scalar, unit_interval
from jaxssl.ops.norm import l2_normalize


def clan(z, z_aug, *, margin=0.5, alpha=0.5, squared=False, eps=1e-6):
    """CLAN's loss: all rows of the batch are positives of each other, all augmented rows are negatives.

        d(a, b) = (1 - cos(a, b)) / 2                                       in [0, 1]
        S = mean of d(z_i, z_j)               over the pairs where it is above eps
        D = mean of relu(margin - d(z_i, z'_j))  over the pairs where it is above eps
        L = alpha * S + (1 - alpha) * D

    With `squared`, d and relu(...) are squared ahead of everything else. A mean over no pair is 0. When all
    rows are equal, L = (1 - alpha) * margin, and this is a stationary point: watch `clan_active_fraction`.
    `z`: [N, D]; `z_aug`: [M, D], embeddings of augmented rows. Nothing is stop-gradient but the numbers of
    pairs. A zero row has cosine 0 with everything, and zero gradient.
    Raises: TypeError, ValueError for integers, wrong shapes, widths that differ, alpha outside [0, 1], a margin
    or an eps that is not above 0.
    Source: Wilkie, Hindy, Tachtatzis, Atkinson, "Contrastive Self-Supervised Network Intrusion Detection using
    Augmented Negative Pairs", 2025, arXiv 2509.06550 (https://arxiv.org/abs/2509.06550).
    """
    unit_interval("alpha", alpha)
    z, hinge = _pairs(z, z_aug, margin, squared)
    distance = _distance(z, z)
    similar = _active_mean(jnp.square(distance) if squared else distance, eps)
    return alpha * similar + (1 - alpha) * _active_mean(hinge, eps)


def clan_active_fraction(z, z_aug, *, margin=0.5, squared=False, eps=1e-6):
    """Share of the pairs (z_i, z'_j) that `clan` still pushes apart, in [0, 1]; it stays at 1 in a collapse.

    Arguments and errors as in `clan`. It has no gradient.
    """
    _, hinge = _pairs(z, z_aug, margin, squared)
    return jnp.mean(jax.lax.stop_gradient(hinge) > positive_scalar("eps", eps, hinge.dtype), dtype=hinge.dtype)


def _pairs(z, z_aug, margin, squared):
    """Checked embeddings [N, D] and relu(margin - d) [N, M]."""
    z, z_aug = float_array("z", z, rank=2), float_array("z_aug", z_aug, rank=2)
    if z.shape[1] != z_aug.shape[1]:
        raise ValueError(f"z and z_aug must be equally wide, got {z.shape} and {z_aug.shape}")
    dtype = jnp.promote_types(z.dtype, z_aug.dtype)
    z, z_aug = z.astype(dtype), z_aug.astype(dtype)
    hinge = jax.nn.relu(positive_scalar("margin", margin, dtype) - _distance(z, z_aug))
    return z, jnp.square(hinge) if squared else hinge


def _distance(a, b):
    """(1 - cos) / 2 of all pairs, [N, M]."""
    cosine = jnp.matmul(l2_normalize(a), l2_normalize(b).T, precision="highest")
    return (1 - cosine) / 2


def _active_mean(values, eps):
    """Mean of the values above eps. The others do not count in the sum either: there are N^2 roundings on it."""
    active = values > positive_scalar("eps", eps, values.dtype)
    return jnp.sum(jnp.where(active, values, 0)) / jnp.maximum(jnp.sum(active, dtype=values.dtype), 1)
