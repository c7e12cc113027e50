"""T-JEPA: from some columns of a row, predict what a slowly moving teacher says of others."""

from jaxssl.card import Card
from jaxssl.core import Method, PredictFrom
from jaxssl.models.module import Module
from jaxssl.models.tabular import column_predictor
from jaxssl.models.tokens import needs
from jaxssl.ops import disjoint_subsets, linear_momentum
from jaxssl.skeletons.jepa import Drawn, jepa

CARD = Card("T-JEPA", "arXiv:2410.05016", 2024, "table", "latent prediction")


def t_jepa(
    encoder: Module,
    *,
    context_share: float = 0.3,
    target_share: float = 0.3,
    num_targets: int = 4,
    predictor_dim: int = 32,
    predictor_depth: int = 2,
    predictor_heads: int = 2,
    kind: str = "l2",
    momentum: float = 0.996,
    momentum_end: float = 1.0,
    momentum_steps: int = 0,
    predict_from: PredictFrom = "teacher",
) -> Method:
    """T-JEPA, without augmentation.

        h = sg f'(all columns),   z = f(columns of C),   L = mean_{j, i in T_j} |g(z, C, T_j)_i - h_i|^2

    Every row draws one context C and `num_targets` target sets T_j outside of C; f' is the teacher, an exponential
    moving average of f, and stop-gradient. The registers of f are in every context and never a target.

    Where it differs from the release (github.com/jose-melo/t-jepa), and why:

    - |C| and |T_j| are the same in all steps, so that nothing is compiled again. The release draws them in each step, by
      default between 0.2 and 0.4 of the columns each; the shares here are the middle. Its recipe for the table jannis
      draws 0.14 to 0.37 for contexts and 0.16 to 0.62 for targets.
    - The T_j of a row are drawn one by one. The release intends this, but its four sets are views of one shuffled array
      and come out equal (src/mask.py, create_masks).
    - Registers are always seen and never a target. The release numbers the columns from 0 in a sequence that begins with
      the register: number 0 is the register, and the last column is neither context nor target.
    - Blocks are pre-norm with GELU, as in all transformers here; those of the release are post-norm with ReLU.
    - g is blocks, LN, linear map. In the release its blocks end as the encoder does, LN - linear - LN, ahead of them.
    - Column tokens start from a normal distribution of deviation 1. In the release they are uniform with deviation
      (3 D)^-1/2: 0.1 for D = 32. With small tokens the features collapsed here (configs/table/t_jepa_breast_cancer.py).
      Positions have frequencies down to 1/10,000; the encoder's in the release down to 1/100.
    - No dropout (0.002 in the recipe for jannis) and no clipping of gradients to [-1, 1].
    - The recipe for jannis is AdamW at 3.7e-4 after 10 of 300 epochs of warm-up, no weight decay, batches of 512, D = 64,
      16 blocks in encoder and predictor, momentum 0.996 rising linearly to 1. The configs here have
      two blocks and at most 1,500 steps, and say their own rate and momentum.

    The published probe is a linear one on all tokens side by side, registers included: `pool='flatten'` of the encoder. A
    mean over tokens mixes columns and hides from a linear probe what each token says.

    Args:
      encoder: a models.tabular.table_transformer.
      context_share, target_share: |C| and |T_j| over the number of columns d, rounded, at least 1; together at most 1.
      num_targets: number of target sets of a row.
      predictor_dim, predictor_depth, predictor_heads: of the predictor g, which is not used afterwards.
      kind: 'l2' squared or 'l1' absolute error.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, and the steps of the line that leads there; 0 steps keep it constant.
      predict_from: 'teacher' or 'student', whose features are evaluated and exported; the published probes take the
        teacher's (github.com/jose-melo/t-jepa, src/train.py: `target_encoder`).

    Batch: `views` (x,), x = {'numbers' [N, Dn], 'categories' [N, Dc]}. Memory: `teacher`.

    Source: Thimonier, De Melo Costa, Popineau, Rimmel, Doan, T-JEPA: Augmentation-Free Self-Supervised Learning for
    Tabular Data, 2024, arXiv:2410.05016, https://arxiv.org/abs/2410.05016
    """
    needs(encoder, "methods.t_jepa", "visible_ids", "max_categories", example="models.tabular.table_transformer")
    if not (0 < context_share < 1 and 0 < target_share < 1):
        raise ValueError(
            f"method.context_share={context_share}, method.target_share={target_share}: each must lie between 0 and 1."
        )

    def columns(x):
        return x["numbers"].shape[1] + x["categories"].shape[1]

    def draw(key, x):
        sizes = [max(round(share * columns(x)), 1) for share in (context_share, target_share)]
        if sum(sizes) > columns(x):
            raise ValueError(
                f"method.context_share={context_share}, method.target_share={target_share}: {sizes[0]} and {sizes[1]} "
                f"columns; together they must be at most the {columns(x)} columns of the table."
            )
        counts = dict(num_columns=columns(x), num_context=sizes[0], num_target=sizes[1], num_sets=num_targets)
        return Drawn(*disjoint_subsets(key, x["numbers"].shape[0], **counts))

    size = dict(width=predictor_dim, depth=predictor_depth, num_heads=predictor_heads)
    return jepa(
        encoder,
        lambda x: column_predictor(encoder, columns(x), **size),
        draw,
        linear_momentum(momentum, momentum_end, momentum_steps),
        see=lambda tokens: tokens.h,
        predict_from=predict_from,
        kind=kind,
    )
