"""What methods with a predicting student and a slowly moving teacher share; they differ in heads and objective."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.core import Method, PredictFrom, networks_of
from jaxssl.models.chain import forward_chain_views, make_predict, part, setup_chain
from jaxssl.ops import ema_init, ema_update, tree_distance


def student_teacher(
    chain,
    objective: Callable[[dict, dict], jax.Array],
    momentum: Callable[[jax.Array], Any],
    *,
    predict_from: PredictFrom,
    negatives: bool = False,
) -> Method:
    """A method whose student sees every view through the chain, and whose teacher sees them through all but the last link.

    The teacher is an exponential moving average of the student's parameters, new = m * old + (1 - m) * student. It
    uses and keeps the statistics of its own batches. It gets no gradient: it lies in the memory.

    Args:
      chain: modules by name, the last one the predictor that only the student has.
      objective: (student's outputs, teacher's outputs) -> scalar; both map names to [V, N, D].
      momentum: step -> m.
      predict_from, negatives: see `core.networks_of`, `core.Method`.

    Batch: `views` [V, N, ...]. Memory: `stats`, `teacher`, `teacher_stats`.
    """
    teacher_chain = dict(list(chain.items())[:-1])
    networks = networks_of(predict_from)

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {
            "stats": stats,
            "teacher": ema_init(part(params, teacher_chain)),
            "teacher_stats": part(stats, teacher_chain),
        }

    def loss(params, memory, batch, key, step):
        views, (key_student, key_teacher) = batch["views"], jax.random.split(key)
        out, stats = forward_chain_views(chain, params, memory["stats"], views, train=True, key=key_student)
        seen, teacher_stats = forward_chain_views(
            teacher_chain, memory["teacher"], memory["teacher_stats"], views, train=True, key=key_teacher
        )
        embedding = list(teacher_chain)[-1]
        metrics = {
            "features": out[next(iter(chain))],
            "projections": out[embedding],
            "teacher_distance": tree_distance(part(params, teacher_chain), memory["teacher"]),
            "momentum": jnp.float32(momentum(step)),
        }
        return objective(out, seen), ({**memory, "stats": stats, "teacher_stats": teacher_stats}, metrics)

    def after(params, memory, step):
        return {**memory, "teacher": ema_update(memory["teacher"], part(params, teacher_chain), momentum(step))}

    return Method(init, loss, make_predict(chain, networks), after, networks=networks, negatives=negatives)
