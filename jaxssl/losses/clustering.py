"""Losses that compare soft assignments of views to prototypes."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_array, float_pair, positive_scalar, unit_interval
from jaxssl.ops.cluster import target_distribution
from jaxssl.ops.sinkhorn import sinkhorn


def swav(global_scores, local_scores=None, *, queue_scores=None, temperature=0.1, epsilon=0.05, num_iters=3):
    """Swapped prediction: every view predicts the balanced codes of every other global view.

    mean over global views g and the views v != g of mean_n -sum_k q_g[n, k] log softmax(scores_v[n] / T)[k],
    T the temperature, q_g = sinkhorn(scores_g, epsilon, num_iters).
    `global_scores`: [V, N, K] cosines of the full crops with the prototypes; `local_scores`: [V2, N, K] of
    small crops, which predict codes but give none. Two views at least in all.
    `queue_scores`: [V, M, K], scores of earlier examples for each full crop, which take part in the balancing of the
    codes and in nothing else: for batches that are small against K.
    The codes are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, fewer than two views, temperature
    or epsilon <= 0.
    Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", 2020,
    arXiv 2006.09882 (https://arxiv.org/abs/2006.09882).
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
    balanced = scores[:num_global]
    if queue_scores is not None:
        queue_scores = float_array("queue_scores", queue_scores, rank=3)
        if queue_scores.shape[::2] != balanced.shape[::2]:
            raise ValueError(
                f"queue_scores [V, M, K] and global_scores [V, N, K] must agree in V and K, got {queue_scores.shape} and "
                f"{balanced.shape}"
            )
        balanced = jnp.concatenate([queue_scores.astype(scores.dtype), balanced], axis=1)
    codes = jax.vmap(lambda view: sinkhorn(view, epsilon=epsilon, num_iters=num_iters))(balanced)
    codes = jax.lax.stop_gradient(codes[:, -scores.shape[1] :])
    return _cross_entropy_of_other_views(codes, jax.nn.log_softmax(scores / temperature))


def dino(student_logits, teacher_logits, center, *, student_temperature=0.1, teacher_temperature=0.04):
    """Cross entropy between the centred, sharpened teacher and the student, over pairs of different views.

    mean over pairs (t, s), t != s, of mean_n -sum_k softmax((teacher_t - center) / teacher_temperature)[n, k]
    * log softmax(student_s / student_temperature)[n, k].
    `student_logits`: [Vs, N, K]; `teacher_logits`: [Vt, N, K], view v of both is the same crop (the global
    crops first); `center`: [K]. Temperatures are numbers or (traced) scalars.
    `teacher_logits`, `center` and `teacher_temperature` are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, no pair of different views,
    temperatures <= 0.
    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", 2021, arXiv 2104.14294
    (https://arxiv.org/abs/2104.14294).
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
    targets = jax.lax.stop_gradient(jax.nn.softmax((teacher - center) / teacher_temperature))
    return _cross_entropy_of_other_views(targets, jax.nn.log_softmax(student / student_temperature))


def dino_center(center, teacher_logits, *, momentum=0.9):
    """The next centre of `dino`, a moving average of the teacher's mean logits.

    new = momentum * center + (1 - momentum) * mean of the teacher logits over views and batch.
    `center`: [K], its dtype is kept; `teacher_logits`: [Vt, N, K]. Everything is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a known momentum outside [0, 1].
    Source: Caron et al., 2021, arXiv 2104.14294 (https://arxiv.org/abs/2104.14294).
    """
    old = float_array("center", center, rank=1)
    teacher = float_array("teacher_logits", teacher_logits, rank=3)
    if old.shape[0] != teacher.shape[2]:
        raise ValueError(
            f"center [K] and teacher_logits [Vt, N, K] must agree in K, got {old.shape} and {teacher.shape}"
        )
    unit_interval("momentum", momentum)
    new = momentum * old + (1 - momentum) * jnp.mean(teacher, axis=(0, 1))
    return jax.lax.stop_gradient(new).astype(jnp.asarray(center).dtype)


def dec(q, target=None):
    """Deep embedded clustering: assignments are drawn towards a sharper version of themselves.

    mean_n sum_k p[n, k] log(p[n, k] / q[n, k]),  p = `target`, or with None target_distribution(q) of these rows.
    `q`: [N, K], rows summing to 1 (`ops.student_t_assignment`); `target`: [N, K], likewise.
    The target is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Xie, Girshick, Farhadi, "Unsupervised Deep Embedding for Clustering Analysis", 2016, arXiv 1511.06335
    (https://arxiv.org/abs/1511.06335).
    """
    q = float_array("q", q, rank=2)
    q, p = float_pair("q", q, "target", target_distribution(q) if target is None else target)
    p, tiny = jax.lax.stop_gradient(p), jnp.finfo(q.dtype).tiny
    return jnp.mean(jnp.sum(p * (jnp.log(jnp.maximum(p, tiny)) - jnp.log(jnp.maximum(q, tiny))), axis=1))


def _cross_entropy_of_other_views(targets, log_predictions):
    """Mean cross entropy of targets [Vt, N, K] and log_predictions [Vs, N, K] over pairs of views t != s."""
    num_targets, num_rows, _ = targets.shape
    num_predictions = log_predictions.shape[0]
    # Full float32, which accelerators leave by default: log predictions reach hundreds at a low temperature.
    pairs = -jnp.einsum("tnk,snk->ts", targets, log_predictions, precision=jax.lax.Precision.HIGHEST)
    different = ~jnp.eye(num_targets, num_predictions, dtype=bool)
    num_pairs = num_targets * num_predictions - min(num_targets, num_predictions)
    return jnp.sum(jnp.where(different, pairs, 0.0)) / (num_pairs * num_rows)
