"""ECG-JEPA: from the visible patches of a series, predict what a slow teacher makes of the hidden blocks."""

from jaxssl.card import Card
from jaxssl.core import Method, PredictFrom
from jaxssl.models.module import Module
from jaxssl.models.series import predictor
from jaxssl.models.tokens import needs
from jaxssl.ops import linear_momentum, multi_block_mask_1d
from jaxssl.skeletons.jepa import Drawn, jepa

CARD = Card("ECG-JEPA", "arXiv:2410.13867", 2024, "series", "latent prediction", beats=("untrained",))


def ecg_jepa(
    encoder: Module,
    *,
    keep_ratio: float = 0.2,
    min_block: int = 10,
    predictor_dim: int = 192,
    predictor_depth: int = 8,
    predictor_heads: int = 6,
    kind: str = "l1",
    momentum: float = 0.998,
    momentum_end: float = 0.9995,
    momentum_steps: int = 0,
    predict_from: PredictFrom = "teacher",
) -> Method:
    """ECG-JEPA.

        z = f(visible patches),  p = g(z, positions of the hidden ones),  h = sg f'(all patches)
        L = mean | p - h |  over examples, hidden patches and features

    with f' the teacher, an exponential moving average of f, and h taken after its final norm. The teacher sees the
    whole series and is stop-gradient. Features are the mean of the patch tokens.

    Args:
      encoder: a transformer of models.series; the student encodes the visible patches only.
      keep_ratio: share of visible patches, rounded up; a constant, since it fixes shapes (published: drawn for each batch,
        uniform in 0.15 ... 0.25).
      min_block: least length of a hidden block, in patches.
      predictor_dim, predictor_depth, predictor_heads: of g, which is not used afterwards.
      kind: 'l1', or 'l2' for the squared error.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, and the steps of the line that leads there; 0 steps keep it constant.
      predict_from: 'teacher' or 'student', whose features are evaluated and exported; the published evaluation takes the
        teacher's (github.com/kweimann/ECG-JEPA, finetune.py: `target_encoder`).

    Batch: `views`, one array [N, T, C]. Memory: `teacher`.

    Source: Weimann, Conrad, Self-Supervised Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG
    Classification Performance, 2024, arXiv:2410.13867, https://arxiv.org/abs/2410.13867
    """
    needs(encoder, "methods.ecg_jepa", "visible_ids", "targets", example="models.series.vit")
    size = dict(width=predictor_dim, depth=predictor_depth, num_heads=predictor_heads)
    head = predictor(out_dim=encoder.embed_dim, **size, dtype=encoder.dtype, remat=encoder.remat)

    def draw(key, x):
        length = encoder.grid_of(x)[0]
        drawn = multi_block_mask_1d(key, x.shape[0], length, keep_ratio, min_block=min_block)
        return Drawn(drawn.visible_ids, drawn.hidden_ids)

    return jepa(
        encoder,
        lambda x: head,
        draw,
        linear_momentum(momentum, momentum_end, momentum_steps),
        see=lambda tokens: tokens.patches,
        predict_from=predict_from,
        kind=kind,
    )
