"""VICReg: views agree, every dimension varies, no two dimensions say the same."""

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import vicreg as vicreg_loss
from jaxssl.losses import vicreg_covariance, vicreg_invariance, vicreg_variance
from jaxssl.models.chain import by_view, embed_apart, make_predict, setup_chain
from jaxssl.models.heads import projector


def vicreg(
    encoder,
    *,
    hidden_dims: tuple[int, ...] = (8192, 8192),
    dim: int = 8192,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    norm: bool = True,
) -> Method:
    """VICReg.

        z = g(f(x)),   L = lambda * invariance(z1, z2) + mu * variance(z1, z2) + nu * covariance(z1, z2)

    Nothing is stop-gradient. The three terms are logged before weighting.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the expander g; batch norm and ReLU after each hidden layer.
      norm: the batch norms of the expander.
      invariance_weight, variance_weight, covariance_weight: lambda, mu, nu.

    Batch: `views` [2, N, ...]. Memory: `stats`.

    Source: Bardes, Ponce, LeCun, VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning,
    2021, arXiv:2105.04906, https://arxiv.org/abs/2105.04906
    """
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, norm=norm, bias=False, dtype=encoder.dtype),
    }

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    def objective(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
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
        return value, (memory, {"features": out["encoder"], "projections": out["projector"], **terms})

    return split_method(init, Split(embed_apart(chain), objective), make_predict(chain))
