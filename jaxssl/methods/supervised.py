"""Supervised classification: the upper bound in a table, and the base of methods that learn from labels."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import cross_entropy
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.skeletons.supervised import supervised as of_targets

CARD = Card("Supervised", "arXiv:1512.00567", 2015, "any", "supervised")


def supervised(
    encoder: Module,
    *,
    num_classes: int | None = None,
    loss: Literal["cross_entropy"] = "cross_entropy",
    label_smoothing: float = 0.0,
    hidden_dims: tuple[int, ...] = (),
) -> Method:
    """A classifier on top of the encoder, trained on the examples whose class is known.

        logits = W f(x) + b,   L = mean over views of cross_entropy(logits, target)

    Examples with target -1 count in batch statistics only. Nothing is stop-gradient.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      num_classes: C; None: the number of classes of the data.
      loss: name of a loss in `losses.classification`.
      label_smoothing: a, the probability that the target spreads evenly over all classes, in [0, 1].
      hidden_dims: widths of hidden layers of the head, with batch norm and ReLU; () is a linear head.

    Batch: `views`, one array [N, ...] or several; `target` int32 [N], -1 = hidden. Memory: `stats`.

    Source: label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, Rethinking the Inception Architecture for Computer
    Vision, 2015, arXiv:1512.00567, https://arxiv.org/abs/1512.00567
    """
    if not num_classes:
        raise ValueError(f"method.num_classes={num_classes}: the data says none; give the number of classes.")
    chain = {"encoder": encoder, "head": projector(hidden_dims, num_classes, dtype=encoder.dtype)}

    def objective(logits, target):
        of_view = lambda view: cross_entropy(view, target, label_smoothing=label_smoothing)
        return jnp.mean(jax.vmap(of_view)(logits)), {"accuracy": accuracy(logits[0], target)}

    return of_targets(chain, objective)


def accuracy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Top-1 accuracy over the examples with a known class, in [0, 1]; 0 where no class is known.

    Args:
      logits: [N, C].
      target: int [N], -1 = hidden.

    Returns:
      float32 [].
    """
    known = target >= 0
    right = known & (jnp.argmax(logits, axis=-1) == target)
    return jnp.sum(right) / jnp.maximum(jnp.sum(known), 1).astype(jnp.float32)
