"""SCGC: clusters of the nodes of a graph; the edges enter through the loss alone, not through the network."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, Watch
from jaxssl.losses import dec, neighbor_contrast
from jaxssl.models.heads import projector
from jaxssl.models.module import Module, forward, setup
from jaxssl.models.tokens import name_of
from jaxssl.ops import kmeans, student_t_assignment
from jaxssl.ops.graph import influence_matrix
from jaxssl.skeletons.prototypes import rests

CARD = Card("SCGC", "arXiv:2204.12656", 2022, "graph", "clustering", beats=("untrained",))


def scgc(
    encoder: Module,
    *,
    num_clusters: int,
    contrast_weight: float = 1.0,
    clustering_weight: float = 0.1,
    reconstruction_weight: float = 1.0,
    scale: float = 0.25,
    pretrain_steps: int = 0,
) -> Method:
    """SCGC, self-supervised contrastive graph clustering.

        L = reconstruction_weight mean |x - g(z)|^2 + contrast_weight L_nc(z, W) + clustering_weight KL(p || q),
        z = f(x),   q = Student t of |z - mu|,   p = target_distribution(q)

    L_nc is `losses.neighbor_contrast` over the nodes of the batch, W their influences on each other. In the first
    `pretrain_steps` steps L is the reconstruction alone. Then the centres mu start from k-means on the z of one
    batch, and are trained. reconstruction_weight=0 gives the variant SCGC*, whose decoder g is used in pre-training only.

    p and the start of mu are stop-gradient. p is computed from the batch at every step. The publication computes it once
    an epoch; its batch is the whole graph, so that both are the same.

    Args:
      encoder: a models.mlp; the decoder has its widths in reverse.
      num_clusters: number of centres.
      contrast_weight, clustering_weight, reconstruction_weight: alpha, beta, and 1 or 0 in the publication.
      scale: multiplies the cosines, tau of the publication.
      pretrain_steps: number of first steps with the reconstruction alone, in which the centres do not change.

    Batch: `views` (x,), x [N, F]; `node` int [N]; `neighbors` int [N, K] (-1 = none), `weights` [N, K]: see
    data.influence. Memory: `start` [K, D], the centres before training.

    Source: Kulatilleke, Portmann, Chandra, SCGC: Self-Supervised Contrastive Graph Clustering, 2022,
    arXiv:2204.12656, https://arxiv.org/abs/2204.12656
    """
    if not hasattr(encoder, "hidden_dims"):
        raise TypeError(
            f"encoder={name_of(encoder)}: methods.scgc needs an MLP; encoder.name='models.mlp' would be right."
        )
    if num_clusters < 2:
        raise ValueError(f"method.num_clusters={num_clusters}: must be at least 2.")

    def decoder(width):
        return projector(encoder.hidden_dims[::-1], width, norm=False, dtype=encoder.dtype)

    def init(key, batch):
        x, (key_encoder, key_decoder) = batch["views"][0], jax.random.split(key)
        if num_clusters > len(x):
            raise ValueError(f"method.num_clusters={num_clusters}: must be no more than the batch of {len(x)} nodes.")
        params, centers = {}, jnp.zeros((num_clusters, encoder.out_dim))
        params["encoder"], _ = setup(encoder, key_encoder, x)
        params["decoder"], _ = setup(decoder(x.shape[1]), key_decoder, jnp.zeros((len(x), encoder.out_dim)))
        # The optimiser moves the centres from where k-means has put them.
        params["centers"] = centers
        return params, {"start": centers}

    def reconstruction(params, z, x, step):
        def error():
            pred, _ = forward(decoder(x.shape[1]), params["decoder"], {}, z, train=True)
            return jnp.mean(jnp.square(pred - x))

        if reconstruction_weight:
            return error()
        return jax.lax.cond(step < pretrain_steps, error, lambda: jnp.zeros((), x.dtype))

    def loss(params, memory, batch, key, step):
        x = batch["views"][0]
        z, _ = forward(encoder, params["encoder"], {}, x, train=True)
        start = jax.lax.cond(step == pretrain_steps, lambda: kmeans(key, z, num_clusters), lambda: memory["start"])
        q = student_t_assignment(z, start + params["centers"])
        influence = influence_matrix(batch["node"], batch["neighbors"], batch["weights"])
        error = reconstruction(params, z, x, step)
        contrast, divergence = neighbor_contrast(z, influence, scale=scale), dec(q)
        value = reconstruction_weight * error + contrast_weight * contrast + clustering_weight * divergence
        metrics = {"reconstruction": error, "contrast": contrast, "divergence": divergence}
        out = Out({**memory, "start": start}, metrics, Watch(z[None], assignments=q))
        return jnp.where(step < pretrain_steps, error, value), out

    def predict(params, memory, batch):
        z, _ = forward(encoder, params["encoder"], {}, batch["x"])
        return {"features": z, "assignments": student_t_assignment(z, memory["start"] + params["centers"])}

    return Method(init, loss, predict, negatives=True, rests=rests("^/centers$", pretrain_steps))
