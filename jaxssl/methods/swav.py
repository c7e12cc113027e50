"""SwAV: every crop predicts the balanced cluster codes of the other full-size crops."""

import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.losses import swav as swav_loss
from jaxssl.models.chain import forward_chain_views, make_predict, setup_chain
from jaxssl.models.heads import Prototypes, projector
from jaxssl.ops import sinkhorn


def swav(
    encoder,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    num_prototypes: int = 3000,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    num_iters: int = 3,
    freeze_steps: int = 0,
    remat_views: bool = False,
) -> Method:
    """SwAV with multi-crop.

        s = cos(g(f(x)), c),   q = sinkhorn(s),   L = mean_{g != v} CE(sg q_g, softmax(s_v / tau))

    The codes q are stop-gradient, and so are the prototypes c during the first `freeze_steps` steps. The queue that
    the paper adds for batches below 256 is not here.

    Args:
      encoder: backbone f, [N, H, W, C] -> [N, D], for every crop size.
      hidden_dims, dim: widths of the projector g; batch norm and ReLU after each hidden layer.
      num_prototypes: K.
      temperature: tau.
      epsilon, num_iters: of Sinkhorn's algorithm.
      freeze_steps: steps without gradient for the prototypes; one epoch in the published recipe.
      remat_views: compute every crop again in the backward pass, crop by crop: the same loss and gradient with the
        activations of one crop at a time, for one more forward pass.

    Batch: `views` [V, N, ...] and, where there are, `local_views` [V2, N, ...]. Memory: `stats`.

    Source: Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments, 2020, arXiv:2006.09882, https://arxiv.org/abs/2006.09882
    """
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, dtype=encoder.dtype),
        "prototypes": Prototypes(num_prototypes),
    }

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    def loss(params, memory, batch, key, step):
        prototypes = jax.tree.map(
            lambda c: jnp.where(step < freeze_steps, jax.lax.stop_gradient(c), c), params["prototypes"]
        )
        params = {**params, "prototypes": prototypes}
        local, num_global = list(batch.get("local_views", ())), len(batch["views"])
        crops = [*batch["views"], *local]
        out, stats = forward_chain_views(chain, params, memory["stats"], crops, train=True, key=key, remat=remat_views)
        scores = out["prototypes"]
        value = swav_loss(
            scores[:num_global],
            scores[num_global:] if local else None,
            temperature=temperature,
            epsilon=epsilon,
            num_iters=num_iters,
        )
        metrics = {
            "features": out["encoder"][:num_global],
            "projections": out["projector"][:num_global],
            "assignments": sinkhorn(scores[0], epsilon=epsilon, num_iters=num_iters),
        }
        return value, ({"stats": stats}, metrics)

    return Method(init, loss, make_predict(chain))
