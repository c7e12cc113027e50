"""Losses that compare predicted and target representations of hidden tokens."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import float_pair
from jaxssl.ops.meshes import any_mesh


@any_mesh
def jepa(
    pred: jax.Array,
    target: jax.Array,
    *,
    kind: str = "l2",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Joint-embedding prediction: the error of predicted representations, averaged over all entries.

    kind 'l1': mean |p - h|; kind 'l2': mean (p - h)^2. Nothing is normalised.
    `pred`: predictions [..., D] of hidden tokens; `target`: the teacher's representations of them [..., D],
    stop-gradient; two axes or more. Where they are equal the gradient is 0 for both kinds. `where`, `reduction`: as in
    `losses.rows`, the rows being those of the first axis.
    Raises: TypeError, ValueError for integers, wrong or different shapes, an unknown kind.
    Source: Assran et al., Self-Supervised Learning from Images with a Joint-Embedding Predictive Architecture,
    2023, arXiv:2301.08243, https://arxiv.org/abs/2301.08243; 'l1' as in Weimann, Conrad, Self-Supervised
    Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG Classification Performance, 2024,
    arXiv:2410.13867, https://arxiv.org/abs/2410.13867
    """
    if kind not in ("l1", "l2"):
        raise ValueError(f"kind={kind!r}: must be 'l1' or 'l2'.")
    pred, target = float_pair("pred", pred, "target", target, rank=max(jnp.ndim(pred), 2))
    where = rows_that_count(where, len(pred))
    error = keep(where, pred) - keep(where, jax.lax.stop_gradient(target))
    # Not jnp.abs, whose slope at 0 is 1.
    return reduce(where, error * jnp.sign(error) if kind == "l1" else jnp.square(error), reduction)
