"""DenseCL: MoCo on whole images, and on every place of the map with a queue of its own."""

import jax
import jax.numpy as jnp

from jaxssl.card import Card
from jaxssl.core import Method, Out, PredictFrom, Watch, networks_of
from jaxssl.losses import dense_info_nce, info_nce
from jaxssl.models.heads import projector
from jaxssl.models.module import Module
from jaxssl.ops import l2_normalize, nearest_by_feature, queue_push
from jaxssl.skeletons.chain import batch_size
from jaxssl.skeletons.dense import NAMES, flat, forward_maps, networks_with_maps, predict_maps, setup_maps
from jaxssl.skeletons.teacher import begin_teacher, follow, teacher_metrics

CARD = Card("DenseCL", "arXiv:2011.09157", 2020, "image", "contrast")


def densecl(
    encoder: Module,
    *,
    hidden_dims: tuple[int, ...] = (2048,),
    dim: int = 128,
    queue_size: int = 65536,
    temperature: float = 0.2,
    momentum: float = 0.999,
    dense_weight: float = 0.5,
    dense_start: int = 0,
    shuffle: bool = True,
    predict_from: PredictFrom = "student",
) -> Method:
    """DenseCL.

        q, Q = g(f(x1)), G(F(x1)),   k, K = g'(f'(x2)), G'(F'(x2))
        L = (1 - lambda) info_nce(q, k, queue) + lambda dense_info_nce(Q, K, dense queue, matches)

    F is the encoder's last map and f what is pooled of it; G is a projector of single places. A place of F(x1) is
    matched with the place of F'(x2) that has the largest cosine. f', g', G' are exponential moving averages of f, g, G.
    The dense queue holds the mean over the places of K, one row an image. Keys, queues and matches are stop-gradient.

    Args:
      encoder: backbone with a map, [N, H, W, C] -> [N, D] and [N, h, w, D].
      hidden_dims, dim: widths of both projectors; ReLU after each hidden layer, no batch norm.
      queue_size: number of keys in each queue, at least the batch size.
      temperature: tau of both terms.
      momentum: m of the teacher, new = m * old + (1 - m) * student.
      dense_weight: lambda; 0 is MoCo v2 with a projector that never learns.
      dense_start: the number of first steps with lambda = 0; 1,000 in the release's DenseCLWarmupHook.
      shuffle: show the teacher the batch in another order, see `methods.moco`.
      predict_from: 'student' or 'teacher', whose features are evaluated and exported; the release takes the query's
        (github.com/WXinlong/DenseCL, openselfsup/models/densecl.py: `backbone` is that of `encoder_q`).

    Batch: `views`, two arrays [N, H, W, C].
    Memory: `stats`, `teacher`, `teacher_stats`, `queue` and `dense_queue` [K, dim], `cursor`.

    Source: Wang, Zhang, Shen, Kong, Li, Dense Contrastive Learning for Self-Supervised Visual Pre-Training, 2020,
    arXiv:2011.09157, https://arxiv.org/abs/2011.09157
    """
    if not 0 <= dense_weight <= 1:
        raise ValueError(f"method.dense_weight={dense_weight}: must lie in [0, 1].")
    head = lambda: projector(hidden_dims, dim, norm=False, dtype=encoder.dtype)
    networks = networks_with_maps("methods.densecl", encoder, head(), head())
    weights, schedule = networks_of(predict_from), lambda step: momentum

    def init(key, batch):
        key_networks, *key_queues = jax.random.split(key, 3)
        params, stats = setup_maps(networks, key_networks, batch["views"][0])
        size = batch_size(batch["views"][0])
        if queue_size < size:
            raise ValueError(f"method.queue_size={queue_size}: must be at least the batch size {size}.")
        queue, dense_queue = (l2_normalize(jax.random.normal(k, (queue_size, dim))) for k in key_queues)
        memory = begin_teacher(params, stats, NAMES)
        return params, {**memory, "queue": queue, "dense_queue": dense_queue, "cursor": jnp.zeros((), jnp.int32)}

    def loss(params, memory, batch, key, step):
        key_student, key_teacher, key_shuffle = jax.random.split(key, 3)
        x1, x2 = batch["views"]
        out, stats = forward_maps(networks, params, memory["stats"], x1, train=True, key=key_student)
        order = jax.random.permutation(key_shuffle, len(x2)) if shuffle else jnp.arange(len(x2))
        seen, teacher_stats = forward_maps(
            networks, memory["teacher"], memory["teacher_stats"], x2[order], train=True, key=key_teacher
        )
        seen = jax.tree.map(lambda x: x[jnp.argsort(order)], seen)
        matches, distances = nearest_by_feature(flat(out["patches"]), flat(seen["patches"]))
        places = flat(seen["dense_projector"])
        keys, dense_keys = l2_normalize(seen["projector"]), l2_normalize(places.mean(1))
        terms = {
            "global": info_nce(out["projector"], keys, memory["queue"], temperature=temperature),
            "dense": dense_info_nce(
                flat(out["dense_projector"]), places, memory["dense_queue"], matches, temperature=temperature
            ),
        }
        share = jnp.where(step < dense_start, 0.0, dense_weight)
        value = (1 - share) * terms["global"] + share * terms["dense"]
        queue, cursor = queue_push(memory["queue"], memory["cursor"], keys)
        dense_queue, _ = queue_push(memory["dense_queue"], memory["cursor"], dense_keys)
        metrics = {**terms, "match_cosine": 1 - distances.mean(), **teacher_metrics(params, memory, schedule, step)}
        memory = {**memory, "stats": stats, "teacher_stats": teacher_stats}
        memory = {**memory, "queue": queue, "dense_queue": dense_queue, "cursor": cursor}
        return value, Out(memory, metrics, Watch(out["encoder"][None], jnp.stack([out["projector"], keys])))

    predict, after = predict_maps(networks, weights), follow(NAMES, schedule)
    return Method(init, loss, predict, after, networks=weights, negatives=True)
