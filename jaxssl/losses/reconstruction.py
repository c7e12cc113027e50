"""Losses of the reconstruction of hidden parts of the input."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, mask_weights, rows_that_count, weighted
from jaxssl.ops.checks import float_array, scalar_at_least
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize
from jaxssl.ops.patches import patchify
from jaxssl.ops.points import squared_distances


@any_mesh
def masked_patch_mse(
    pred: jax.Array,
    images: jax.Array,
    masked: jax.Array,
    *,
    patch_size: int,
    normalize_targets: bool = True,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Masked autoencoder loss: the squared error of predicted pixels, averaged over the hidden patches only.

    sum_nl masked_nl * mean_d (pred_nld - t_nld)^2 / sum_nl masked_nl; 0 when nothing is hidden. t are the
    patches of the image as `patchify` orders them (row, column, channel), with `normalize_targets` each patch
    standardised by its own mean and unbiased variance + 1e-6.
    `pred`: [N, L, P*P*C]; `images`: [N, H, W, C] floating, the input of the encoder; `masked`: [N, L], True
    or 1 = hidden. `where`, `reduction`: as in `losses.rows`; an example's value with 'none' is that of
    `losses.rows.weighted`. What stands in patches that are not hidden reaches nothing.
    `images` are stop-gradient.
    Raises: TypeError, ValueError for integer pred or images, wrong or different shapes, a patch size that
    does not divide the image.
    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
    https://arxiv.org/abs/2111.06377
    """
    pred = float_array("pred", pred, rank=3)
    targets = patchify(float_array("images", images, rank=4), patch_size)
    if pred.shape != targets.shape:
        raise ValueError(f"pred must be [N, L, P*P*C] = {targets.shape} for these images, got {pred.shape}")
    return masked_token_mse(
        pred, targets, masked, normalize_targets=normalize_targets, where=where, reduction=reduction
    )


@any_mesh
def masked_token_mse(
    pred: jax.Array,
    target: jax.Array,
    masked: jax.Array,
    *,
    normalize_targets: bool = True,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """`masked_patch_mse` for patches of any kind: the squared error of predictions of hidden tokens.

    sum_nl masked_nl * mean_d (pred_nld - t_nld)^2 / sum_nl masked_nl; 0 when nothing is hidden. t are the targets, with
    `normalize_targets` each standardised by its own mean and unbiased variance + 1e-6.
    `pred`, `target`: [N, L, D] floating; `masked`: [N, L], True or 1 = hidden. `where`, `reduction`: as in `losses.rows`;
    an example's value with 'none' is that of `losses.rows.weighted`. What stands in tokens that are not hidden reaches
    nothing. `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
    https://arxiv.org/abs/2111.06377
    """
    pred = float_array("pred", pred, rank=3)
    target = jax.lax.stop_gradient(float_array("target", target, rank=3))
    if pred.shape != target.shape:
        raise ValueError(f"pred must be [N, L, D] = {target.shape} as target is, got {pred.shape}")
    where = rows_that_count(where, len(pred))
    dtype = jnp.promote_types(pred.dtype, target.dtype)
    weights = mask_weights("masked", masked, "[N, L]", where, pred.shape[:2], dtype)
    pred, target = keep(weights != 0, pred), keep(weights != 0, target)
    if normalize_targets:
        degrees = max(target.shape[-1] - 1, 1)  # a patch of one value has variance 0, not 0 / 0
        centred = target - jnp.mean(target, axis=-1, keepdims=True)
        variance = jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / degrees
        target = centred / jnp.sqrt(variance + 1e-6)
    return weighted(jnp.mean(jnp.square(pred - target), axis=-1), weights, reduction)


@any_mesh
def scaled_cosine_error(
    pred: jax.Array,
    target: jax.Array,
    *,
    masked: jax.Array | None = None,
    alpha: float | jax.Array = 3.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """GraphMAE's loss: (1 - cos(pred, target))^alpha, averaged over the hidden rows; 0 when nothing is hidden.

    sum masked * (1 - cos(p, x))^alpha / sum masked. An exponent above 1 gives easy rows less weight.
    `pred`, `target`: [..., D]; a zero row counts as cosine 0 with zero gradient. `masked`: [...], True or 1 = counts;
    None counts all rows. `alpha`: >= 1. `where`, `reduction`: as in `losses.rows`, for the first axis; an example's
    value with 'none' is that of `losses.rows.weighted`. What stands in rows that do not count reaches nothing.
    `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, alpha < 1.
    Source: Hou et al., GraphMAE: Self-Supervised Masked Graph Autoencoders, 2022, arXiv:2205.10803,
    https://arxiv.org/abs/2205.10803
    """
    pred = float_array("pred", pred, rank=jnp.ndim(pred))
    target = jax.lax.stop_gradient(float_array("target", target, rank=jnp.ndim(target)).astype(pred.dtype))
    if pred.shape != target.shape or not pred.ndim:
        raise ValueError(f"pred and target must both be [..., D], got {pred.shape} and {target.shape}")
    scalar_at_least("alpha", alpha, pred.dtype, 1)
    where = rows_that_count(where, pred.shape[0] if pred.ndim > 1 else None)
    weights = mask_weights("masked", masked, "[...]", where, pred.shape[:-1], pred.dtype)
    pred, target = keep(weights != 0, pred), keep(weights != 0, target)
    # Rounding can put the cosine above 1, where a power of a negative number has no value.
    error = jnp.maximum(1 - jnp.sum(l2_normalize(pred) * l2_normalize(target), axis=-1), 0.0)
    # The derivative of x^alpha at 0 is not finite for every alpha.
    error = jnp.where(error == 0, 0.0, jnp.where(error == 0, 1.0, error) ** alpha)
    return weighted(error, weights, reduction)


@any_mesh
def chamfer(
    pred: jax.Array,
    target: jax.Array,
    *,
    masked: jax.Array | None = None,
    kind: str = "l2",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Chamfer distance of sets of points, averaged over the hidden sets; 0 when nothing is hidden.

    l2: mean_i min_j |p_i - t_j|^2 + mean_j min_i |p_i - t_j|^2;  l1: half of the same sum with |.| in place of |.|^2.
    It does not depend on the order of the points. At equally near points the gradient is shared among them.
    `pred`: [..., n, 3]; `target`: [..., m, 3]. `masked`: [...], True or 1 = counts; None counts all sets.
    `kind`: 'l2' or 'l1'. `where`, `reduction`: as in `losses.rows`, for the first axis; an example's value with 'none'
    is that of `losses.rows.weighted`. What stands in sets that do not count reaches nothing.
    `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, shapes that do not fit, an unknown kind.
    Source: Fan, Su, Guibas, A Point Set Generation Network for 3D Object Reconstruction from a Single Image, 2016,
    arXiv:1612.00603, https://arxiv.org/abs/1612.00603; as in Pang et al., Masked Autoencoders for Point Cloud
    Self-supervised Learning, 2022, arXiv:2203.06604, https://arxiv.org/abs/2203.06604
    """
    pred = float_array("pred", pred, rank=max(jnp.ndim(pred), 2))
    target = jax.lax.stop_gradient(float_array("target", target, rank=pred.ndim).astype(pred.dtype))
    if pred.shape[:-2] != target.shape[:-2] or pred.shape[-1] != target.shape[-1]:
        raise ValueError(f"pred [..., n, 3] and target [..., m, 3] do not fit: {pred.shape} and {target.shape}")
    if kind not in ("l2", "l1"):
        raise ValueError(f"kind={kind!r}: must be 'l2' or 'l1'.")
    where = rows_that_count(where, pred.shape[0] if pred.ndim > 2 else None)
    weights = mask_weights("masked", masked, "[...]", where, pred.shape[:-2], pred.dtype)
    pred, target = keep(weights != 0, pred), keep(weights != 0, target)
    distance = squared_distances(pred, target)
    nearest = [_smallest(distance, axis) for axis in (-1, -2)]
    if kind == "l1":
        # The root has no finite slope at 0; there the gradient is zero.
        nearest = [jnp.where(d == 0, 0.0, jnp.sqrt(jnp.where(d == 0, 1.0, d))) / 2 for d in nearest]
    return weighted(nearest[0].mean(-1) + nearest[1].mean(-1), weights, reduction)


def _smallest(distance, axis):
    """The minimum over an axis; equal ones share its gradient. That of `jnp.min` is NaN where the compiler computes
    `distance` twice and rounds otherwise, for it divides by how many are equal to the minimum: there may be none."""
    first = jnp.argmin(distance, axis=axis, keepdims=True)
    size = distance.shape[axis]
    one = jax.nn.one_hot(first.squeeze(axis), size, axis=axis, dtype=bool)
    nearest = jax.lax.stop_gradient(one | (distance == jnp.min(distance, axis=axis, keepdims=True)))
    return jnp.sum(jnp.where(nearest, distance, 0), axis=axis) / jnp.sum(nearest, axis=axis)
