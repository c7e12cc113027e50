"""MoCo v3: contrast between a student with a predictor and a slowly moving teacher, within the batch."""

from jaxssl.card import Card
from jaxssl.core import Method, PredictFrom
from jaxssl.losses import info_nce
from jaxssl.models.heads import predictor, projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.ops import momentum_schedule
from jaxssl.skeletons.teacher import teacher

CARD = Card("MoCo v3", "arXiv:2104.02057", 2021, "image", "contrast", beats=("untrained",))


def moco_v3(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (4096, 4096),
    dim: int = 256,
    predictor_dim: int = 4096,
    temperature: float = 0.2,
    momentum: float = 0.99,
    momentum_end: float = 1.0,
    momentum_steps: int = 0,
    predict_from: PredictFrom = "student",
    head_init: HeadInit = "lecun",
) -> Method:
    """MoCo v3.

        q = h(g(f(x))),  k = g'(f'(x)),   L = 2 tau (info_nce(q1, k2) + info_nce(q2, k1))

    with f', g' exponential moving averages of f, g, and the other keys of the batch as negatives. Keys are
    stop-gradient. The published recipe for ViTs also freezes the patch embedding: optim.frozen='patch_embed'.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g, without biases; batch norm after each layer, after the last without
        affine. Published: two layers for ResNets, three for ViTs.
      predictor_dim: width of the hidden layer of the predictor h.
      temperature: tau.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, and the steps of the cosine that leads there; 0 steps keep it constant.
      predict_from: 'student' or 'teacher', whose features are evaluated and exported; the published evaluation takes the
        query's (github.com/facebookresearch/moco-v3, main_lincls.py: `base_encoder`).
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`, `teacher`, `teacher_stats`.

    Source: Chen, Xie, He, An Empirical Study of Training Self-Supervised Vision Transformers, 2021, arXiv:2104.02057,
    https://arxiv.org/abs/2104.02057
    """
    own = dict(last_norm="batch_no_affine", bias=False, dtype=encoder.dtype, init_as=head_init)
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, **own),
        "predictor": predictor((predictor_dim,), dim, **own),
    }

    def objective(student, seen):
        q, k = student["predictor"], seen["projector"]
        pairs = info_nce(q[0], k[1], temperature=temperature) + info_nce(q[1], k[0], temperature=temperature)
        return 2 * temperature * pairs

    schedule = momentum_schedule(momentum, momentum_end, momentum_steps)
    return teacher(chain, objective, schedule, predict_from=predict_from, negatives=True)
