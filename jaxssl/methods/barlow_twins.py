"""Barlow Twins: the cross-correlation of two views' embeddings becomes the identity."""

from jaxssl.core import Method, Split, split_method
from jaxssl.losses import barlow_twins as barlow_twins_loss
from jaxssl.models.chain import by_view, embed_apart, make_predict, setup_chain
from jaxssl.models.heads import projector


def barlow_twins(
    encoder,
    *,
    hidden_dims: tuple[int, ...] = (8192, 8192),
    dim: int = 8192,
    redundancy_weight: float = 0.005,
    loss_scale: float = 1.0,
    norm: bool = True,
) -> Method:
    """Barlow Twins.

        C = corr(g(f(x1)), g(f(x2))),   L = s * (sum_i (1 - C_ii)^2 + lambda * sum_{i != j} C_ij^2)

    Nothing is stop-gradient.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g; batch norm and ReLU after each hidden layer.
      norm: the batch norms of the projector.
      redundancy_weight: lambda.
      loss_scale: s. Under LARS it only sets the pace of biases and norms, which have no trust ratio; the published
        recipe gives them 0.024 times the learning rate instead (optim.multipliers).

    Batch: `views` [2, N, ...]. Memory: `stats`.

    Source: Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins: Self-Supervised Learning via Redundancy Reduction, 2021,
    arXiv:2103.03230, https://arxiv.org/abs/2103.03230
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
        z = out["projector"]
        value = loss_scale * barlow_twins_loss(z[0], z[1], redundancy_weight=redundancy_weight)
        return value, (memory, {"features": out["encoder"], "projections": z})

    return split_method(init, Split(embed_apart(chain), objective), make_predict(chain))
