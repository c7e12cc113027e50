"""MoCo v2: keys of a slowly moving teacher, and a queue of them as negatives."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, PredictFrom, Watch, networks_of
from jaxssl.losses import info_nce
from jaxssl.models.heads import projector
from jaxssl.models.inits import HeadInit
from jaxssl.models.module import Module
from jaxssl.ops import l2_normalize, queue_push
from jaxssl.skeletons.chain import batch_size, forward_chain, make_predict, setup_chain
from jaxssl.skeletons.teacher import begin_teacher, follow, teacher_metrics

CARD = Card("MoCo v2", "arXiv:2003.04297", 2020, "image", "contrast", beats=("untrained",))


def moco(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    queue_size: int = 65536,
    temperature: float = 0.2,
    momentum: float = 0.999,
    shuffle: bool = True,
    predict_from: PredictFrom = "student",
    head_init: HeadInit = "lecun",
) -> Method:
    """MoCo v2.

        q = g(f(x1)),  k = g'(f'(x2)),   L = info_nce(q, k, queue)

    with f', g' exponential moving averages of f, g. Keys and queue are stop-gradient.

    Args:
      encoder: backbone f, [N, ...] -> [N, D].
      hidden_dims, dim: widths of the projector g; ReLU after each hidden layer, no batch norm.
      queue_size: number of keys remembered, at least the batch size.
      temperature: tau of InfoNCE.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      shuffle: show the teacher the batch in another order. It matters where the encoder's statistics are per group
        of the batch (`encoder.batch_groups` > 1, where the published recipe splits the batch): query and key are
        then normalised in different company and cannot recognise each other by it.
      predict_from: 'student' or 'teacher', whose features are evaluated and exported; the published evaluation takes the
        query's (github.com/facebookresearch/moco, main_lincls.py: `encoder_q`).
      head_init: how the linear layers of the heads start, see `models.inits.head_inits`.

    Batch: `views`, two arrays [N, ...]. Memory: `stats`, `teacher`, `teacher_stats`, `queue` [K, dim], `cursor`.

    Source: He, Fan, Wu, Xie, Girshick, Momentum Contrast for Unsupervised Visual Representation Learning, 2019,
    arXiv:1911.05722, https://arxiv.org/abs/1911.05722; Chen, Fan, Girshick, He, Improved Baselines with Momentum
    Contrastive Learning, 2020, arXiv:2003.04297, https://arxiv.org/abs/2003.04297
    """
    chain = {
        "encoder": encoder,
        "projector": projector(hidden_dims, dim, norm=False, dtype=encoder.dtype, init_as=head_init),
    }
    networks, schedule = networks_of(predict_from), lambda step: momentum

    def init(key, batch):
        key_networks, key_queue = jax.random.split(key)
        params, stats = setup_chain(chain, key_networks, batch["views"][0])
        size = batch_size(batch["views"][0])
        if queue_size < size:
            raise ValueError(f"method.queue_size={queue_size}: must be at least the batch size {size}.")
        queue = l2_normalize(jax.random.normal(key_queue, (queue_size, dim)))
        memory = begin_teacher(params, stats, chain)
        return params, {**memory, "queue": queue, "cursor": jnp.zeros((), jnp.int32)}

    def loss(params, memory, batch, key, step):
        key_student, key_teacher, key_shuffle = jax.random.split(key, 3)
        x1, x2 = batch["views"]
        out, stats = forward_chain(chain, params, memory["stats"], x1, train=True, key=key_student)
        size = batch_size(x2)
        order = jax.random.permutation(key_shuffle, size) if shuffle else jnp.arange(size)
        seen, teacher_stats = forward_chain(
            chain,
            memory["teacher"],
            memory["teacher_stats"],
            jax.tree.map(lambda x: x[order], x2),
            train=True,
            key=key_teacher,
        )
        query = out["projector"]
        keys = l2_normalize(seen["projector"][jnp.argsort(order)])
        value = info_nce(query, keys, memory["queue"], temperature=temperature)
        queue, cursor = queue_push(memory["queue"], memory["cursor"], keys)
        memory = {**memory, "stats": stats, "teacher_stats": teacher_stats, "queue": queue, "cursor": cursor}
        watch = Watch(out["encoder"][None], jnp.stack([query, keys]))
        return value, Out(memory, teacher_metrics(params, memory, schedule, step), watch)

    predict, after = make_predict(chain, networks), follow(chain, schedule)
    return Method(init, loss, predict, after, networks=networks, negatives=True)
