"""Losses of language models: the cross entropy of predicted tokens."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.losses.rows import keep, mask_weights, rows_that_count, weighted
from jaxssl.ops.checks import float_array
from jaxssl.ops.meshes import any_mesh


@any_mesh
def masked_token_cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    predicted: jax.Array,
    *,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """BERT's masked language model: the cross entropy of the hidden tokens.

    sum_m w_m (log sum_k exp(s_mk) - s_m,y_m) / sum_m w_m, s the logits, y the targets, w the weights.
    `logits`: [M, K], tokens by vocabulary. `targets`: int [M], in 0 .. K - 1; where w is 0 they do not matter.
    `predicted`: w, bool or numbers [M], True = this token counts. Where none counts the loss is 0.
    `where`, `reduction`: as in `losses.rows`, a row being a token; a token's value with 'none' is that of
    `losses.rows.weighted`. What stands in tokens that do not count reaches nothing.
    Only w is stop-gradient.
    Raises: TypeError, ValueError for integer logits, targets that are no integers, shapes that do not agree.
    Source: Devlin, Chang, Lee, Toutanova, BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding, 2018, arXiv:1810.04805, https://arxiv.org/abs/1810.04805
    """
    logits = float_array("logits", logits, rank=2)
    targets = jnp.asarray(targets)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"targets must be integers, got {targets.dtype}")
    if targets.shape != logits.shape[:1]:
        raise ValueError(f"targets must be [M] = {logits.shape[:1]}, got shape {targets.shape}")
    where = rows_that_count(where, len(logits))
    weights = mask_weights("predicted", predicted, "[M]", where, logits.shape[:1], logits.dtype)
    logits, targets = keep(weights != 0, logits), keep(weights != 0, targets)
    picked = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    return weighted(logsumexp(logits, axis=1) - picked, weights, reduction)
