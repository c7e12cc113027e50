"""Losses on batch statistics: keep views alike, dimensions spread and uncorrelated."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import at_least_two_rows, float_array, float_pair


def barlow_twins(z1, z2, *, redundancy_weight=0.005):
    """Drives the cross-correlation matrix of two views to the identity.

    sum_i (1 - C_ii)^2 + redundancy_weight * sum_{i != j} C_ij^2, C = u1^T u2 / N, where u is z with every
    dimension standardised over the batch (population variance + 1e-5, as BatchNorm does).
    `z1`, `z2`: [N, D], N >= 2. `redundancy_weight`: the paper's lambda. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, N < 2.
    Source: Zbontar, Jing, Misra, LeCun, Deny, "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", 2021, arXiv 2103.03230 (https://arxiv.org/abs/2103.03230).
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    at_least_two_rows("z1", z1)
    correlation = _products(_standardise(z1), _standardise(z2)) / z1.shape[0]
    on_diagonal = jnp.sum(jnp.square(1 - jnp.diagonal(correlation)))
    return on_diagonal + redundancy_weight * _off_diagonal_energy(correlation)


def vicreg(z1, z2, *, invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0):
    """Variance-invariance-covariance regularisation of two views.

    invariance_weight * s(z1, z2) + variance_weight * (v(z1) + v(z2)) / 2 + covariance_weight * (c(z1) +
    c(z2)) with s, v, c = `vicreg_invariance`, `vicreg_variance`, `vicreg_covariance`; the weights are
    lambda, mu, nu in the paper.
    `z1`, `z2`: [N, D], N >= 2, not normalised. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, N < 2.
    Source: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning", 2021, arXiv 2105.04906 (https://arxiv.org/abs/2105.04906).
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    at_least_two_rows("z1", z1)
    variance = (vicreg_variance(z1) + vicreg_variance(z2)) / 2
    covariance = vicreg_covariance(z1) + vicreg_covariance(z2)
    invariance = vicreg_invariance(z1, z2)
    return invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance


def vicreg_invariance(z1, z2):
    """Mean squared difference over all entries of `z1` and `z2` [N, D]."""
    z1, z2 = float_pair("z1", z1, "z2", z2)
    return jnp.mean(jnp.square(z1 - z2))


def vicreg_variance(z, *, target=1.0, eps=1e-4):
    """Hinge that keeps every dimension of `z` [N, D] spread: mean_d max(0, target - sqrt(var_d + eps)).

    var is the unbiased variance over the batch. Raises: ValueError for N < 2.
    """
    z = float_array("z", z, rank=2)
    at_least_two_rows("z", z)
    return jnp.mean(jax.nn.relu(target - jnp.sqrt(jnp.var(z, axis=0, ddof=1) + eps)))


def vicreg_covariance(z):
    """Sum of the squared off-diagonal entries of the unbiased covariance of `z` [N, D], divided by D.

    Raises: ValueError for N < 2.
    """
    z = float_array("z", z, rank=2)
    at_least_two_rows("z", z)
    centred = z - jnp.mean(z, axis=0)
    return _off_diagonal_energy(_products(centred, centred) / (z.shape[0] - 1)) / z.shape[1]


def _standardise(z):
    return (z - jnp.mean(z, axis=0)) / jnp.sqrt(jnp.var(z, axis=0) + 1e-5)


def _products(a, b):
    # Accelerators multiply float32 in reduced precision by default;
    # the loss squares and sums D * D such entries.
    return jnp.matmul(a.T, b, precision=jax.lax.Precision.HIGHEST)


def _off_diagonal_energy(matrix):
    return jnp.sum(jnp.where(jnp.eye(matrix.shape[0], dtype=bool), 0.0, jnp.square(matrix)))
