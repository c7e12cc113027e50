"""The special token ids, and the masking of token sequences for a masked language model."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import unit_interval
from jaxssl.ops.meshes import any_mesh

# The first ids of every vocabulary; others begin at len(SPECIAL).
SPECIAL = ("pad", "cls", "sep", "mask", "start", "end")
PAD, CLS, SEP, MASK, START, END = range(len(SPECIAL))


class MaskedTokens(NamedTuple):
    """Masked token sequences, with the positions and ids of the hidden tokens.

    tokens:    int32 [N, L], what the network sees.
    positions: int32 [N, M], the positions to predict.
    targets:   int32 [N, M], the ids that stood there.
    predicted: bool [N, M], False = padding of the list, to be ignored.
    """

    tokens: jax.Array
    positions: jax.Array
    targets: jax.Array
    predicted: jax.Array


@any_mesh
def masked_tokens(
    key: jax.Array,
    tokens: jax.Array,
    allowed: jax.Array,
    *,
    rate: float = 0.15,
    mask_id: int,
    first_id: int,
    vocab_size: int,
) -> MaskedTokens:
    """Hides tokens as BERT does: of those chosen, 80% become the mask token, 10% a random one, 10% stay.

    In every row max(1, round(rate * number of allowed tokens)) are chosen, without repetition; none where none is
    allowed. M = max(1, round(rate * L)) is the same for all rows, so that shapes are static.

    Args:
      key: random key.
      tokens: int [N, L].
      allowed: bool [N, L], True = may be chosen (no padding, no special token).
      rate: share of the allowed tokens, in [0, 1].
      mask_id: id of the mask token.
      first_id, vocab_size: random tokens are drawn from first_id ... vocab_size - 1.

    Returns:
      MaskedTokens.

    Raises:
      ValueError: options out of range.

    Source: Devlin, Chang, Lee, Toutanova, BERT: Pre-training of Deep Bidirectional Transformers for Language
    Understanding, 2018, arXiv:1810.04805, https://arxiv.org/abs/1810.04805
    """
    unit_interval("rate", rate)
    if not 0 <= first_id < vocab_size:
        raise ValueError(f"first_id={first_id}: must lie in 0 .. vocab_size - 1 = {vocab_size - 1}.")
    key_choice, key_kind, key_token = jax.random.split(key, 3)
    num = max(1, round(rate * tokens.shape[1]))
    score = jnp.where(allowed, jax.random.uniform(key_choice, tokens.shape), -1.0)
    _, positions = jax.lax.top_k(score, num)
    available = allowed.sum(axis=1, keepdims=True)
    wanted = jnp.clip(jnp.round(rate * available), 1, available)
    predicted = jnp.arange(num) < wanted
    targets = jnp.take_along_axis(tokens, positions, axis=1)
    kind = jax.random.uniform(key_kind, positions.shape)
    drawn = jax.random.randint(key_token, positions.shape, first_id, vocab_size)
    shown = jnp.where(kind < 0.8, mask_id, jnp.where(kind < 0.9, drawn, targets))
    shown = jnp.where(predicted, shown, targets).astype(tokens.dtype)
    hidden = jnp.put_along_axis(tokens, positions, shown, axis=1, inplace=False)
    return MaskedTokens(hidden, positions.astype(jnp.int32), targets, predicted)
