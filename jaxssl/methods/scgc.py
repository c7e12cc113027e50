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

    L_nc is `losses.neighbor_contrast`, W the influences of nodes on each other. In the first `pretrain_steps` steps L is
    the reconstruction of the batch alone. Then the centres mu start from k-means on z, and are trained. With
    reconstruction_weight=0 it is the variant SCGC*, whose decoder g is used in pre-training only.

    As published where the data's context has `influence` (`data.whole=True`): after the pre-training every step sees all
    nodes, and the batch only says which of them the monitor watches. Else x, z, W, p and mu are those of the batch, a
    sampled form that the publication does not have, for graphs whose matrix W fits no memory: nodes outside the batch
    have no influence, and most of a node's own is lost with them.

    p and the start of mu are stop-gradient. p is renewed every step.

    The release differs in this: it reads the pretrained autoencoder from a file, made with all nodes and an optimiser of
    its own (here the training nodes pretrain it, and Adam's moments stay); of all steps it reports the best by the labels
    (here the last).

    Args:
      encoder: a models.mlp; the decoder has its widths in reverse.
      num_clusters: number of centres.
      contrast_weight, clustering_weight, reconstruction_weight: alpha, beta, and 1 or 0 in the publication.
      scale: multiplies the cosines, tau of the publication.
      pretrain_steps: steps of reconstruction alone, during which the centres rest and `contrast` and `divergence` are
        logged as 0. The autoencoder of the release has had 30 epochs of batches of 256.

    Batch: `views` (x,), x [N, F]; `node` int [N]; without a context also `neighbors` int [N, K] (-1 = none), `weights`
    [N, K]: see data.readers.influence. Memory: `start` [K, D], the centres before training.

    predict: `features` z, `assignments` q [N, K], whose largest entry is the published label.

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
        nodes = len(batch.get("context", {}).get("influence", x))
        if num_clusters > nodes:
            raise ValueError(f"method.num_clusters={num_clusters}: must be no more than the {nodes} nodes of a step.")
        params, centers = {}, jnp.zeros((num_clusters, encoder.out_dim))
        params["encoder"], _ = setup(encoder, key_encoder, x)
        params["decoder"], _ = setup(decoder(x.shape[1]), key_decoder, jnp.zeros((len(x), encoder.out_dim)))
        # The optimiser moves the centres from where k-means has put them.
        params["centers"] = centers
        return params, {"start": centers}

    def encode(params, x):
        return forward(encoder, params["encoder"], {}, x, train=True)[0]

    def reconstruction(params, z, x):
        pred, _ = forward(decoder(x.shape[1]), params["decoder"], {}, z, train=True)
        return jnp.mean(jnp.square(pred - x))

    def loss(params, memory, batch, key, step):
        x, context, none = batch["views"][0], memory.get("context", {}), jnp.zeros((), jnp.float32)

        def pretraining():
            z, start = encode(params, x), memory["start"]
            error = reconstruction(params, z, x)
            return error, (start, error, none, none, z, student_t_assignment(z, start + params["centers"]))

        def clustering():
            if "influence" in context:
                every, influence, rows = context["features"], context["influence"], batch["node"]
            else:
                every, influence, rows = x, influence_matrix(batch["node"], batch["neighbors"], batch["weights"]), None
            z = encode(params, every)
            begin = lambda: kmeans(key, z, num_clusters, restarts=20)
            start = jax.lax.cond(step == pretrain_steps, begin, lambda: memory["start"])
            q = student_t_assignment(z, start + params["centers"])
            contrast, divergence = neighbor_contrast(z, influence, scale=scale), dec(q)
            error = reconstruction(params, z, every) if reconstruction_weight else none
            value = reconstruction_weight * error + contrast_weight * contrast + clustering_weight * divergence
            z, q = (z, q) if rows is None else (z[rows], q[rows])
            return value, (start, error, contrast, divergence, z, q)

        if pretrain_steps:
            value, found = jax.lax.cond(step < pretrain_steps, pretraining, clustering)
        else:
            value, found = clustering()
        start, error, contrast, divergence, z, q = found
        metrics = {"reconstruction": error, "contrast": contrast, "divergence": divergence}
        return value, Out({**memory, "start": start}, metrics, Watch(z[None], assignments=q))

    def predict(params, memory, batch):
        z, _ = forward(encoder, params["encoder"], {}, batch["x"])
        return {"features": z, "assignments": student_t_assignment(z, memory["start"] + params["centers"])}

    return Method(init, loss, predict, negatives=True, rests=rests("^/centers$", pretrain_steps))
