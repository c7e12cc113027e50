"""Barlow Twins: the cross-correlation of two views' embeddings becomes the identity."""

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import barlow_twins as barlow_twins_loss
from jaxssl.models.heads import projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("Barlow Twins", "arXiv:2103.03230", 2021, "image", "redundancy", beats=("untrained",))


def barlow_twins(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (8192, 8192),
    dim: int = 8192,
    redundancy_weight: float = 0.005,
    loss_scale: float = 1.0,
    norm: bool = True,
    head_init: HeadInit = "lecun",
) -> Method:
    """Barlow Twins.

        C = corr(g(f(x1)), g(f(x2))),   L = s * (sum_i (1 - C_ii)^2 + lambda * sum_{i != j} C_ij^2)

    Nothing is stop-gradient.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g; batch norm and ReLU after each hidden layer.
      norm: the batch norms of the projector.
      redundancy_weight: lambda.
      loss_scale: s. Under LARS it matters for biases and norms only, which have no trust ratio. The released gradient is
        that of s = 1/16 (configs/published/barlow_twins_imagenet.py says why), beside a rate of 0.024 of the others'
        (optim.multipliers).
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`.

    Source: Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins: Self-Supervised Learning via Redundancy Reduction, 2021,
    arXiv:2103.03230, https://arxiv.org/abs/2103.03230
    """
    head = projector(hidden_dims, dim, norm=norm, bias=False, dtype=encoder.dtype, init_as=head_init)

    def objective(out):
        return loss_scale * barlow_twins_loss(*out["projector"], redundancy_weight=redundancy_weight)

    return siamese({"encoder": encoder, "projector": head}, objective)
