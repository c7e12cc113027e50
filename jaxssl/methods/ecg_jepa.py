"""ECG-JEPA: from the visible patches of a series, predict what a slow teacher makes of the hidden blocks."""

import jax
import jax.numpy as jnp

from jaxssl.core import Method, PredictFrom, networks_of
from jaxssl.losses import jepa
from jaxssl.models.chain import make_predict
from jaxssl.models.module import forward, setup
from jaxssl.models.positions import take_tokens
from jaxssl.models.series import predictor
from jaxssl.ops import ema_init, ema_update, linear_momentum, multi_block_mask_1d, tree_distance


def ecg_jepa(
    encoder,
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
      keep_ratio: share of visible patches, rounded up; one number, for it fixes shapes (published: uniform in 0.15 ...
        0.25, drawn for each batch).
      min_block: least length of a hidden block, in patches.
      predictor_dim, predictor_depth, predictor_heads: of g, which is not used afterwards.
      kind: 'l1', or 'l2' for the squared error.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, along a line of so many steps; 0 steps keep it constant.
      predict_from: 'teacher' or 'student', whose features are evaluated and exported; the published evaluation takes the
        teacher's (github.com/kweimann/ECG-JEPA, finetune.py: `target_encoder`).

    Batch: `views` [1, N, T, C]. Memory: `teacher`, `stats` (empty).

    Source: Weimann, Conrad, Self-Supervised Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG
    Classification Performance, 2024, arXiv:2410.13867, https://arxiv.org/abs/2410.13867
    """
    if not hasattr(encoder, "num_patches"):
        raise TypeError(
            "methods.ecg_jepa needs a transformer that can encode some of the patches of a series: "
            "encoder.name='models.series.vit'."
        )
    predict_hidden = predictor(
        out_dim=encoder.embed_dim,
        width=predictor_dim,
        depth=predictor_depth,
        num_heads=predictor_heads,
        dtype=encoder.dtype,
        remat=encoder.remat,
    )
    schedule, networks = linear_momentum(momentum, momentum_end, momentum_steps), networks_of(predict_from)

    def mask(key, x):
        return multi_block_mask_1d(key, x.shape[0], encoder.num_patches(x), keep_ratio, min_block=min_block)

    def student(params, x, hidden):
        tokens, _ = forward(encoder, params, {}, x, train=True, visible_ids=hidden.visible_ids, method="tokens")
        return tokens["patches"]

    def init(key, batch):
        x = batch["views"][0]
        key_encoder, key_predictor, key_mask = jax.random.split(key, 3)
        hidden, params = mask(key_mask, x), {}
        params["encoder"], _ = setup(encoder, key_encoder, x)
        z = student(params["encoder"], x, hidden)
        params["predictor"], _ = setup(predict_hidden, key_predictor, z, hidden.visible_ids, hidden.hidden_ids)
        return params, {"teacher": {"encoder": ema_init(params["encoder"])}, "stats": {"encoder": {}}}

    def loss(params, memory, batch, key, step):
        x = batch["views"][0]
        hidden = mask(key, x)
        whole, _ = forward(encoder, memory["teacher"]["encoder"], {}, x, method="tokens")
        h = whole["patches"]
        target = take_tokens(h, hidden.hidden_ids)
        z = student(params["encoder"], x, hidden)
        ids = hidden.visible_ids, hidden.hidden_ids
        p, _ = forward(predict_hidden, params["predictor"], {}, z, *ids, train=True)
        metrics = {
            "features": h.mean(1)[None],
            "target_std": target.std(0).mean(),
            "teacher_distance": tree_distance(params["encoder"], memory["teacher"]["encoder"]),
            "momentum": jnp.float32(schedule(step)),
        }
        return jepa(p, target, kind=kind), (memory, metrics)

    def after(params, memory, step):
        teacher = ema_update(memory["teacher"], {"encoder": params["encoder"]}, schedule(step))
        return {**memory, "teacher": teacher}

    predict = make_predict({"encoder": encoder}, networks)
    return Method(init, loss, predict, after, networks=networks)
