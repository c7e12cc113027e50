"""Losses over more than two views, each with its own role."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import float_array, positive_scalar
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def multiview_contrastive(
    anchor: jax.Array,
    positives: jax.Array,
    negatives: jax.Array,
    *,
    positive_weights: jax.Array,
    negative_weights: jax.Array,
    temperature: float | jax.Array = 0.1,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Weighted contrast of an anchor with positive and negative views (ColloSSL).

    With c the cosine and T the temperature,

        P_i = sum_p w_p exp(c(z_i, z^p_i) / T),  Q_i = sum_q v_q exp(c(z_i, z^q_i) / T),
        L = mean_i log(P_i + Q_i) - log(P_i)

    `anchor`: z [N, D]; `positives`: [P, N, D], rows of the same examples; `negatives`: [Q, N, D], rows of other
    examples (the caller shuffles them). `positive_weights` w [P], `negative_weights` v [Q]: at least 0; a weight
    of 0 leaves a view out, whatever stands in it, so that the choice of views may be traced. Without a positive or
    without a negative of weight above 0 the loss is 0.
    `temperature`: T, a number or a (traced) scalar. `where`, `reduction`: as in `losses.rows`; row n of all views.
    The weights are stop-gradient; nothing else is.
    Raises: TypeError, ValueError for integers, shapes that do not fit, temperature <= 0.
    Source: Jain, Tang, Min, Kawsar, Mathur, ColloSSL: Collaborative Self-Supervised Learning for Human Activity
    Recognition, 2022, arXiv:2202.00758, https://arxiv.org/abs/2202.00758
    """
    anchor = float_array("anchor", anchor, rank=2)
    views = {}
    for name, view in (("positives", positives), ("negatives", negatives)):
        views[name] = float_array(name, view, rank=3).astype(anchor.dtype)
        if views[name].shape[1:] != anchor.shape:
            raise ValueError(f"{name} must be [views, N, D] with [N, D] = {anchor.shape}, got {views[name].shape}")
    weights = {}
    for name, value in (("positive", positive_weights), ("negative", negative_weights)):
        weights[name] = jax.lax.stop_gradient(jnp.asarray(value, anchor.dtype))
        if weights[name].shape != views[f"{name}s"].shape[:1]:
            raise ValueError(f"{name}_weights must be {views[f'{name}s'].shape[:1]}, got {weights[name].shape}")
    temperature = positive_scalar("temperature", temperature, anchor.dtype)
    where = rows_that_count(where, len(anchor))
    # A NaN weight counts as above 0.
    has_both = jnp.any(~(weights["positive"] <= 0)) & jnp.any(~(weights["negative"] <= 0))
    for name, weight in weights.items():
        views[f"{name}s"] = keep(where, keep(~(weight <= 0) & has_both, views[f"{name}s"]), axis=1)
    unit = l2_normalize(keep(where, jnp.where(has_both, anchor, 0)))
    scores = {name: jnp.sum(l2_normalize(view) * unit, axis=-1) / temperature for name, view in views.items()}
    # Where one side is empty its weights become 1, so that no logarithm of 0 reaches the gradient.
    total = {
        name: logsumexp(scores[f"{name}s"] + _log(jnp.where(has_both, weight, 1.0))[:, None], axis=0)
        for name, weight in weights.items()
    }
    # log(P + Q) - log(P) = log(1 + Q / P), accurate also where Q is small.
    value = reduce(where, jax.nn.softplus(total["negative"] - total["positive"]), reduction)
    return jnp.where(has_both, value, 0.0)


def _log(weight):
    return jnp.where(weight <= 0, -jnp.inf, jnp.log(jnp.where(weight <= 0, 1.0, weight)))
