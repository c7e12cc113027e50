"""Measures of collapse and spread of embeddings, all computed in float32 at least."""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, logsumexp

from jaxssl.ops.checks import at_least_two_rows, float_array, float_pair, positive_scalar, scalar_at_least
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def effective_rank(x: jax.Array, *, center: bool = False, eps: float | jax.Array = 1e-7) -> jax.Array:
    """RankMe: the number of directions that the rows of `x` [N, D] use, from 1 (collapsed) to min(N, D).

    exp(-sum_k p_k log p_k), p_k = s_k / sum_j s_j + eps, with the singular values s of `x`.
    `center`: subtract the mean row first (the paper does not). The singular values come from an SVD, not from the
    eigenvalues of a Gram matrix, whose square roots would magnify rounding errors.
    An all-zero `x` gives about 1.
    Raises: TypeError, ValueError for integers or a wrong rank.
    Source: Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised
    Representations by Their Rank, 2023, arXiv:2210.02885, https://arxiv.org/abs/2210.02885
    """
    x = float_array("x", x, rank=2)
    eps = scalar_at_least("eps", eps, x.dtype, 0)
    if center:
        x = x - jnp.mean(x, axis=0)
    singular = jnp.linalg.svd(x, compute_uv=False)
    total = jnp.sum(singular)
    p = singular / jnp.where(total == 0, 1, total) + eps
    return jnp.exp(jnp.sum(_entr(p)))


@any_mesh
def alignment(z1: jax.Array, z2: jax.Array) -> jax.Array:
    """Mean squared distance of positive pairs, from 0 (equal) to 4.

    mean_n ||z1_n - z2_n||^2 on L2-normalised rows.
    `z1`, `z2`: [N, D].
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Wang, Isola, Understanding Contrastive Representation Learning through Alignment and
    Uniformity on the Hypersphere, 2020, arXiv:2005.10242, https://arxiv.org/abs/2005.10242
    """
    z1, z2 = float_pair("z1", z1, "z2", z2)
    return jnp.mean(jnp.sum(jnp.square(l2_normalize(z1) - l2_normalize(z2)), axis=1))


@any_mesh
def uniformity(z: jax.Array, t: float | jax.Array = 2) -> jax.Array:
    """Uniformity of rows on the sphere: 0 = collapsed, lower is more even.

    log of the mean over pairs i != j of exp(-t ||z_i - z_j||^2), on L2-normalised rows.
    `z`: [N, D], N >= 2.
    Raises: ValueError for N < 2 or a known t <= 0.
    Source: that of `alignment`.
    """
    z = float_array("z", z, rank=2)
    at_least_two_rows("z", z)
    t = positive_scalar("t", t, z.dtype)
    z = l2_normalize(z)
    # Distances do not depend on the origin; centred at the mean, nearly equal rows keep their digits.
    z = z - jax.lax.stop_gradient(jnp.mean(z, axis=0))
    num = z.shape[0]
    squared = jnp.sum(jnp.square(z), axis=1)
    products = jnp.matmul(z, z.T, precision=jax.lax.Precision.HIGHEST)
    distances = jnp.maximum(squared[:, None] + squared[None, :] - 2 * products, 0.0)
    others = jnp.where(jnp.eye(num, dtype=bool), -jnp.inf, -t * distances)
    return logsumexp(others) - math.log(num * (num - 1))


@any_mesh
def feature_std(x: jax.Array) -> jax.Array:
    """Mean over D of the standard deviation over N (population) of the L2-normalised rows of `x` [N, D].

    0 = collapsed, where the gradient is zero; rows spread evenly over the sphere give 1 / sqrt(D), the value to compare
    with.
    Source: Chen, He, Exploring Simple Siamese Representation Learning, 2020, arXiv:2011.10566,
    https://arxiv.org/abs/2011.10566
    """
    variance = jnp.var(l2_normalize(float_array("x", x, rank=2)), axis=0)
    varies = variance != 0
    # No square root of 0, where its derivative is infinite; the gradient is zero there.
    return jnp.mean(jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 0))


@any_mesh
def entropy(probabilities: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Entropies in nats of assignments [M, K]: (mean over rows of H(row), H(mean of the rows)); 0 log 0 = 0.

    The first falls when assignments sharpen; the second is log K when all classes are used equally, 0 when
    one is. The gradient at 0 is zero, instead of infinite.
    """
    p = float_array("probabilities", probabilities, rank=2)
    return jnp.mean(jnp.sum(_entr(p), axis=1)), jnp.sum(_entr(jnp.mean(p, axis=0)))


def _entr(p):
    """-p log p, with the value and the gradient 0 at p = 0."""
    return jnp.where(p == 0, 0, entr(jnp.where(p == 0, 1, p)))
