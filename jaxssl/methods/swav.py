"""SwAV: every crop predicts the balanced cluster codes of the other full-size crops."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, Watch
from jaxssl.losses import swav as swav_loss
from jaxssl.models.heads import Prototypes, projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module, forward
from jaxssl.ops import l2_normalize, queue_push, sinkhorn
from jaxssl.skeletons.chain import batch_size, forward_chain_views, make_predict, setup_chain
from jaxssl.skeletons.prototypes import resting, rests

CARD = Card("SwAV", "arXiv:2006.09882", 2020, "image", "clustering", beats=("untrained",))


def swav(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    num_prototypes: int = 3000,
    temperature: float = 0.1,
    epsilon: float = 0.05,
    num_iters: int = 3,
    freeze_steps: int = 0,
    queue_size: int = 0,
    queue_start: int = 0,
    remat_views: bool = False,
    head_init: HeadInit = "lecun",
) -> Method:
    """SwAV with multi-crop.

        s = cos(g(f(x)), c),   q = sinkhorn(s),   L = mean_{g != v} CE(sg q_g, softmax(s_v / tau))

    The codes q are stop-gradient, and so are the prototypes c during the first `freeze_steps` steps. With a queue, the
    codes of a batch are balanced together with the scores of the last `queue_size` embeddings of the same crop.

    Args:
      encoder: backbone f, [N, H, W, C] -> [N, D], for every crop size.
      hidden_dims, dim: widths of the projector g; batch norm and ReLU after each hidden layer.
      num_prototypes: K.
      temperature: tau.
      epsilon, num_iters: of Sinkhorn's algorithm.
      freeze_steps: number of first steps in which the prototypes and their optimiser state do not change; one epoch in
        the published recipe.
      queue_size: number of embeddings in the queue of each full-size crop, for batches that are small against K
        (published: 3,840 for batches of 256); 0 for no queue. It is used as soon as it is full.
      queue_start: step at which the queue begins to fill; published: the one of epoch 15.
      remat_views: recompute the activations of each crop in the backward pass, one crop at a time: less memory for one
        more forward pass; loss and gradient are the same.
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, V arrays [N, ...], and, where there are, `local_views`.
    Memory: `stats` and, with a queue, `queue` [V, queue_size, dim], `cursor`.

    Source: Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, Unsupervised Learning of Visual Features by Contrasting
    Cluster Assignments, 2020, arXiv:2006.09882, https://arxiv.org/abs/2006.09882
    """
    if queue_size < 0 or queue_start < 0:
        raise ValueError(f"method.queue_size={queue_size}, method.queue_start={queue_start}: must be at least 0.")
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, dtype=encoder.dtype, init_as=head_init),
        "prototypes": Prototypes(num_prototypes, head_init),
    }

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        if not queue_size:
            return params, {"stats": stats}
        size = batch_size(batch["views"][0])
        if queue_size < size:
            raise ValueError(f"method.queue_size={queue_size}: must be 0 or at least the batch size {size}.")
        queue = jnp.zeros((len(batch["views"]), queue_size, dim))
        return params, {"stats": stats, "queue": queue, "cursor": jnp.zeros((), jnp.int32)}

    def loss(params, memory, batch, key, step):
        prototypes = resting(params["prototypes"], step, freeze_steps)
        params = {**params, "prototypes": prototypes}
        local, num_global = list(batch.get("local_views", ())), len(batch["views"])
        crops = [*batch["views"], *local]
        out, stats = forward_chain_views(chain, params, memory["stats"], crops, train=True, key=key, remat=remat_views)
        scores = out["prototypes"]

        def swapped(queue_scores=None):
            return swav_loss(
                scores[:num_global],
                scores[num_global:] if local else None,
                queue_scores=queue_scores,
                temperature=temperature,
                epsilon=epsilon,
                num_iters=num_iters,
            )

        if queue_size:
            queue, full = memory["queue"], step - queue_start >= -(-queue_size // scores.shape[1])
            score = lambda: forward(chain["prototypes"], prototypes, {}, queue)[0]
            value = jax.lax.cond(full, lambda: swapped(score()), swapped)
            memory = {**memory, **remember(memory, out["projector"][:num_global], step)}
        else:
            value = swapped()
        watch = Watch(
            out["encoder"][:num_global],
            out["projector"][:num_global],
            sinkhorn(scores[0], epsilon=epsilon, num_iters=num_iters),
        )
        return value, Out({**memory, "stats": stats}, watch=watch)

    def remember(memory, z, step):
        """The queues with the embeddings of a batch, from `queue_start` on."""
        pushed = jax.vmap(queue_push, (0, None, 0), (0, None))(memory["queue"], memory["cursor"], l2_normalize(z))
        before = memory["queue"], memory["cursor"]
        queue, cursor = jax.tree.map(lambda new, old: jnp.where(step >= queue_start, new, old), pushed, before)
        return {"queue": queue, "cursor": cursor}

    return Method(init, loss, make_predict(chain), rests=rests("^/prototypes/", freeze_steps))
