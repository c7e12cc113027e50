"""Mirror-BERT: a text and its slightly damaged self attract under dropout, all other texts of the batch repel."""

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.card import Card
from jaxssl.core import Method, Out, Watch
from jaxssl.losses import masked_token_cross_entropy, nt_xent
from jaxssl.models.module import Module, forward, setup
from jaxssl.models.text import take_positions, token_head
from jaxssl.models.tokens import needs
from jaxssl.ops import partly_hidden
from jaxssl.ops.tokens import MASK, SPECIAL, masked_tokens
from jaxssl.skeletons.chain import interleaved, make_predict

CARD = Card("Mirror-BERT", "arXiv:2104.08027", 2021, "text", "contrast", beats=("floor", "untrained"))


def mirror_bert(
    encoder: Module, *, temperature: float = 0.04, mlm_steps: int = 0, masking_ratio: float = 0.15
) -> Method:
    """Mirror-BERT, after a masked language model where `mlm_steps` asks for one.

        step <  mlm_steps:  L = masked_token_cross_entropy of hidden tokens of both views
        step >= mlm_steps:  L = nt_xent(f(x1), f(x2)),   f with dropout, no projector

    Both views go through the encoder as one batch of 2N, so that every row draws its own dropout. The paper starts
    from a published masked language model, and its contrastive stage is short; here both stages may be one run. Nothing
    is stop-gradient. The head of the language model gets no gradient in the second stage.

    Args:
      encoder: a text encoder of models.text; without dropout or drophead the views of a short text would be equal.
      temperature: tau of NT-Xent; the paper takes 0.04 for sentences and 0.2 for words and phrases.
      mlm_steps: number of masked language model steps before the contrastive ones; 0 for none.
      masking_ratio: share of hidden tokens of the masked language model, in (0, 1); at least one token of every text.

    Batch: `views`, two dicts of `tokens` int [N, L], `mask` bool [N, L]. Memory: empty.

    Source: Liu, Vulic, Korhonen, Collier, Fast, Effective, and Self-Supervised: Transforming Masked Language Models
    into Universal Lexical and Sentence Encoders, 2021, arXiv:2104.08027, https://arxiv.org/abs/2104.08027
    """
    needs(encoder, "methods.mirror_bert", "patches", "vocab_size", example="models.text.text_encoder")
    if mlm_steps < 0:
        raise ValueError(f"method.mlm_steps={mlm_steps}: must be at least 0.")
    if not 0 < masking_ratio < 1:
        raise ValueError(f"method.masking_ratio={masking_ratio}: hides no token or all; it must lie between 0 and 1.")
    head = token_head(dtype=encoder.dtype)

    def init(key, batch):
        key_encoder, key_head = jax.random.split(key)
        params = {"encoder": setup(encoder, key_encoder, batch["views"][0])[0]}
        if mlm_steps:
            length = batch["views"][0]["tokens"].shape[1]
            partly_hidden(max(1, round(masking_ratio * length)), length, option=f"method.masking_ratio={masking_ratio}")
            table = params["encoder"]["embed"]["embedding"]
            params["mlm_head"], _ = setup(head, key_head, table[:1], table)
        return params, {}

    def loss(params, memory, batch, key, step):
        key_mask, key_encoder = jax.random.split(key)
        x = interleaved(batch["views"])
        first = step < mlm_steps
        if mlm_steps:
            allowed = x["mask"] & (x["tokens"] >= len(SPECIAL))
            options = dict(mask_id=MASK, first_id=len(SPECIAL), vocab_size=encoder.vocab_size)
            hidden = masked_tokens(key_mask, x["tokens"], allowed, rate=masking_ratio, **options)
            x = {**x, "tokens": jnp.where(first, hidden.tokens, x["tokens"])}
        tokens, _ = forward(encoder, params["encoder"], {}, x, train=True, key=key_encoder, method="encode")
        h, z = tokens.h, encoder.pooled(tokens)
        z = rearrange(z, "(n v) d -> v n d", v=2)

        def language(params):
            table = params["encoder"]["embed"]["embedding"]
            logits, _ = forward(head, params["mlm_head"], {}, take_positions(h, hidden.positions), table)
            return masked_token_cross_entropy(logits, hidden.targets.reshape(-1), hidden.predicted.reshape(-1))

        def contrast(params):
            del params
            return nt_xent(z[0], z[1], temperature=temperature)

        value = jax.lax.cond(first, language, contrast, params) if mlm_steps else contrast(params)
        return value, Out(memory, watch=Watch(z))

    return Method(init, loss, make_predict({"encoder": encoder}), negatives=True)
