"""T-JEPA: from some columns of a row, predict what a slowly moving teacher says of others."""

import jax
import jax.numpy as jnp

from jaxssl.core import Method, PredictFrom, networks_of
from jaxssl.losses import jepa
from jaxssl.models.chain import make_predict
from jaxssl.models.module import forward, setup
from jaxssl.models.tabular import column_predictor
from jaxssl.ops import disjoint_subsets, ema_init, ema_update, linear_momentum, tree_distance


def t_jepa(
    encoder,
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

    The numbers of columns are the same in all steps, so that nothing is compiled again; the publication draws them
    anew each step.

    Args:
      encoder: a models.tabular.table_transformer.
      context_share, target_share: |C| and |T_j| over the number of columns d, rounded, at least 1; together at most 1.
      num_targets: target sets of a row.
      predictor_dim, predictor_depth, predictor_heads: of the predictor g, which is not used afterwards.
      kind: 'l2' squared or 'l1' absolute error.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, along a line of so many steps; 0 steps keep it constant.
      predict_from: 'teacher' or 'student', whose features are evaluated and exported; the published probes take the
        teacher's (github.com/jose-melo/t-jepa, src/train.py: `target_encoder`).

    Batch: `views` (x,), x = {'numbers' [N, Dn], 'categories' [N, Dc]}. Memory: `teacher`; `stats` is empty.

    Source: Thimonier, De Melo Costa, Popineau, Rimmel, Doan, T-JEPA: Augmentation-Free Self-Supervised Learning for
    Tabular Data, 2024, arXiv:2410.05016, https://arxiv.org/abs/2410.05016
    """
    if not hasattr(encoder, "pooled"):
        raise TypeError(
            "methods.t_jepa needs encoder.name='models.tabular.table_transformer', which encodes some columns."
        )
    if not (0 < context_share < 1 and 0 < target_share < 1):
        raise ValueError(
            f"method.context_share={context_share}, method.target_share={target_share}: each must lie between 0 and 1."
        )

    schedule, networks = linear_momentum(momentum, momentum_end, momentum_steps), networks_of(predict_from)

    def parts(x):
        """(predictor, sizes of the subsets) for rows x."""
        columns = x["numbers"].shape[1] + x["categories"].shape[1]
        sizes = [max(round(share * columns), 1) for share in (context_share, target_share)]
        if sum(sizes) > columns:
            raise ValueError(
                f"method.context_share={context_share}, method.target_share={target_share}: {sizes[0]} and {sizes[1]} "
                f"columns; together they must be at most the {columns} columns of the table."
            )
        options = dict(width=predictor_dim, depth=predictor_depth, num_heads=predictor_heads)
        subsets = dict(num_columns=columns, num_context=sizes[0], num_target=sizes[1], num_sets=num_targets)
        return column_predictor(encoder, columns, **options), subsets

    def init(key, batch):
        x, (key_encoder, key_predictor, key_subsets) = batch["views"][0], jax.random.split(key, 3)
        predictor, sizes = parts(x)
        drawn = disjoint_subsets(key_subsets, x["numbers"].shape[0], **sizes)
        params = {}
        params["encoder"], _ = setup(encoder, key_encoder, x)
        z, _ = forward(encoder, params["encoder"], {}, x, columns=drawn.context, method="tokens")
        params["predictor"], _ = setup(predictor, key_predictor, z, drawn.context, drawn.targets)
        return params, {"stats": {"encoder": {}}, "teacher": {"encoder": ema_init(params["encoder"])}}

    def loss(params, memory, batch, key, step):
        x = batch["views"][0]
        predictor, sizes = parts(x)
        drawn = disjoint_subsets(key, x["numbers"].shape[0], **sizes)
        seen, _ = forward(encoder, memory["teacher"]["encoder"], {}, x, train=True, method="tokens")
        z, _ = forward(encoder, params["encoder"], {}, x, train=True, columns=drawn.context, method="tokens")
        pred, _ = forward(predictor, params["predictor"], {}, z, drawn.context, drawn.targets, train=True)
        columns = seen[:, encoder.registers :]
        target = jax.vmap(lambda row, ids: row[ids])(columns, drawn.targets)
        metrics = {
            "features": encoder.pooled(seen)[None],
            "target_std": jnp.mean(jnp.std(columns, axis=0)),
            "teacher_distance": tree_distance(params["encoder"], memory["teacher"]["encoder"]),
            "momentum": jnp.float32(schedule(step)),
        }
        return jepa(pred, target, kind=kind), (memory, metrics)

    def after(params, memory, step):
        teacher = ema_update(memory["teacher"], {"encoder": params["encoder"]}, schedule(step))
        return {**memory, "teacher": teacher}

    predict = make_predict({"encoder": encoder}, networks)
    return Method(init, loss, predict, after, networks=networks)
