"""Losses of two encoders whose outputs come in pairs, such as images and their captions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxssl.ops.checks import float_pair
from jaxssl.ops.norm import l2_normalize


def clip(image, text, log_scale, *, groups=None, max_scale=100.0):
    """Symmetric cross entropy of finding the text of an image and the image of a text in the batch (CLIP).

    S = s U V^T, L = (mean_i CE(S_i, i) + mean_j CE(S^T_j, j)) / 2, s = min(exp(log_scale), max_scale), U and V the
    L2-normalised rows.
    `image`, `text`: [N, D]; row n of both is a pair. For N = 1 the loss is 0.
    `log_scale`: a scalar, learned; the paper starts at log(1 / 0.07).
    `groups`: int [N] or None. Where one caption stands under several images, all of these are right: rows of equal
    groups are positives of each other, with the targets 1 / (size of the group) each. The least loss is then
    the mean of log(size of the group), not 0. None: every row is its own group.
    `max_scale`: above it s is held. The gradient of `log_scale` is then not the zero of a clip, which would hold it
    there for ever: it passes where a step against it lowers `log_scale`, and is zero where it would raise it further.
    With plain descent this is clipping after the update.
    Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, groups that are not int [N],
    max_scale <= 0.
    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021,
    arXiv:2103.00020 (https://arxiv.org/abs/2103.00020); the targets of groups as in Yang et al., "Unified Contrastive
    Learning in Image-Text-Label Space", 2022, arXiv:2204.03610 (https://arxiv.org/abs/2204.03610).
    """
    image, text = float_pair("image", image, "text", text)
    log_scale = scalar("log_scale", log_scale, image.dtype)
    scores = _cosines(image, text) * bounded_exp(log_scale, max_scale)
    log_image, log_text = (scores - logsumexp(scores, axis=axis, keepdims=True) for axis in (1, 0))
    if groups is None:
        return -jnp.mean(jnp.diagonal(log_image) + jnp.diagonal(log_text)) / 2
    same = _same_group(groups, image.shape[0])
    targets = same / jnp.sum(same, axis=1, keepdims=True)
    return -jnp.mean(jnp.sum(targets * log_image, axis=1) + jnp.sum(targets.T * log_text, axis=0)) / 2


def sigmoid_pairs(image, text, log_scale, bias, *, groups=None, max_scale=None):
    """Every image and every text of the batch judged apart: a pair or not (SigLIP).

    L = -1/N sum_ij log sigmoid(y_ij (s u_i.v_j + b)), y_ij = 1 for pairs and -1 for all others, s = exp(log_scale).
    `image`, `text`: [N, D], L2-normalised inside; row n of both is a pair.
    `log_scale`, `bias`: scalars, learned; the paper starts at log 10 and -10.
    `groups`: int [N] or None: rows of equal groups are pairs too.
    `max_scale`: None, or a bound of s as in `clip`.
    Nothing is stop-gradient.
    Raises: as `clip`.
    Source: Zhai, Mustafa, Kolesnikov, Beyer, "Sigmoid Loss for Language Image Pre-Training", 2023, arXiv:2303.15343
    (https://arxiv.org/abs/2303.15343).
    """
    image, text = float_pair("image", image, "text", text)
    log_scale, bias = (scalar(name, x, image.dtype) for name, x in (("log_scale", log_scale), ("bias", bias)))
    scale = jnp.exp(log_scale) if max_scale is None else bounded_exp(log_scale, max_scale)
    same = jnp.eye(image.shape[0], dtype=bool) if groups is None else _same_group(groups, image.shape[0])
    logits = _cosines(image, text) * scale + bias
    return -jnp.sum(jax.nn.log_sigmoid(jnp.where(same, logits, -logits))) / image.shape[0]


def scalar(name, value, dtype):
    """`value`, a number or an array [], as an array [] of `dtype`. Raises ValueError for an array with axes."""
    if jnp.ndim(value) != 0:
        raise ValueError(f"{name} must be a scalar, got shape {jnp.shape(value)}")
    return jnp.asarray(value, dtype)


def _cosines(image, text):
    # Reduced precision, the default of accelerators, would show after a multiplication by 100.
    return jnp.matmul(l2_normalize(image), l2_normalize(text).T, precision=jax.lax.Precision.HIGHEST)


def _same_group(groups, size):
    groups = jnp.asarray(groups)
    if groups.shape != (size,) or not jnp.issubdtype(groups.dtype, jnp.integer):
        raise ValueError(f"groups must be int [{size}], one number a row, got {groups.dtype} {groups.shape}")
    return groups[:, None] == groups


def bounded_exp(log_scale, max_scale):
    """min(exp(log_scale), max_scale) [] of `log_scale` [], with the gradient that `clip` describes.

    Raises: ValueError for max_scale <= 0.
    """
    if not max_scale > 0:
        raise ValueError(f"max_scale must be above 0, got {max_scale}")
    return jnp.exp(_at_most(log_scale, float(np.log(max_scale))))


def _minimum(x, bound):
    """min(x, bound) whose gradient above the bound is kept where descending it leads back."""
    return jnp.minimum(x, bound)


def _minimum_forward(x, bound):
    return _minimum(x, bound), x


def _minimum_backward(bound, x, gradient):
    return (jnp.where((x < bound) | (gradient > 0), gradient, 0),)


_at_most = jax.custom_vjp(_minimum, nondiff_argnums=(1,))
_at_most.defvjp(_minimum_forward, _minimum_backward)
