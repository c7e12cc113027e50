"""Losses on batch statistics: equal views, dimensions with variance and without correlation."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import count, keep, mean, reduce, rows_that_count, variance, zero_unless
from jaxssl.ops.checks import at_least_two_rows, finite_scalar, float_array, float_pair, positive_scalar
from jaxssl.ops.meshes import any_mesh


@any_mesh
def barlow_twins(
    z1: jax.Array,
    z2: jax.Array,
    *,
    redundancy_weight: float | jax.Array = 0.005,
    where: jax.Array | None = None,
) -> jax.Array:
    """Barlow Twins' loss: the squared distance of the cross-correlation matrix of two views from the identity.

    sum_i (1 - C_ii)^2 + redundancy_weight * sum_{i != j} C_ij^2, C = u1^T u2 / N, where u is z with every
    dimension standardised over the batch (population variance + 1e-5, as BatchNorm does).
    `z1`, `z2`: [N, D], N >= 2. `redundancy_weight`: the paper's lambda. `where`: as in `losses.rows`; where fewer
    than two rows count the loss is 0. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, N < 2.
    Source: Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction, 2021, arXiv:2103.03230, https://arxiv.org/abs/2103.03230
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    at_least_two_rows("z1", z1)
    redundancy_weight = finite_scalar("redundancy_weight", redundancy_weight, z1.dtype)
    where = rows_that_count(where, len(z1))
    z1, z2 = _standardise(where, keep(where, z1)), _standardise(where, keep(where, z2))
    correlation = _products(z1, z2) / jnp.maximum(count(where, z1), 1)
    on_diagonal = jnp.sum(jnp.square(1 - jnp.diagonal(correlation)))
    return zero_unless(where, on_diagonal + redundancy_weight * _off_diagonal_energy(correlation), least=2)


@any_mesh
def vicreg(
    z1: jax.Array,
    z2: jax.Array,
    *,
    invariance_weight: float | jax.Array = 25.0,
    variance_weight: float | jax.Array = 25.0,
    covariance_weight: float | jax.Array = 1.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """Variance-invariance-covariance regularisation of two views.

    invariance_weight * s(z1, z2) + variance_weight * (v(z1) + v(z2)) / 2 + covariance_weight * (c(z1) +
    c(z2)) with s, v, c = `vicreg_invariance`, `vicreg_variance`, `vicreg_covariance`; the weights are
    lambda, mu, nu in the paper.
    `z1`, `z2`: [N, D], N >= 2, not normalised. `where`: as in `losses.rows`; where fewer than two rows count
    variance and covariance are 0. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, N < 2.
    Source: Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised
    Learning, 2021, arXiv:2105.04906, https://arxiv.org/abs/2105.04906
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    at_least_two_rows("z1", z1)
    weights = dict(invariance=invariance_weight, variance=variance_weight, covariance=covariance_weight)
    weights = {name: finite_scalar(f"{name}_weight", weight, z1.dtype) for name, weight in weights.items()}
    spread = (vicreg_variance(z1, where=where) + vicreg_variance(z2, where=where)) / 2
    covariance = vicreg_covariance(z1, where=where) + vicreg_covariance(z2, where=where)
    invariance = vicreg_invariance(z1, z2, where=where)
    return weights["invariance"] * invariance + weights["variance"] * spread + weights["covariance"] * covariance


@any_mesh
def vicreg_invariance(
    z1: jax.Array, z2: jax.Array, *, where: jax.Array | None = None, reduction: str = "mean"
) -> jax.Array:
    """Mean squared difference over all entries of `z1` and `z2` [N, D].

    `where`, `reduction`: as in `losses.rows`. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: that of `vicreg`.
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    where = rows_that_count(where, len(z1))
    return reduce(where, jnp.square(keep(where, z1) - keep(where, z2)), reduction)


@any_mesh
def vicreg_variance(
    z: jax.Array,
    *,
    target: float | jax.Array = 1.0,
    eps: float | jax.Array = 1e-4,
    where: jax.Array | None = None,
) -> jax.Array:
    """Hinge that keeps every dimension of `z` [N, D] spread: mean_d max(0, target - sqrt(var_d + eps)).

    var is the unbiased variance over the batch. `where`: as in `losses.rows`; where fewer than two rows count the value
    is 0. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, a wrong shape, N < 2, eps <= 0.
    Source: that of `vicreg`.
    """
    z = float_array("z", z, rank=2)
    at_least_two_rows("z", z)
    target, eps = finite_scalar("target", target, z.dtype), positive_scalar("eps", eps, z.dtype)
    where = rows_that_count(where, len(z))
    deviation = jnp.sqrt(variance(where, keep(where, z), ddof=1) + eps)
    return zero_unless(where, jnp.mean(jax.nn.relu(target - deviation)), least=2)


@any_mesh
def vicreg_covariance(z: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Sum of the squared off-diagonal entries of the unbiased covariance of `z` [N, D], divided by D.

    `where`: as in `losses.rows`; where fewer than two rows count the value is 0. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, a wrong shape, N < 2.
    Source: that of `vicreg`.
    """
    z = float_array("z", z, rank=2)
    at_least_two_rows("z", z)
    where = rows_that_count(where, len(z))
    z = keep(where, z)
    centred = keep(where, z - mean(where, z))
    return _off_diagonal_energy(_products(centred, centred) / jnp.maximum(count(where, z) - 1, 1)) / z.shape[1]


def _standardise(where, z):
    return keep(where, (z - mean(where, z)) / jnp.sqrt(variance(where, z) + 1e-5))


def _products(a, b):
    # Accelerators multiply float32 in reduced precision by default; the loss sums the squares of D * D such entries.
    return jnp.matmul(a.T, b, precision=jax.lax.Precision.HIGHEST)


def _off_diagonal_energy(matrix):
    return jnp.sum(jnp.where(jnp.eye(matrix.shape[0], dtype=bool), 0.0, jnp.square(matrix)))
