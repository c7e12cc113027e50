"""Losses that compare soft assignments of views to prototypes."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import check_reduction, keep, mean, reduce, rows_that_count
from jaxssl.ops.checks import float_array, float_pair, positive_scalar, unit_interval
from jaxssl.ops.cluster import target_distribution
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.sinkhorn import sinkhorn


@any_mesh
def swav(
    global_scores: jax.Array,
    local_scores: jax.Array | None = None,
    *,
    queue_scores: jax.Array | None = None,
    temperature: float | jax.Array = 0.1,
    epsilon: float | jax.Array = 0.05,
    num_iters: int = 3,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Swapped prediction: every view predicts the balanced codes of every other global view.

    mean over global views g and the views v != g of mean_n -sum_k q_g[n, k] log softmax(scores_v[n] / T)[k],
    T the temperature, q_g = sinkhorn(scores_g, epsilon, num_iters).
    `global_scores`: [V, N, K] cosines of the full crops with the prototypes; `local_scores`: [V2, N, K] of
    small crops, which predict codes but give none. Two views at least in all. `where`, `reduction`: as in
    `losses.rows`; row n of all views.
    `queue_scores`: [V, M, K], scores of earlier examples for each full crop, used for the balancing of the codes only;
    for batches that are small against K.
    The codes are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, fewer than two views, temperature
    or epsilon <= 0.
    Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, 2020,
    arXiv:2006.09882, https://arxiv.org/abs/2006.09882
    """
    scores = float_array("global_scores", global_scores, rank=3)
    num_global = scores.shape[0]
    if local_scores is not None:
        local_scores = float_array("local_scores", local_scores, rank=3)
        if local_scores.shape[1:] != scores.shape[1:]:
            raise ValueError(
                f"global_scores and local_scores must agree in [N, K], got {scores.shape} and {local_scores.shape}"
            )
        scores = jnp.concatenate([scores, local_scores])
    if scores.shape[0] < 2:
        raise ValueError("swav needs at least two views: one predicts the codes of the other")
    temperature = positive_scalar("temperature", temperature, scores.dtype)
    where = rows_that_count(where, scores.shape[1])
    scores = keep(where, scores, axis=1)
    balanced, counted = scores[:num_global], where
    if queue_scores is not None:
        queue_scores = float_array("queue_scores", queue_scores, rank=3)
        if queue_scores.shape[::2] != balanced.shape[::2]:
            raise ValueError(
                f"queue_scores [V, M, K] and global_scores [V, N, K] must agree in V and K, got {queue_scores.shape} and "
                f"{balanced.shape}"
            )
        balanced = jnp.concatenate([queue_scores.astype(scores.dtype), balanced], axis=1)
        if where is not None:
            counted = jnp.concatenate([jnp.ones(queue_scores.shape[1], bool), where])
    balance = lambda view: sinkhorn(view, epsilon=epsilon, num_iters=num_iters, where=counted)
    codes = jax.lax.stop_gradient(jax.vmap(balance)(balanced)[:, -scores.shape[1] :])
    predictions = jax.nn.log_softmax(_over_temperature(scores, temperature))
    return _cross_entropy_of_other_views(codes, predictions, where, reduction)


@any_mesh
def dino(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    center: jax.Array,
    *,
    student_temperature: float | jax.Array = 0.1,
    teacher_temperature: float | jax.Array = 0.04,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Cross entropy between the centred, sharpened teacher and the student, over pairs of different views.

    mean over pairs (t, s), t != s, of mean_n -sum_k softmax((teacher_t - center) / teacher_temperature)[n, k]
    * log softmax(student_s / student_temperature)[n, k].
    `student_logits`: [Vs, N, K]; `teacher_logits`: [Vt, N, K], view v of both is the same crop (the global
    crops first); `center`: [K]. Temperatures are numbers or (traced) scalars. `where`, `reduction`: as in
    `losses.rows`; row n of all views.
    `teacher_logits`, `center` and `teacher_temperature` are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, no pair of different views,
    temperatures <= 0.
    Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, arXiv:2104.14294,
    https://arxiv.org/abs/2104.14294
    """
    student = float_array("student_logits", student_logits, rank=3)
    teacher = float_array("teacher_logits", teacher_logits, rank=3)
    center = float_array("center", center, rank=1)
    if student.shape[1:] != teacher.shape[1:] or center.shape[0] != teacher.shape[2]:
        raise ValueError(
            "student_logits [Vs, N, K], teacher_logits [Vt, N, K] and center [K] must agree in N and K, "
            f"got {student.shape}, {teacher.shape} and {center.shape}"
        )
    if student.shape[0] == teacher.shape[0] == 1:
        raise ValueError("dino needs two different views, got one view of student and teacher")
    student_temperature = positive_scalar("student_temperature", student_temperature, student.dtype)
    teacher_temperature = positive_scalar("teacher_temperature", teacher_temperature, teacher.dtype)
    where = rows_that_count(where, student.shape[1])
    student, teacher = keep(where, student, axis=1), keep(where, teacher, axis=1)
    targets = jax.lax.stop_gradient(jax.nn.softmax(_over_temperature(teacher - center, teacher_temperature)))
    predictions = jax.nn.log_softmax(_over_temperature(student, student_temperature))
    return _cross_entropy_of_other_views(targets, predictions, where, reduction)


@any_mesh
def dino_center(
    center: jax.Array,
    teacher_logits: jax.Array,
    *,
    momentum: float | jax.Array = 0.9,
    where: jax.Array | None = None,
) -> jax.Array:
    """The next centre of `dino`, a moving average of the teacher's mean logits.

    new = momentum * center + (1 - momentum) * mean of the teacher logits over views and batch.
    `center`: [K]; `teacher_logits`: [Vt, N, K]. `where`: as in `losses.rows`; where no row counts the centre stays.
    Returns float32 at least: with a momentum near 1 an average in half precision never moves. Everything is
    stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a known momentum outside [0, 1].
    Source: that of `dino`.
    """
    old = float_array("center", center, rank=1)
    teacher = float_array("teacher_logits", teacher_logits, rank=3)
    if old.shape[0] != teacher.shape[2]:
        raise ValueError(
            f"center [K] and teacher_logits [Vt, N, K] must agree in K, got {old.shape} and {teacher.shape}"
        )
    unit_interval("momentum", momentum)
    where = rows_that_count(where, teacher.shape[1])
    if where is None:
        average = jnp.mean(teacher, axis=(0, 1))
    else:
        average = jnp.mean(mean(where, keep(where, teacher, axis=1).swapaxes(0, 1)), axis=0)
        average = jnp.where(jnp.any(where), average, old)
    return jax.lax.stop_gradient(momentum * old + (1 - momentum) * average).astype(old.dtype)


@any_mesh
def dec(
    q: jax.Array, target: jax.Array | None = None, *, where: jax.Array | None = None, reduction: str = "mean"
) -> jax.Array:
    """Deep embedded clustering: KL divergence of soft assignments from their sharpened version.

    mean_n sum_k p[n, k] log(p[n, k] / q[n, k]),  p = `target`, or with None target_distribution(q) of these rows.
    `q`: [N, K], rows summing to 1 (`ops.student_t_assignment`); `target`: [N, K], likewise.
    `where`, `reduction`: as in `losses.rows`.
    The target is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Xie, Girshick, Farhadi, Unsupervised Deep Embedding for Clustering Analysis, 2016, arXiv:1511.06335,
    https://arxiv.org/abs/1511.06335
    """
    q = float_array("q", q, rank=2)
    where = rows_that_count(where, len(q))
    q = keep(where, q)
    q, p = float_pair("q", q, "target", target_distribution(q) if target is None else target)
    p, tiny = jax.lax.stop_gradient(keep(where, p)), jnp.finfo(q.dtype).tiny
    divergence = jnp.sum(p * (jnp.log(jnp.maximum(p, tiny)) - jnp.log(jnp.maximum(q, tiny))), axis=1)
    return reduce(where, divergence, reduction)


def _over_temperature(logits, temperature):
    """logits / temperature for a softmax over the last axis, with the largest logit subtracted before the division.

    A softmax subtracts the largest quotient. A compiler that fuses division and subtraction rounds one quotient and not the
    other, so that exponents of large logits may lie far above 0.
    """
    return (logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))) / temperature


def _cross_entropy_of_other_views(targets, log_predictions, where, reduction):
    """Mean cross entropy of targets [Vt, N, K] and log_predictions [Vs, N, K] over pairs of views t != s."""
    check_reduction(reduction)
    num_targets, num_rows, _ = targets.shape
    num_predictions = log_predictions.shape[0]
    # Full float32, which accelerators leave by default: log predictions reach hundreds at a low temperature.
    by_row = reduction == "none" or where is not None
    subscripts = "tnk,snk->tsn" if by_row else "tnk,snk->ts"
    pairs = -jnp.einsum(subscripts, targets, log_predictions, precision=jax.lax.Precision.HIGHEST)
    different = ~jnp.eye(num_targets, num_predictions, dtype=bool)
    num_pairs = num_targets * num_predictions - min(num_targets, num_predictions)
    if by_row:
        return reduce(where, jnp.sum(keep(different, pairs), axis=(0, 1)) / num_pairs, reduction)
    return jnp.sum(jnp.where(different, pairs, 0.0)) / (num_pairs * num_rows)
