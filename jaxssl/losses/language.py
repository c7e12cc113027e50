"""Losses of language models: the cross entropy of the tokens to be predicted."""

import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.ops.checks import float_array


def masked_token_cross_entropy(logits, targets, predicted):
    """BERT's masked language model: the cross entropy of the hidden tokens.

    sum_m w_m (log sum_k exp(s_mk) - s_m,y_m) / max(sum_m w_m, 1), s the logits, y the targets, w the weights.
    `logits`: [M, K], tokens by vocabulary. `targets`: int [M], in 0 .. K - 1; where w is 0 they do not matter.
    `predicted`: w, bool or numbers [M], True = this token counts. Where none counts the loss is 0.
    Nothing is stop-gradient but w, through which no gradient flows.
    Raises: TypeError, ValueError for integer logits, targets that are no integers, shapes that do not agree.
    Source: Devlin, Chang, Lee, Toutanova, "BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding", 2018, arXiv 1810.04805 (https://arxiv.org/abs/1810.04805).
    """
    logits = float_array("logits", logits, rank=2)
    targets, predicted = jnp.asarray(targets), jnp.asarray(predicted)
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise TypeError(f"targets must be integers, got {targets.dtype}")
    for name, array in (("targets", targets), ("predicted", predicted)):
        if array.shape != logits.shape[:1]:
            raise ValueError(f"{name} must be [M] with M = {logits.shape[0]}, got shape {array.shape}")
    counts = predicted.astype(logits.dtype)
    picked = jnp.take_along_axis(logits, jnp.where(predicted.astype(bool), targets, 0)[:, None], axis=1)[:, 0]
    entropy = jnp.where(predicted.astype(bool), logsumexp(logits, axis=1) - picked, 0)
    return jnp.sum(counts * entropy) / jnp.maximum(jnp.sum(counts), 1)
