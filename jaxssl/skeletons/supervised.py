"""Classification with labels for some examples or all, through one chain of networks."""

from collections.abc import Callable
from typing import Any

import jax

from jaxssl.core import Batch, Method, Out, Split, Watch, split_method
from jaxssl.skeletons.chain import Chain, begin_chain, by_view, embed_apart, make_predict
from jaxssl.skeletons.siamese import with_metrics


def supervised(chain: Chain, objective: Callable[[jax.Array, jax.Array], Any]) -> Method:
    """A method that learns from `target`, never from `label`.

        out = {name: [V, N, D] of every network of the chain},   L = objective(out["head"], target)

    Args:
      chain: modules by name: the encoder first, at its end the `head`, whose outputs are the logits.
      objective: (logits [V, N, C], target int32 [N], -1 = hidden) -> the loss, or (the loss, metrics by name).

    Batch: `views`, a tuple of V inputs of the encoder; `target`. Memory: `stats`. The loss is split, so that chunks apply.
    """

    def of_embeddings(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
        value, metrics = with_metrics(objective(out["head"], target_of(batch)))
        return value, Out(memory, metrics, Watch(next(iter(out.values()))))

    split = Split(embed_apart(chain), of_embeddings)
    return split_method(begin_chain(chain), split, with_logits(make_predict(chain)))


def target_of(batch: Batch) -> jax.Array:
    """The labels that a loss may use, int32 [N], -1 = hidden. Raises ValueError where the batch has no `target`."""
    if "target" not in batch:
        raise ValueError(
            "this method reads `target`, which this data has not: data=dict(name='data.subset.labelled', fraction=1.0,"
            " of=dict(name='data.sets.fashion_mnist_12k')) makes it."
        )
    return batch["target"]


def with_logits(predict: Callable) -> Callable:
    """`predict` with the outputs of the `head` under the name `logits` [N, C], which evaluators of classification read."""

    def named(params, memory, batch):
        outputs = predict(params, memory, batch)
        return {**{k: v for k, v in outputs.items() if k != "head"}, "logits": outputs["head"]}

    return named
