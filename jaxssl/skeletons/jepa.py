"""From the visible parts of an example, predict the EMA teacher's features of the hidden parts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Out, PredictFrom, Watch, networks_of
from jaxssl.losses import jepa as jepa_loss
from jaxssl.models.module import Module, forward
from jaxssl.models.tokens import Hide, Tokens
from jaxssl.ops import ema_init
from jaxssl.skeletons.chain import make_predict
from jaxssl.skeletons.masked import Networks, begin_networks
from jaxssl.skeletons.teacher import Momentum, follow, teacher_metrics


class Drawn(NamedTuple):
    """Indices of tokens: context [N, K], which the student sees, and targets [N, M] or [N, S, M] for S target sets."""

    context: jax.Array
    targets: jax.Array


def jepa(
    encoder: Module,
    predictor: Callable[[Any], Module],
    draw: Callable[[jax.Array, Any], Drawn],
    momentum: Momentum,
    *,
    see: Callable[[Tokens], jax.Array],
    predict_from: PredictFrom,
    kind: str,
) -> Method:
    """A joint-embedding predictive architecture: latent targets, no decoder, no negatives.

        z = f(x at C),   p = g(z, C, T),   L = losses.jepa(p, sg f'(x)_T)

    f' is the teacher, an exponential moving average of f; it sees the whole example and is stop-gradient.

    Args:
      encoder: f, which can encode some of its patches (see `models.tokens`).
      predictor: x -> g, a module (z, C, T) -> predictions of the targets; not used afterwards.
      draw: (key, x) -> C and T.
      momentum: step -> m of the teacher.
      see: the student's `Tokens` -> z [N, R + K, D], the predictor's input.
      predict_from: see `core.networks_of`.
      kind: of `losses.jepa`.

    Batch: `views`, a tuple of one input of the encoder. Memory: `teacher`.
    """
    networks = networks_of(predict_from)

    def student(nets: Networks, x: Any, key: jax.Array) -> tuple[jax.Array, Drawn]:
        drawn = draw(key, x)
        z = see(nets("encoder", encoder, x, method="encode", hide=Hide(drawn.context)))
        return nets("predictor", predictor(x), z, drawn.context, drawn.targets), drawn

    begin = begin_networks(encoder, ("encoder", "predictor"), student)

    def init(key, batch):
        params, memory = begin(key, batch)
        return params, {**memory, "teacher": ema_init({"encoder": params["encoder"]})}

    def loss(params, memory, batch, key, step):
        x = batch["views"][0]
        pred, drawn = student(Networks(params, {}), x, key)
        seen, _ = forward(encoder, memory["teacher"]["encoder"], {}, x, method="encode")
        target = jax.vmap(lambda row, ids: row[ids])(seen.patches, drawn.targets)
        metrics = {
            "target_std": jnp.mean(jnp.std(target, axis=0)),
            **teacher_metrics(params, memory, momentum, step),
        }
        return jepa_loss(pred, target, kind=kind), Out(memory, metrics, Watch(encoder.pooled(seen)[None]))

    predict = make_predict({"encoder": encoder}, networks)
    return Method(init, loss, predict, follow(["encoder"], momentum), networks=networks)
