"""Losses of classifiers, with labels for some examples or for all."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import float_array, unit_interval
from jaxssl.ops.meshes import any_mesh


@any_mesh
def cross_entropy(
    logits: jax.Array,
    target: jax.Array,
    *,
    label_smoothing: float | jax.Array = 0.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Softmax cross entropy of the examples whose class is known.

    mean_n -sum_c q[n, c] log softmax(logits[n])[c],  q = (1 - a) onehot(y) + a / C,  a = `label_smoothing`.
    `logits`: [N, C]; `target`: y, int [N] in 0 .. C - 1, or -1 = hidden: such a row does not count, and where none
    does the loss is 0. A known class of C or more gives NaN.
    `where`, `reduction`: as in `losses.rows`; hidden rows are as those with `where` False. Nothing is stop-gradient.
    Raises: TypeError, ValueError for integer logits, targets that are no integers, shapes that do not agree, a known
    smoothing outside [0, 1].
    Source: label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, Rethinking the Inception Architecture for
    Computer Vision, 2015, arXiv:1512.00567, https://arxiv.org/abs/1512.00567
    """
    logits = float_array("logits", logits, rank=2)
    target = jnp.asarray(target)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise TypeError(f"target must be integers, -1 = hidden; got {target.dtype}")
    if target.shape != logits.shape[:1]:
        raise ValueError(f"target must be [N] = {logits.shape[:1]}, got shape {target.shape}")
    unit_interval("label_smoothing", label_smoothing)
    where, known = rows_that_count(where, len(logits)), target >= 0
    where = known if where is None else where & known
    log_p = jax.nn.log_softmax(keep(where, logits))
    picked = jnp.take_along_axis(log_p, keep(where, target)[:, None], axis=1, mode="fill", fill_value=jnp.nan)[:, 0]
    values = -(1 - label_smoothing) * picked - label_smoothing * jnp.mean(log_p, axis=1)
    return reduce(where, values.astype(logits.dtype), reduction)
