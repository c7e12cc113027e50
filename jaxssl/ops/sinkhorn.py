"""Balanced assignment by optimal transport."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.ops.checks import float_array, positive_int, positive_scalar
from jaxssl.ops.meshes import any_mesh


@any_mesh
def sinkhorn(
    scores: jax.Array,
    *,
    epsilon: float | jax.Array = 0.05,
    num_iters: int = 3,
    where: jax.Array | None = None,
) -> jax.Array:
    """Soft assignment of N rows to K prototypes that uses all prototypes about equally.

    Q = exp(scores / epsilon), then `num_iters` times: every column is scaled to the sum N / K, every row to
    the sum 1.
    All in log space, so that a small epsilon or large scores neither overflow nor leave empty rows.
    `scores`: [N, K], higher is closer. `where`: bool [N], False = padding: a row that changes nothing and gets 0; N above
    is the number of the other rows. Returns [N, K], whose rows sum to 1 (for num_iters = 0 only the total is N).
    Differentiable; callers that want constant codes stop the gradient themselves.
    Raises: TypeError, ValueError for integer scores, a wrong rank, epsilon <= 0, num_iters < 0.
    Source: Cuturi, Sinkhorn Distances: Lightspeed Computation of Optimal Transportation Distances, 2013, arXiv:1306.0895,
    https://arxiv.org/abs/1306.0895; as used by Caron et al., Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments, 2020, arXiv:2006.09882, https://arxiv.org/abs/2006.09882
    """
    scores = float_array("scores", scores, rank=2)
    epsilon = positive_scalar("epsilon", epsilon, scores.dtype)
    positive_int("num_iters", num_iters, least=0)
    num_rows, num_prototypes = scores.shape
    total: Any = num_rows
    log: Callable = math.log
    seen, shown = lambda log_q: log_q, lambda q: q
    if where is not None:
        where = jnp.asarray(where)
        if where.dtype != bool or where.shape != (num_rows,):
            raise ValueError(f"where must be bool [N] with N = {num_rows}, got {where.dtype} {where.shape}")
        # Where no row counts all do, and get 0 in the end: no logarithm of 0 reaches the gradient.
        counted, where = (where | ~jnp.any(where))[:, None], where[:, None]
        scores = jnp.where(where, scores, 0)
        scores = jnp.where(counted, scores, jax.lax.stop_gradient(jnp.max(scores, where=counted, initial=-jnp.inf)))
        total = jnp.sum(counted, dtype=scores.dtype)
        log, seen, shown = jnp.log, lambda log_q: jnp.where(counted, log_q, -jnp.inf), lambda q: jnp.where(where, q, 0)

    def balance(_, log_q):
        log_q = log_q - logsumexp(seen(log_q), axis=0, keepdims=True) + log(total / num_prototypes)
        return log_q - logsumexp(log_q, axis=1, keepdims=True)

    # A common offset cancels; subtracting it first keeps the digits of large scores.
    log_q = (scores - jax.lax.stop_gradient(jnp.max(scores))) / epsilon
    log_q = log_q - logsumexp(seen(log_q)) + log(total)
    return shown(jnp.exp(jax.lax.fori_loop(0, num_iters, balance, log_q)))
