"""Distillation: a student learns the outputs of a frozen teacher for the same views."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import byol, cross_entropy, jeffreys, jepa, js, kd
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.skeletons.frozen import Pretrained, frozen
from jaxssl.skeletons.supervised import target_of, with_logits

CARD = Card("Distillation", "arXiv:1503.02531", 2015, "any", "distillation")

# Divergences of class probabilities, and distances of features.
PROBABILITIES = dict(kd=kd, jeffreys=jeffreys, js=js)
FEATURES = dict(cosine=byol, mse=jepa)


def distill(
    encoder: Module,
    *,
    teacher: Pretrained,
    divergence: Literal["kd", "jeffreys", "js", "cosine", "mse"] = "kd",
    temperature: float = 4.0,
    label_weight: float = 0.0,
    hidden_dims: tuple[int, ...] = (),
    num_classes: int | None = None,
) -> Method:
    """Knowledge distillation from a frozen teacher.

        p = h(f(x)),   L = mean over views of d(p, sg g(x)) + label_weight * cross_entropy(p, target)

    g is the teacher, in inference mode, from a run or a file; both see the same view. d is a divergence of class
    probabilities, where the teacher has a classifier, or a distance of features, for which no label is needed.

    Args:
      encoder: backbone f of the student, [N, ...] -> [N, D].
      teacher: a `pretrained` section: dict(name="pretrained.run", path="runs/supervised", parts=("encoder", "head")).
      divergence: 'kd' (T^2 KL), 'jeffreys' (symmetric) or 'js' of probabilities, see `losses.distillation`; 'cosine'
        (2 - 2 cos) or 'mse' of features.
      temperature: T of the divergences of probabilities.
      label_weight: of the cross entropy with the known classes, without a temperature; 0 reads no target.
      hidden_dims: widths of hidden layers of the student's head h, with batch norm and ReLU; () is a linear head.
      num_classes: the number of logits that a teacher with a classifier must have; None: the classes of the data.

    Batch: `views`, one array [N, ...] or several; with label_weight `target` int32 [N]. Memory: `stats`, `frozen`.

    Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531,
    https://arxiv.org/abs/1503.02531; 'jeffreys': Cui et al., Beyond Self-Supervision: A Simple Yet Effective Network
    Distillation Alternative to Improve Backbones, 2021, arXiv:2103.05959, https://arxiv.org/abs/2103.05959
    """
    classifies = list(teacher.chain)[-1] == "head"
    if divergence in PROBABILITIES and not classifies:
        raise ValueError(
            f"method.divergence='{divergence}': compares class probabilities, and the teacher gives features; take"
            " divergence='cosine', or teacher.parts=('encoder', 'head') of a run that has a classifier."
        )
    if label_weight and not classifies:
        raise ValueError(f"method.label_weight={label_weight}: the teacher has no classifier; 0 would be right.")

    def compare(student, taught):
        if divergence in PROBABILITIES:
            return PROBABILITIES[divergence](student, taught, temperature=temperature)
        return FEATURES[divergence](student, taught)

    def objective(out, taught, batch):
        student = out["head"]
        value, metrics = jnp.mean(jax.vmap(compare)(student, taught)), {}
        if classifies:
            metrics["agreement"] = jnp.mean(jnp.argmax(student, -1) == jnp.argmax(taught, -1), dtype=jnp.float32)
        if label_weight:
            of_view = lambda view: cross_entropy(view, target_of(batch))
            metrics["divergence"], metrics["cross_entropy"] = value, jnp.mean(jax.vmap(of_view)(student))
            value = value + label_weight * metrics["cross_entropy"]
        return value, metrics

    def check(width):
        if classifies and num_classes and width != num_classes:
            raise ValueError(f"method.num_classes={num_classes}: the teacher gives {width} logits.")

    chain = lambda width: {"encoder": encoder, "head": projector(hidden_dims, width, dtype=encoder.dtype)}
    method = frozen(chain, teacher, objective, check=check)
    return method._replace(predict=with_logits(method.predict)) if classifies else method
