"""SimSiam: one branch predicts the other, whose gradient is stopped; no negatives, no teacher."""

from jaxssl.card import Card
from jaxssl.core import Method
from jaxssl.losses import negative_cosine_similarity
from jaxssl.models.heads import predictor, projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.skeletons.siamese import siamese

CARD = Card("SimSiam", "arXiv:2011.10566", 2020, "image", "self-distillation", beats=("untrained",))


def simsiam(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048, 2048),
    dim: int = 2048,
    predictor_dim: int = 512,
    head_init: HeadInit = "lecun",
) -> Method:
    """SimSiam.

        z = g(f(x)),  p = h(z),   L = -(cos(p1, sg z2) + cos(p2, sg z1)) / 2

    The embeddings z are stop-gradient where they are targets.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g; batch norm after every layer, without affine after the last.
      predictor_dim: width of the bottleneck of the predictor h.
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`.

    Source: Chen, He, Exploring Simple Siamese Representation Learning, 2020, arXiv:2011.10566,
    https://arxiv.org/abs/2011.10566
    """
    own = dict(dtype=encoder.dtype, init_as=head_init)
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, last_norm="batch_no_affine", **own),
        "predictor": predictor((predictor_dim,), dim, **own),
    }

    def objective(out):
        z, p = out["projector"], out["predictor"]
        return (negative_cosine_similarity(p[0], z[1]) + negative_cosine_similarity(p[1], z[0])) / 2

    return siamese(chain, objective)
