"""CLIP: an image and its caption attract, the other captions and images of the batch repel."""

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import clip as clip_loss
from jaxssl.losses import clip_chunked
from jaxssl.models.heads import projector
from jaxssl.models.module import forward, setup
from jaxssl.ops import l2_normalize


def clip(
    encoder,
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
        raise ValueError(f"methods.clip: temperature must be above 0, got {temperature}.")
    if block_size and multi_positive:
        raise ValueError("methods.clip: block_size goes with multi_positive=False only, where a row has one positive.")
    head = projector((), dim, bias=False, dtype=encoder.dtype)
    names = {"image": "image_projection", "text": "text_projection"}

    def init(key, batch):
        key_encoder, *keys = jax.random.split(key, 3)
        view = batch["views"][0]
        params, stats = {}, {}
        params["encoder"], stats["encoder"] = setup(encoder, key_encoder, view)
        h, _ = forward(encoder, params["encoder"], stats["encoder"], view)
        for (side, name), key_head in zip(names.items(), keys):
            params[name], _ = setup(head, key_head, h[side])
        params["log_scale"] = -jnp.log(jnp.float32(temperature))
        return params, {"stats": stats}

    def both(params, stats, view, **options):
        h, stats = forward(encoder, params["encoder"], stats["encoder"], view, **options)
        z = {side: forward(head, params[names[side]], {}, h[side])[0] for side in h}
        return h, z, {"encoder": stats}

    def embed(params, memory, batch, key, step):
        h, z, stats = both(params, memory["stats"], batch["views"][0], train=True, key=key)
        return {"features": h["image"], "projections": z}, {"stats": stats}

    def objective(params, memory, embeddings, batch, key, step):
        z, groups = embeddings["projections"], batch["group"] if multi_positive else None
        pair = z["image"], z["text"], params["log_scale"]
        if block_size:
            value = clip_chunked(*pair, max_scale=max_scale, block_size=block_size)
        else:
            value = clip_loss(*pair, groups=groups, max_scale=max_scale)
        projections = jnp.stack([z["image"], z["text"]])
        metrics = {
            "features": embeddings["features"][None],
            "projections": projections,
            "scale": jnp.exp(params["log_scale"]),
        }
        return value, (memory, metrics)

    def predict(params, memory, batch):
        h, z, _ = both(params, memory["stats"], batch["x"])
        out = {f"{side}_embedding": l2_normalize(z[side]) for side in z}
        if "text" in h:
            out["text_features"] = h["text"]
        return {"features": h["image"], **out}

    return split_method(init, Split(embed, objective), predict, negatives=True)
