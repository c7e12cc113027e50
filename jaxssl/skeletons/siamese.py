"""Views through one chain of networks, and an objective of their embeddings: contrast, redundancy, prediction."""

from collections.abc import Callable
from typing import Any

import jax

from jaxssl.core import Method, Out, Split, Watch, split_method
from jaxssl.skeletons.chain import Chain, begin_chain, by_view, embed_apart, embed_together, make_predict

Outputs = dict[str, jax.Array]


def watch_chain(out: Outputs) -> Watch:
    """Features are the outputs of the encoder, projections those of the projector where there is one."""
    return Watch(next(iter(out.values())), out.get("projector"))


def siamese(
    chain: Chain,
    objective: Callable[[Outputs], Any],
    *,
    together: bool = False,
    negatives: bool = False,
    watch: Callable[[Outputs], Watch] = watch_chain,
) -> Method:
    """A method that sends all views through one chain.

        out = {name: [V, N, D] of every network of the chain},   L = objective(out)

    Args:
      chain: modules by name, the encoder first.
      objective: outputs by name -> the loss, or (the loss, metrics by name). What is stop-gradient is said there.
      together: all views go through the chain as one batch of V * N, with common batch statistics; else one view after
        the other, each with its own.
      negatives: as in `core.Method`.
      watch: outputs by name -> what the monitor looks at.

    Batch: `views`, a tuple of V inputs of the encoder. Memory: `stats`. The loss is split, so that chunks apply.
    """

    def of_embeddings(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
        value, metrics = with_metrics(objective(out))
        return value, Out(memory, metrics, watch(out))

    embed = embed_together(chain) if together else embed_apart(chain)
    return split_method(begin_chain(chain), Split(embed, of_embeddings), make_predict(chain), negatives=negatives)


def with_metrics(found: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
    """(loss, metrics) from the return value of an objective, which is the loss or both."""
    return found if isinstance(found, tuple) else (found, {})
