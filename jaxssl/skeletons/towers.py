"""Several modalities, a tower and a projection for each, and an objective of all embeddings."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Out, Split, Watch, split_method, statistics
from jaxssl.models.module import Module, forward, setup
from jaxssl.ops import l2_normalize
from jaxssl.skeletons.siamese import with_metrics


def towers(
    encoder: Module,
    heads: Mapping[str, Module],
    objective: Callable[[Any, dict[str, jax.Array], dict], Any],
    *,
    own: Callable[[], dict[str, jax.Array]] = dict,
    negatives: bool = True,
) -> Method:
    """A method that embeds every modality of an example into one space.

        h = {side: f_side(x_side)},   z_side = head_side(h_side),   L = objective(params, z, batch)

    Args:
      encoder: all towers in one module, {modality: input} -> {side: [N, D_side]}, the first side being the one whose
        features are evaluated.
      heads: projections by side, whose parameters are named `<side>_projection`.
      objective: (params, {side: z [N, D]}, what the batch holds beside its views) -> the loss, or (the loss, metrics).
      own: () -> the initial parameters of the objective, by name.
      negatives: as in `core.Method`.

    Batch: `views`, a tuple of one input of the encoder. predict: `features` (the first side's), `<side>_embedding` of unit
    length for every side, `<side>_features` for the others; a side whose input is missing is left out.
    Memory: `stats`. The loss is split, so that chunks apply.
    """
    names = {side: f"{side}_projection" for side in heads}
    first = next(iter(heads))

    def init(key, batch):
        view, (key_encoder, *keys) = batch["views"][0], jax.random.split(key, 1 + len(heads))
        params, stats = setup(encoder, key_encoder, view)
        h, _ = forward(encoder, params, stats, view)
        projections = {names[side]: setup(heads[side], k, h[side])[0] for side, k in zip(heads, keys)}
        return {"encoder": params, **projections, **own()}, {"stats": {"encoder": stats}}

    def run(params, memory, view, **options):
        h, stats = forward(encoder, params["encoder"], statistics(memory)["encoder"], view, **options)
        z = {side: forward(heads[side], params[names[side]], {}, h[side])[0] for side in h}
        return h, z, {**memory, "stats": {"encoder": stats}}

    def embed(params, memory, batch, key, step):
        h, z, memory = run(params, memory, batch["views"][0], train=True, key=key)
        return {"features": h[first], "projections": z}, memory

    def of_embeddings(params, memory, embeddings, batch, key, step):
        z = embeddings["projections"]
        value, metrics = with_metrics(objective(params, z, batch))
        watch = Watch(embeddings["features"][None], jnp.stack([z[side] for side in heads]))
        return value, Out(memory, metrics, watch)

    def predict(params, memory, batch):
        h, z, _ = run(params, memory, batch["x"])
        others = {f"{side}_features": h[side] for side in h if side != first}
        return {"features": h[first], **{f"{side}_embedding": l2_normalize(z[side]) for side in z}, **others}

    return split_method(init, Split(embed, of_embeddings), predict, negatives=negatives)
