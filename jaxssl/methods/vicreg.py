"""VICReg: views agree, every dimension varies, no two dimensions say the same."""

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import vicreg as vicreg_loss
from jaxssl.losses import vicreg_covariance, vicreg_invariance, vicreg_variance
from jaxssl.models.heads import projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("VICReg", "arXiv:2105.04906", 2021, "image", "redundancy", beats=("untrained",))


def vicreg(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (8192, 8192),
    dim: int = 8192,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    norm: bool = True,
    head_init: HeadInit = "lecun",
) -> Method:
    """VICReg.

        z = g(f(x)),   L = lambda * invariance(z1, z2) + mu * variance(z1, z2) + nu * covariance(z1, z2)

    Nothing is stop-gradient. The three terms are logged before weighting.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the expander g; batch norm and ReLU after each hidden layer.
      norm: the batch norms of the expander.
      invariance_weight, variance_weight, covariance_weight: lambda, mu, nu.
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`.

    Source: Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning,
    2021, arXiv:2105.04906, https://arxiv.org/abs/2105.04906
    """
    head = projector(hidden_dims, dim, norm=norm, bias=False, dtype=encoder.dtype, init_as=head_init)
    weights = dict(
        invariance_weight=invariance_weight, variance_weight=variance_weight, covariance_weight=covariance_weight
    )

    def objective(out):
        z1, z2 = out["projector"]
        terms = {
            "invariance": vicreg_invariance(z1, z2),
            "variance": (vicreg_variance(z1) + vicreg_variance(z2)) / 2,
            "covariance": vicreg_covariance(z1) + vicreg_covariance(z2),
        }
        return vicreg_loss(z1, z2, **weights), terms

    return siamese({"encoder": encoder, "projector": head}, objective)
