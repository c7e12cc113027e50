"""Losses that compare the class probabilities of a student with those of a frozen teacher."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, reduce, rows_that_count
from jaxssl.ops.checks import float_pair, positive_scalar
from jaxssl.ops.meshes import any_mesh


@any_mesh
def soft_cross_entropy(
    logits: jax.Array,
    target: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Cross entropy with a target distribution over the classes.

    mean_n -sum_c q[n, c] log softmax(logits[n] / T)[c],  q = `target`, T = `temperature`.
    `logits`: [N, C]; `target`: [N, C], rows that sum to 1 (soft labels, pseudo-labels, a mixture of two labels).
    `where`, `reduction`: as in `losses.rows`. The target is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a temperature <= 0.
    Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, Rethinking the Inception Architecture for Computer Vision, 2015,
    arXiv:1512.00567, https://arxiv.org/abs/1512.00567
    """
    logits, target = float_pair("logits", logits, "target", target)
    where = rows_that_count(where, len(logits))
    log_p = _log_probabilities(keep(where, logits), positive_scalar("temperature", temperature, logits.dtype))
    return reduce(where, -jax.lax.stop_gradient(keep(where, target)) * log_p, reduction, jnp.sum)


@any_mesh
def kd(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 4.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Knowledge distillation: the divergence of the student's softened probabilities from the teacher's.

    mean_n T^2 KL(q[n] || p[n]),  q = softmax(teacher_logits / T), p = softmax(student_logits / T), T = `temperature`.
    The factor T^2 keeps the size of the gradient when T changes.
    `student_logits`, `teacher_logits`: [N, C]. `where`, `reduction`: as in `losses.rows`. The teacher is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a temperature <= 0.
    Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531,
    https://arxiv.org/abs/1503.02531
    """
    terms = lambda log_p, log_q: jnp.exp(log_q) * (log_q - log_p)
    return _divergence(terms, student_logits, teacher_logits, temperature, where, reduction)


@any_mesh
def jeffreys(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """The symmetric divergence of SSLD, zero if and only if the logits are equal up to a shift.

    mean_n T^2 (KL(q[n] || p[n]) + KL(p[n] || q[n])) / 2 = mean_n T^2 / 2 sum_c (p - q)(log p - log q),
    q = softmax(teacher_logits / T), p = softmax(student_logits / T), T = `temperature` (1 in the publication).
    `student_logits`, `teacher_logits`: [N, C]. `where`, `reduction`: as in `losses.rows`. The teacher is stop-gradient
    in both terms.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a temperature <= 0.
    Source: Cui et al., Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve
    Backbones, 2021, arXiv:2103.05959, https://arxiv.org/abs/2103.05959
    """
    terms = lambda log_p, log_q: (jnp.exp(log_p) - jnp.exp(log_q)) * (log_p - log_q) / 2
    return _divergence(terms, student_logits, teacher_logits, temperature, where, reduction)


@any_mesh
def js(
    student_logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float | jax.Array = 1.0,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """The Jensen-Shannon divergence of student and teacher, at most T^2 log 2 an example.

    mean_n T^2 (KL(p[n] || m[n]) + KL(q[n] || m[n])) / 2,  m = (p + q) / 2,
    q = softmax(teacher_logits / T), p = softmax(student_logits / T), T = `temperature`.
    `student_logits`, `teacher_logits`: [N, C]. `where`, `reduction`: as in `losses.rows`. The teacher is stop-gradient,
    in m as well.
    Raises: TypeError, ValueError for integers, wrong or different shapes, a temperature <= 0.
    Source: Lin, Divergence Measures Based on the Shannon Entropy, 1991, doi:10.1109/18.61115,
    https://doi.org/10.1109/18.61115
    """

    def terms(log_p, log_q):
        log_m = jnp.logaddexp(log_p, log_q) - jnp.log(2.0).astype(log_p.dtype)
        return (jnp.exp(log_p) * (log_p - log_m) + jnp.exp(log_q) * (log_q - log_m)) / 2

    return _divergence(terms, student_logits, teacher_logits, temperature, where, reduction)


def _divergence(terms, student, teacher, temperature, where, reduction):
    """T^2 times the sum over the classes of `terms` (log p of the student, log q of the teacher)."""
    student, teacher = float_pair("student_logits", student, "teacher_logits", teacher)
    temperature = positive_scalar("temperature", temperature, student.dtype)
    where = rows_that_count(where, len(student))
    log_p = _log_probabilities(keep(where, student), temperature)
    log_q = jax.lax.stop_gradient(_log_probabilities(keep(where, teacher), temperature))
    return reduce(where, jnp.square(temperature) * terms(log_p, log_q), reduction, jnp.sum)


def _log_probabilities(logits, temperature):
    # The largest logit is subtracted before the division: see `losses.clustering._over_temperature`.
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    return jax.nn.log_softmax((logits - largest) / temperature)
