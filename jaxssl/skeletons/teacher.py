"""A student, and a teacher that is an exponential moving average of it and gets no gradient."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Out, PredictFrom, Watch, networks_of
from jaxssl.ops import ema_init, ema_update, tree_distance
from jaxssl.skeletons.chain import Chain, forward_chain_views, make_predict, part, setup_chain
from jaxssl.skeletons.siamese import Outputs, with_metrics

Momentum = Callable[[jax.Array], Any]


def begin_teacher(params: Mapping, stats: Mapping, names: Iterable[str]) -> dict[str, Any]:
    """The memory of student and teacher at the start: the networks `names` of the teacher equal the student's."""
    names = list(names)
    return {"stats": stats, "teacher": ema_init(part(params, names)), "teacher_stats": part(stats, names)}


def follow(names: Iterable[str], momentum: Momentum) -> Callable:
    """`after` of a method: teacher = m * teacher + (1 - m) * student, for the networks `names`."""
    names = list(names)

    def after(params, memory, step):
        return {**memory, "teacher": ema_update(memory["teacher"], part(params, names), momentum(step))}

    return after


def teacher_metrics(params: Mapping, memory: Mapping, momentum: Momentum, step: jax.Array) -> dict[str, jax.Array]:
    """Metrics: the distance of teacher and student over the student's norm (`ops.tree_distance`), and m at this step."""
    distance = tree_distance(part(params, memory["teacher"]), memory["teacher"])
    return {"teacher_distance": distance, "momentum": jnp.float32(momentum(step))}


def teacher(
    chain: Chain,
    objective: Callable[[Outputs, Outputs], Any],
    momentum: Momentum,
    *,
    predict_from: PredictFrom,
    negatives: bool = False,
) -> Method:
    """A method whose student has all networks of the chain, and whose teacher has all but the last.

    The teacher is an exponential moving average of the student's parameters, new = m * old + (1 - m) * student. It
    uses and keeps the statistics of its own batches. It gets no gradient: it lies in the memory.

    Args:
      chain: modules by name, the last one the predictor that only the student has.
      objective: (student's outputs, teacher's outputs), both {name: [V, N, D]} -> the loss, or (the loss, metrics).
      momentum: step -> m.
      predict_from, negatives: see `core.networks_of`, `core.Method`.

    Batch: `views`, a tuple of V inputs of the encoder. Memory: `stats`, `teacher`, `teacher_stats`.
    """
    teacher_chain = dict(list(chain.items())[:-1])
    networks, embedding = networks_of(predict_from), list(teacher_chain)[-1]

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, begin_teacher(params, stats, teacher_chain)

    def loss(params, memory, batch, key, step):
        views, (key_student, key_teacher) = batch["views"], jax.random.split(key)
        out, stats = forward_chain_views(chain, params, memory["stats"], views, train=True, key=key_student)
        seen, teacher_stats = forward_chain_views(
            teacher_chain, memory["teacher"], memory["teacher_stats"], views, train=True, key=key_teacher
        )
        value, metrics = with_metrics(objective(out, seen))
        metrics = {**metrics, **teacher_metrics(params, memory, momentum, step)}
        memory = {**memory, "stats": stats, "teacher_stats": teacher_stats}
        return value, Out(memory, metrics, Watch(out[next(iter(chain))], out[embedding]))

    after = follow(teacher_chain, momentum)
    return Method(init, loss, make_predict(chain, networks), after, networks=networks, negatives=negatives)
