"""Exact large batches on small memory: the embeddings of a batch in chunks, its loss as a whole.

The batch is embedded chunk by chunk, the loss of all embeddings is taken together, and every chunk is embedded again for
its gradient. Loss and gradient are those of the whole batch, the activations those of a chunk; the forward pass is
computed twice. For methods with a `core.Split` only; where the loss is a mean over examples, as MAE's, the losses of the
examples are their embeddings. Random choices of `embed` (masks, dropped paths) are drawn anew for every chunk.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Split, beside_views, statistics


def check_chunks(method: Method, memory: Any, batch_size: int, gradient_chunks: int) -> None:
    """Raises ValueError where a step in chunks would not be the step of the whole batch.

    Args:
      memory: that of the method, or its shapes.
      batch_size: examples of one shard of the batch.
    """
    name = f"gradient_chunks={gradient_chunks}"
    if gradient_chunks < 1 or batch_size % gradient_chunks:
        raise ValueError(f"{name}: must be at least 1 and divide the {batch_size} examples of one shard of the batch.")
    if gradient_chunks == 1:
        return
    if method.split is None:
        raise ValueError(
            f"{name}: the loss of this method is not written as a function of embeddings, and the mean of the losses of"
            " chunks would be another loss, with fewer negatives or poorer statistics. Take encoder.remat=True or"
            " encoder.dtype=bfloat16 to save memory, or a method with a split (methods.simclr, vicreg, barlow_twins, clip, mae,"
            " clmr, cvrl, clan)."
        )
    if jax.tree.leaves(statistics(memory)):
        raise ValueError(
            f"{name}: a batch norm would see the statistics of a chunk, not of the batch, which changes the method. Take"
            " an encoder without batch norm (models.vit, say) and method.norm=False where the method has it."
        )


def chunked_value_and_grad(split: Split, num_chunks: int) -> Callable:
    """As jax.value_and_grad of the composed loss, in two passes over chunks of the batch.

    Chunk j has the rows j, j + c, j + 2c, ..., so that a batch sharded over its rows stays where it is.

    Source: Gao, Zhang, Han, Callan, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021,
      arXiv:2101.06983, https://arxiv.org/abs/2101.06983
    """

    def value_and_grad(params, memory, batch, key, step):
        key_embed, key_objective = jax.random.split(key)
        chunks = jax.tree.map(lambda x: _apart(x, num_chunks), batch), jax.random.split(key_embed, num_chunks)

        def embed(params, chunk):
            rows, key_chunk = chunk
            return split.embed(params, memory, rows, key_chunk, step)[0]

        embeddings = jax.tree.map(_together, jax.lax.map(lambda chunk: embed(params, chunk), chunks))

        def objective(params, embeddings):
            return split.objective(params, memory, embeddings, beside_views(batch), key_objective, step)

        grad_fn = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
        found, (gradient, cotangents) = grad_fn(params, embeddings)

        def add(gradient, chunk):
            *inputs, cotangent = chunk
            _, pull = jax.vjp(lambda p: embed(p, inputs), params)
            return jax.tree.map(jnp.add, gradient, pull(cotangent)[0]), None

        cotangents = jax.tree.map(lambda x: _apart(x, num_chunks), cotangents)
        return found, jax.lax.scan(add, gradient, (*chunks, cotangents))[0]

    return value_and_grad


def _apart(x, num_chunks):
    """[N, ...] -> [c, N / c, ...], every c-th row to one chunk."""
    return jnp.moveaxis(x.reshape(-1, num_chunks, *x.shape[1:]), 1, 0)


def _together(x):
    """[c, N / c, ...] -> [N, ...], the inverse of `_apart`."""
    return jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:])
