"""Losses that rebuild hidden parts of the input."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array
from jaxssl.ops.norm import l2_normalize
from jaxssl.ops.patches import patchify
from jaxssl.ops.points import squared_distances


def masked_patch_mse(pred, images, masked, *, patch_size, normalize_targets=True):
    """Masked autoencoder loss: the squared error of predicted pixels, averaged over the hidden patches only.

    sum_nl masked_nl * mean_d (pred_nld - t_nld)^2 / sum_nl masked_nl; 0 when nothing is hidden. t are the
    patches of the image as `patchify` orders them (row, column, channel), with `normalize_targets` each patch
    standardised by its own mean and unbiased variance + 1e-6.
    `pred`: [N, L, P*P*C]; `images`: [N, H, W, C] floating, the input of the encoder; `masked`: [N, L], True
    or 1 = hidden.
    `images` are stop-gradient.
    Raises: TypeError, ValueError for integer pred or images, wrong or different shapes, a patch size that
    does not divide the image.
    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2021, arXiv 2111.06377
    (https://arxiv.org/abs/2111.06377).
    """
    pred = float_array("pred", pred, rank=3)
    targets = jax.lax.stop_gradient(patchify(float_array("images", images, rank=4), patch_size))
    masked = jnp.asarray(masked)
    if pred.shape != targets.shape:
        raise ValueError(f"pred must be [N, L, P*P*C] = {targets.shape} for these images, got {pred.shape}")
    if masked.shape != pred.shape[:2]:
        raise ValueError(f"masked must be [N, L] = {pred.shape[:2]}, got {masked.shape}")
    if normalize_targets:
        degrees = max(targets.shape[-1] - 1, 1)  # a patch of one value has variance 0, not 0 / 0
        centred = targets - jnp.mean(targets, axis=-1, keepdims=True)
        variance = jnp.sum(jnp.square(centred), axis=-1, keepdims=True) / degrees
        targets = centred / jnp.sqrt(variance + 1e-6)
    errors = jnp.mean(jnp.square(pred - targets), axis=-1)
    weights = masked.astype(errors.dtype)
    total = jnp.sum(weights)
    return jnp.sum(errors * weights) / jnp.where(total > 0, total, 1.0)


def scaled_cosine_error(pred, target, *, masked=None, alpha=3.0):
    """GraphMAE's loss: (1 - cos(pred, target))^alpha, averaged over the hidden rows; 0 when nothing is hidden.

    sum masked * (1 - cos(p, x))^alpha / sum masked. An exponent above 1 gives easy rows less weight.
    `pred`, `target`: [..., D]; a zero row counts as cosine 0 with zero gradient. `masked`: [...], True or 1 = counts;
    None counts all rows. `alpha`: >= 1.
    `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, alpha < 1.
    Source: Hou et al., "GraphMAE: Self-Supervised Masked Graph Autoencoders", 2022, arXiv 2205.10803
    (https://arxiv.org/abs/2205.10803).
    """
    pred = float_array("pred", pred, rank=jnp.ndim(pred))
    target = jax.lax.stop_gradient(float_array("target", target, rank=jnp.ndim(target)).astype(pred.dtype))
    if pred.shape != target.shape or not pred.ndim:
        raise ValueError(f"pred and target must both be [..., D], got {pred.shape} and {target.shape}")
    if isinstance(alpha, (int, float)) and alpha < 1:
        raise ValueError(f"alpha must be at least 1, got {alpha}")
    masked = jnp.ones(pred.shape[:-1], bool) if masked is None else jnp.asarray(masked)
    if masked.shape != pred.shape[:-1]:
        raise ValueError(f"masked must be [...] = {pred.shape[:-1]}, got {masked.shape}")
    # Rounding can put the cosine above 1, where a power of a negative number has no value.
    error = jnp.maximum(1 - jnp.sum(l2_normalize(pred) * l2_normalize(target), axis=-1), 0.0)
    # The slope of x^alpha at 0 is not finite for every alpha.
    error = jnp.where(error > 0, jnp.where(error > 0, error, 1.0) ** alpha, 0.0)
    weights = masked.astype(error.dtype)
    total = jnp.sum(weights)
    return jnp.sum(error * weights) / jnp.where(total > 0, total, 1.0)


def chamfer(pred, target, *, masked=None, kind="l2"):
    """Chamfer distance of sets of points, averaged over the hidden sets; 0 when nothing is hidden.

    l2: mean_i min_j |p_i - t_j|^2 + mean_j min_i |p_i - t_j|^2;  l1: half of the same sum with |.| in place of |.|^2.
    It does not depend on the order of the points. At equally near points the gradient is shared among them.
    `pred`: [..., n, 3]; `target`: [..., m, 3]. `masked`: [...], True or 1 = counts; None counts all sets.
    `kind`: 'l2' or 'l1'.
    `target` is stop-gradient.
    Raises: TypeError, ValueError for integers, shapes that do not fit, an unknown kind.
    Source: Fan, Su and Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single Image", 2016,
    arXiv 1612.00603 (https://arxiv.org/abs/1612.00603); as in Pang et al., "Masked Autoencoders for Point Cloud
    Self-supervised Learning", 2022, arXiv 2203.06604 (https://arxiv.org/abs/2203.06604).
    """
    pred = float_array("pred", pred, rank=max(jnp.ndim(pred), 2))
    target = jax.lax.stop_gradient(float_array("target", target, rank=pred.ndim).astype(pred.dtype))
    if pred.shape[:-2] != target.shape[:-2] or pred.shape[-1] != target.shape[-1]:
        raise ValueError(f"pred [..., n, 3] and target [..., m, 3] do not fit: {pred.shape} and {target.shape}")
    if kind not in ("l2", "l1"):
        raise ValueError(f"kind must be 'l2' or 'l1', got {kind!r}")
    masked = jnp.ones(pred.shape[:-2], bool) if masked is None else jnp.asarray(masked)
    if masked.shape != pred.shape[:-2]:
        raise ValueError(f"masked must be [...] = {pred.shape[:-2]}, got {masked.shape}")
    distance = squared_distances(pred, target)
    nearest = [jnp.min(distance, axis=-1), jnp.min(distance, axis=-2)]
    if kind == "l1":
        # The root has no finite slope at 0; there the gradient is zero.
        nearest = [jnp.where(d > 0, jnp.sqrt(jnp.where(d > 0, d, 1.0)), 0.0) / 2 for d in nearest]
    error = nearest[0].mean(-1) + nearest[1].mean(-1)
    weights = masked.astype(error.dtype)
    total = jnp.sum(weights)
    return jnp.sum(error * weights) / jnp.where(total > 0, total, 1.0)
