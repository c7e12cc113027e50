"""CLIP: an image and its caption attract, the other captions and images of the batch repel."""

import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import clip as clip_loss
from jaxssl.losses import clip_chunked
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.skeletons.towers import towers

CARD = Card("CLIP", "arXiv:2103.00020", 2021, "image_text", "contrast", beats=("floor", "untrained"))


def clip(
    encoder: Module,
    *,
    dim: int = 512,
    temperature: float = 0.07,
    max_scale: float = 100.0,
    multi_positive: bool = False,
    block_size: int = 0,
) -> Method:
    """CLIP.

        u = l2n(W_image f(image)),   v = l2n(W_text g(text)),   S = s U V^T
        L = (mean_i CE(S_i, i) + mean_j CE(S^T_j, j)) / 2

    The scale s = exp(log_scale) is learned; weight decay must not touch it (optim.exclude). Nothing is stop-gradient.

    Args:
      encoder: two towers, {'image', 'tokens', 'mask'} -> {'image': [N, D], 'text': [N, E]}, see `models.two_tower`.
      dim: width of the common space; both projections are without bias.
      temperature: s starts at 1 / temperature.
      max_scale: bound of s.
      multi_positive: rows with equal `group` are positives of each other; for data whose captions repeat.
      block_size: b > 0 takes clip_chunked, which never holds more than b x b logits; not with multi_positive.

    Batch: `views`, a tuple of one view {'image' [N, H, W, C], 'tokens' [N, L], 'mask' [N, L]}; with multi_positive
    `group` int [N]. Evaluation: `x`, such a view; without 'tokens' there is no text embedding.
    Memory: `stats`.

    Source: Radford, Kim, Hallacy et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
    arXiv:2103.00020, https://arxiv.org/abs/2103.00020
    """
    if not temperature > 0:
        raise ValueError(f"method.temperature={temperature}: must be above 0.")
    if block_size and multi_positive:
        raise ValueError(
            f"method.block_size={block_size}: goes with multi_positive=False only, where a row has one positive."
        )
    head = projector((), dim, bias=False, dtype=encoder.dtype)

    def objective(params, z, batch):
        pair, groups = (z["image"], z["text"], params["log_scale"]), batch["group"] if multi_positive else None
        if block_size:
            value = clip_chunked(*pair, max_scale=max_scale, block_size=block_size)
        else:
            value = clip_loss(*pair, groups=groups, max_scale=max_scale)
        return value, {"scale": jnp.exp(params["log_scale"])}

    own = lambda: {"log_scale": -jnp.log(jnp.float32(temperature))}
    return towers(encoder, {"image": head, "text": head}, objective, own=own)
