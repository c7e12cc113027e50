"""BYOL: the student predicts what a slowly moving teacher says of the other view."""

from jaxssl.card import Card
from jaxssl.core import Method, PredictFrom
from jaxssl.losses import byol as byol_loss
from jaxssl.models.heads import predictor, projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.ops import momentum_schedule
from jaxssl.skeletons.teacher import teacher

CARD = Card("BYOL", "arXiv:2006.07733", 2020, "image", "self-distillation", beats=("untrained",))


def byol(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (4096,),
    dim: int = 256,
    predictor_dim: int = 4096,
    momentum: float = 0.996,
    momentum_end: float = 1.0,
    momentum_steps: int = 0,
    predict_from: PredictFrom = "student",
    head_init: HeadInit = "lecun",
) -> Method:
    """BYOL.

        z = g(f(x)),  p = h(z),   L = (2 - 2 cos(p1, sg z2')) + (2 - 2 cos(p2, sg z1'))

    with z' the embedding of the teacher, an exponential moving average of f and g. The teacher is stop-gradient and
    uses the statistics of its own batches.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g, without biases; batch norm and ReLU after each hidden layer.
      predictor_dim: width of the hidden layer of the predictor h.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, and the steps of the cosine that leads there; 0 steps keep it constant.
      predict_from: 'student' or 'teacher', whose features are evaluated and exported; the published evaluation takes the
        online network's (github.com/google-deepmind/deepmind-research, byol/eval_experiment.py: `online_params`).
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`, `teacher`, `teacher_stats`.

    Source: Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020, arXiv:2006.07733,
    https://arxiv.org/abs/2006.07733
    """
    own = dict(bias=False, dtype=encoder.dtype, init_as=head_init)
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, **own),
        "predictor": predictor((predictor_dim,), dim, **own),
    }

    def objective(student, seen):
        p, z = student["predictor"], seen["projector"]
        return byol_loss(p[0], z[1]) + byol_loss(p[1], z[0])

    schedule = momentum_schedule(momentum, momentum_end, momentum_steps)
    return teacher(chain, objective, schedule, predict_from=predict_from)
