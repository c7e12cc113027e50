"""DINO: self-distillation; the student's small crops learn to say what the teacher says of the large ones."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, PredictFrom, Watch, networks_of
from jaxssl.losses import dino as dino_loss
from jaxssl.losses import dino_center
from jaxssl.models.heads import DINOHead
from jaxssl.models.module import Module
from jaxssl.ops import momentum_schedule
from jaxssl.skeletons.chain import forward_chain_views, make_predict, setup_chain, without_drop_path
from jaxssl.skeletons.prototypes import resting, rests
from jaxssl.skeletons.teacher import begin_teacher, follow, teacher_metrics

CARD = Card("DINO", "arXiv:2104.14294", 2021, "image", "self-distillation", beats=("untrained",))


def dino(
    encoder: Module,
    *,
    hidden_dim: int = 2048,
    bottleneck_dim: int = 256,
    num_prototypes: int = 65536,
    head_layers: int = 3,
    head_norm: bool = False,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    teacher_temperature_end: float = 0.04,
    teacher_temperature_steps: int = 0,
    center_momentum: float = 0.9,
    freeze_steps: int = 0,
    momentum: float = 0.996,
    momentum_end: float = 1.0,
    momentum_steps: int = 0,
    remat_views: bool = False,
    predict_from: PredictFrom = "teacher",
    head_init: Literal["truncated", "dino"] = "truncated",
) -> Method:
    """DINO with multi-crop.

        L = mean_{t != s} CE(sg softmax((g'(f'(x_t)) - c) / tau_t), softmax(g(f(x_s)) / tau_s))

    t goes over the global crops, s over all; f', g' are exponential moving averages of f, g, and the centre c one of
    the teacher's mean output. Teacher and centre are stop-gradient.

    Args:
      encoder: backbone f, [N, H, W, C] -> [N, D], for every crop size.
      hidden_dim, bottleneck_dim, num_prototypes, head_layers, head_norm: of the DINO head g.
      student_temperature: tau_s.
      teacher_temperature, teacher_temperature_end, teacher_temperature_steps: tau_t, linearly from the first to the
        second within these steps, then constant; 0 steps keep the first. Published: 0.04 to 0.07 within 30 epochs, or 0.04.
      center_momentum: of the centre.
      freeze_steps: number of first steps in which the head's last layer and its optimiser state do not change; one
        epoch in the published recipe.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      momentum_end, momentum_steps: where m ends, and the steps of the cosine that leads there; 0 steps keep it constant.
      remat_views: recompute the activations of each crop in the backward pass, one crop at a time: less memory for one
        more forward pass; loss and gradient are the same.
      predict_from: 'teacher' or 'student', whose features are evaluated and exported; the published evaluation takes the
        teacher's (github.com/facebookresearch/dino, eval_knn.py, eval_linear.py: `--checkpoint_key teacher`).
      head_init: how the head starts, see `models.heads.DINOHead`.

    Batch: `views`, arrays [N, ...], two at least, and, where there are, `local_views`.
    Memory: `stats`, `teacher`, `teacher_stats`, `center` [K].

    Source: Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, Emerging Properties in Self-Supervised Vision
    Transformers, 2021, arXiv:2104.14294, https://arxiv.org/abs/2104.14294
    """
    head = DINOHead(hidden_dim, bottleneck_dim, num_prototypes, head_layers, head_norm, encoder.dtype, head_init)
    chain = {"encoder": encoder, "head": head}
    teacher_chain = {"encoder": without_drop_path(encoder), "head": head}
    schedule, networks = momentum_schedule(momentum, momentum_end, momentum_steps), networks_of(predict_from)

    def teacher_tau(step):
        if not teacher_temperature_steps:
            return teacher_temperature
        done = jnp.clip(step / teacher_temperature_steps, 0, 1)
        return teacher_temperature + (teacher_temperature_end - teacher_temperature) * done

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {**begin_teacher(params, stats, chain), "center": jnp.zeros((num_prototypes,))}

    def loss(params, memory, batch, key, step):
        key_student, key_teacher = jax.random.split(key)
        last = resting(params["head"]["last_layer"], step, freeze_steps)
        student = {**params, "head": {**params["head"], "last_layer": last}}
        crops = [*batch["views"], *batch.get("local_views", ())]
        out, stats = forward_chain_views(
            chain, student, memory["stats"], crops, train=True, key=key_student, remat=remat_views
        )
        seen, teacher_stats = forward_chain_views(
            teacher_chain, memory["teacher"], memory["teacher_stats"], batch["views"], train=True, key=key_teacher
        )
        tau, center = teacher_tau(step), memory["center"]
        value = dino_loss(
            out["head"], seen["head"], center, student_temperature=student_temperature, teacher_temperature=tau
        )
        metrics = {**teacher_metrics(params, memory, schedule, step), "teacher_temperature": jnp.float32(tau)}
        watch = Watch(
            out["encoder"][: len(batch["views"])], assignments=jax.nn.softmax((seen["head"][0] - center) / tau)
        )
        memory = {
            **memory,
            "stats": stats,
            "teacher_stats": teacher_stats,
            "center": dino_center(center, seen["head"], momentum=center_momentum),
        }
        return value, Out(memory, metrics, watch)

    predict, after = make_predict(chain, networks), follow(chain, schedule)
    return Method(init, loss, predict, after, networks=networks, rests=rests("^/head/last_layer$", freeze_steps))
