"""VICReg: views agree, every dimension varies, no two dimensions say the same."""

from jaxssl.core import Method
from jaxssl.losses import vicreg as vicreg_loss
from jaxssl.losses import vicreg_covariance, vicreg_invariance, vicreg_variance
from jaxssl.models.chain import forward_chain_views, make_predict, setup_chain
from jaxssl.models.heads import projector


def vicreg(
    encoder,
    *,
    hidden_dims=(8192, 8192),
    dim: int = 8192,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
) -> Method:
    """VICReg.

        z = g(f(x)),   L = lambda * invariance(z1, z2) + mu * variance(z1, z2) + nu * covariance(z1, z2)

    Nothing is stop-gradient. The three terms are logged before weighting.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the expander g; batch norm and ReLU after each hidden layer.
      invariance_weight, variance_weight, covariance_weight: lambda, mu, nu.

    Batch: `views` [2, N, ...]. Memory: `stats`.

    Source: Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning,
    2021, arXiv:2105.04906, https://arxiv.org/abs/2105.04906
    """
    chain = {"encoder": encoder, "projector": projector(hidden_dims, dim, bias=False, dtype=encoder.dtype)}

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    def loss(params, memory, batch, key, step):
        out, stats = forward_chain_views(chain, params, memory["stats"], batch["views"], train=True, key=key)
        z1, z2 = out["projector"]
        value = vicreg_loss(
            z1,
            z2,
            invariance_weight=invariance_weight,
            variance_weight=variance_weight,
            covariance_weight=covariance_weight,
        )
        terms = {
            "invariance": vicreg_invariance(z1, z2),
            "variance": (vicreg_variance(z1) + vicreg_variance(z2)) / 2,
            "covariance": vicreg_covariance(z1) + vicreg_covariance(z2),
        }
        return value, ({"stats": stats}, {"features": out["encoder"], "projections": out["projector"], **terms})

    return Method(init, loss, make_predict(chain))
