"""Losses of two encoders whose outputs come in pairs, such as images and their captions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxssl.losses.rows import both, keep, logits_of_both, reduce, rows_that_count
from jaxssl.ops.checks import finite_scalar, float_pair, known_number
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def clip(
    image: jax.Array,
    text: jax.Array,
    log_scale: float | jax.Array,
    *,
    groups: jax.Array | None = None,
    max_scale: float = 100.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Symmetric cross entropy of finding the text of an image and the image of a text in the batch (CLIP).

    S = s U V^T, L = (mean_i CE(S_i, i) + mean_j CE(S^T_j, j)) / 2, s = min(exp(log_scale), max_scale), U and V the
    L2-normalised rows.
    `image`, `text`: [N, D]; row n of both is a pair. For N = 1 the loss is 0.
    `log_scale`: a scalar, learned; the paper starts at log(1 / 0.07).
    `groups`: int [N] or None. For captions that belong to several images: rows of equal groups are positives of each
    other, each with the target 1 / (size of the group). The minimum of the loss is then the mean of
    log(size of the group), not 0. None: every row is its own group.
    `max_scale`: upper bound of s. Above it the gradient of `log_scale` is not zero, as that of a clip, with which
    `log_scale` could never return: it passes where a descent step lowers `log_scale`, and is zero where it would raise it.
    With plain gradient descent this is clipping after the update. Forward mode gives the zero of a clip.
    `where`, `reduction`: as in `losses.rows`; an example's value is the mean of its two directions.
    Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, groups that are not int [N],
    max_scale <= 0.
    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
    arXiv:2103.00020, https://arxiv.org/abs/2103.00020; the targets of groups as in Yang et al., Unified Contrastive
    Learning in Image-Text-Label Space, 2022, arXiv:2204.03610, https://arxiv.org/abs/2204.03610
    """
    image, text = float_pair("image", image, "text", text)
    log_scale = finite_scalar("log_scale", log_scale, image.dtype)
    where = rows_that_count(where, len(image))
    scores = _cosines(keep(where, image), keep(where, text)) * bounded_exp(log_scale, max_scale)
    candidates = logits_of_both(where, scores)
    log_image, log_text = (scores - logsumexp(candidates, axis=axis, keepdims=True) for axis in (1, 0))
    if groups is None:
        return -reduce(where, jnp.diagonal(log_image) + jnp.diagonal(log_text), reduction) / 2
    same = keep(both(where, len(image)), _same_group(groups, image.shape[0]))
    targets = same / jnp.sum(same, axis=1, keepdims=True)
    positives = jnp.sum(targets * log_image, axis=1) + jnp.sum(targets.T * log_text, axis=0)
    return -reduce(where, positives, reduction) / 2


@any_mesh
def sigmoid_pairs(
    image: jax.Array,
    text: jax.Array,
    log_scale: float | jax.Array,
    bias: float | jax.Array,
    *,
    groups: jax.Array | None = None,
    max_scale: float | None = None,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Binary cross entropy of every pair of an image and a text of the batch: do they belong together (SigLIP)?

    L = -1/N sum_ij log sigmoid(y_ij (s u_i.v_j + b)), y_ij = 1 for pairs and -1 for all others, s = exp(log_scale).
    `image`, `text`: [N, D], L2-normalised inside; row n of both is a pair.
    `log_scale`, `bias`: scalars, learned; the paper starts at log 10 and -10.
    `groups`: int [N] or None: rows of equal groups are pairs too.
    `max_scale`: None, or a bound of s as in `clip`. `where`, `reduction`: as in `losses.rows`; an example's value is
    that of its image with all texts.
    Nothing is stop-gradient.
    Raises: as `clip`.
    Source: Zhai, Mustafa, Kolesnikov, Beyer, Sigmoid Loss for Language Image Pre-Training, 2023, arXiv:2303.15343,
    https://arxiv.org/abs/2303.15343
    """
    image, text = float_pair("image", image, "text", text)
    log_scale, bias = (finite_scalar(name, x, image.dtype) for name, x in (("log_scale", log_scale), ("bias", bias)))
    scale = jnp.exp(log_scale) if max_scale is None else bounded_exp(log_scale, max_scale)
    where = rows_that_count(where, len(image))
    same = jnp.eye(image.shape[0], dtype=bool) if groups is None else _same_group(groups, image.shape[0])
    logits = _cosines(keep(where, image), keep(where, text)) * scale + bias
    pairs = keep(both(where, len(image)), jax.nn.log_sigmoid(jnp.where(same, logits, -logits)))
    return -reduce(where, pairs, reduction, of_row=jnp.sum)


def _cosines(image, text):
    # Accelerators multiply float32 in reduced precision by default; a scale of 100 would magnify the error.
    return jnp.matmul(l2_normalize(image), l2_normalize(text).T, precision=jax.lax.Precision.HIGHEST)


def _same_group(groups, size):
    groups = jnp.asarray(groups)
    if groups.shape != (size,) or not jnp.issubdtype(groups.dtype, jnp.integer):
        raise ValueError(f"groups must be int [{size}], one number a row, got {groups.dtype} {groups.shape}")
    return groups[:, None] == groups


def bounded_exp(log_scale: jax.Array, max_scale: float) -> jax.Array:
    """min(exp(log_scale), max_scale) [] of `log_scale` [], with the gradient that `clip` describes.

    `max_scale` may be infinite. Raises: TypeError, ValueError when it is no known number, or not above 0.
    """
    unbounded = isinstance(max_scale, float) and max_scale == np.inf
    number = max_scale if unbounded else known_number("max_scale", max_scale)
    if number is None:
        raise TypeError("max_scale: must be a known number, not a traced one.")
    if not number > 0:
        raise ValueError(f"max_scale={max_scale}: must be above 0.")
    return jnp.exp(_at_most(log_scale, float(np.log(number))))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _at_most(x, bound):
    """min(x, bound) whose gradient above the bound is kept where descending it leads back."""
    return jnp.minimum(x, bound)


@_at_most.defjvp
def _at_most_jvp(bound, primals, tangents):
    (x,), (tangent,) = primals, tangents
    below = x < bound
    # The only operation with a custom transpose that has both jvp and vmap: custom_vjp lacks jvp, linear_call lacks vmap.
    tangent = jax.lax.custom_linear_solve(
        lambda t: t,
        tangent,
        solve=lambda _, t: jnp.where(below, t, 0),
        transpose_solve=lambda _, gradient: jnp.where(below | (gradient > 0), gradient, 0),
    )
    return jnp.minimum(x, bound), tangent
