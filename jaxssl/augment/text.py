"""Views of texts, and the preprocessing for evaluation.

The batch has `tokens` int32 [N, L] and `length` int32 [N] as `jaxssl.data.readers.text` gives them. A view, and the `x` of
evaluation, is a dict of `tokens` int32 [N, L] and `mask` bool [N, L], True = a token, False = padding. Other entries of
the batch are kept.
"""

import jax
import jax.numpy as jnp

from jaxssl.augment.dtypes import integer
from jaxssl.augment.view import check_count
from jaxssl.core import Augment

# The id of the mask token, as in jaxssl.ops.tokens.
MASK = 3


def mirror(
    *, span: int = 2, min_length: int = 10, drop_rate: tuple[float, float] = (0.0, 0.0), mask_id: int = MASK
) -> Augment:
    """Two views of a text: as it is, and with a random span of tokens hidden.

    With `drop_rate`, both lose some tokens. The dropout of the network makes the other differences. The paper hides
    5 characters of texts of 30 or more; here a token is a part of a word, about 4 characters long.

    Args:
      span: tokens hidden, 0 = none.
      min_length: texts with fewer tokens, the first and the last included, are left whole.
      drop_rate: (lower, upper), 0 <= lower <= upper < 1. Every view of every text draws a rate between them, and leaves
        every token but the first and the last out with this chance; the others move up. The paper has no such thing, but
        starts from a large language model that knows which words belong together. From random weights, and with one rate
        for all, the length of a text alone would tell which views belong together.
      mask_id: id of the mask token.

    Source: Liu, Vulic, Korhonen, Collier, Fast, Effective, and Self-Supervised: Transforming Masked Language Models
      into Universal Lexical and Sentence Encoders, 2021, arXiv:2104.08027, https://arxiv.org/abs/2104.08027
    """
    check_count("span", span, least=0)
    check_count("min_length", min_length, least=span + 2)

    lower, upper = drop_rate
    if not 0 <= lower <= upper < 1:
        raise ValueError(f"drop_rate={drop_rate}: must be (lower, upper) with 0 <= lower <= upper < 1.")

    def thinned(key, x):
        """A view without some of its tokens."""
        place = jnp.arange(x["mask"].shape[1])

        def draw(key):
            key_rate, key_tokens = jax.random.split(key)
            rate = jax.random.uniform(key_rate, (), minval=lower, maxval=upper)
            return jax.random.bernoulli(key_tokens, rate, place.shape)

        dropped = jax.vmap(draw)(jax.random.split(key, x["mask"].shape[0]))
        inner = (place > 0) & (place < x["mask"].sum(1, keepdims=True) - 1)
        kept = x["mask"] & ~(dropped & inner)
        order = jnp.argsort(~kept, axis=1, stable=True)
        mask = jnp.take_along_axis(kept, order, axis=1)
        return {"tokens": jnp.where(mask, jnp.take_along_axis(x["tokens"], order, axis=1), 0), "mask": mask}

    def augment(key, batch):
        tokens, length, rest = _take(batch)
        hide = lambda k, t, n: span_masked(k, t, n, span=span, min_length=min_length, mask_id=mask_id)
        hidden = jax.vmap(hide)(jax.random.split(key, tokens.shape[0]), tokens, length) if span else tokens
        views = tuple(_input(t, length) for t in (tokens, hidden))
        if upper:
            # Folded, so that the spans stay those of the same key without it.
            views = tuple(thinned(jax.random.fold_in(key, v), x) for v, x in enumerate(views))
        return {**rest, "views": views}

    return augment


def plain() -> Augment:
    """The text as it is: `x`, a dict of `tokens` and `mask`."""

    def preprocess(key, batch):
        del key
        tokens, length, rest = _take(batch)
        return {**rest, "x": _input(tokens, length)}

    return preprocess


def span_masked(
    key: jax.Array, tokens: jax.Array, length: jax.Array, *, span: int, min_length: int, mask_id: int
) -> jax.Array:
    """Replaces `span` neighbouring tokens of one text by the mask token, if it has `min_length` tokens or more.

    The span lies between the first and the last token (class token and separator), which are kept. Other texts
    are returned as they are.

    Args:
      key: random key.
      tokens: int [L].
      length: int [], the number of tokens that are not padding.
      span: 0 = no span.
      min_length: at least span + 2.
      mask_id: id of the mask token.

    Returns:
      int32 [L].
    """
    tokens = integer(tokens, "tokens")
    check_count("span", span, least=0)
    check_count("min_length", min_length, least=span + 2)
    start = jax.random.randint(key, (), 1, jnp.maximum(length - span, 2))
    place = jnp.arange(tokens.shape[0])
    inside = (place >= start) & (place < start + span) & (length >= min_length)
    return jnp.where(inside, mask_id, tokens)


def _take(batch):
    missing = [name for name in ("tokens", "length") if name not in batch]
    if missing:
        raise ValueError(f"the batch has no '{missing[0]}'; it has {sorted(batch)}")
    rest = {name: value for name, value in batch.items() if name not in ("tokens", "length")}
    return integer(batch["tokens"], "tokens"), integer(batch["length"], "length"), rest


def _input(tokens, length):
    return {"tokens": tokens, "mask": jnp.arange(tokens.shape[1]) < length[:, None]}
