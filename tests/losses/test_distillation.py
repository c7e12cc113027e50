"""Distillation and cross entropy against loops in float64, at closed forms, at extremes; the teacher is stopped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, softmax

from jaxssl import losses

N, C = 5, 4
STUDENT, TEACHER = 2 * normal(0, N, C), 2 * normal(1, N, C)
LOSSES = ["kd", "jeffreys", "js"]


def kl(a, b):
    return sum(x * (np.log(x) - np.log(y)) for x, y in zip(a, b))


def naive(name, temperature):
    """The divergence row by row, class by class."""

    def of_row(p, q):
        if name == "kd":
            return kl(q, p)
        if name == "jeffreys":
            return (kl(q, p) + kl(p, q)) / 2
        m = (p + q) / 2
        return (kl(p, m) + kl(q, m)) / 2

    def loss(student, teacher):
        rows = [of_row(softmax(s / temperature), softmax(t / temperature)) for s, t in zip(student, teacher)]
        return temperature**2 * sum(rows) / len(rows)

    return loss


def naive_cross_entropy(target, smoothing=0.0):
    def loss(logits):
        total, counted = 0.0, 0
        for row, y in zip(logits, target):
            if y >= 0:
                q = (1 - smoothing) * np.eye(len(row))[y] + smoothing / len(row)
                total, counted = total - sum(a * np.log(b) for a, b in zip(q, softmax(row))), counted + 1
        return total / max(counted, 1)

    return loss


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("name", LOSSES)
def test_divergences_match_loops_and_the_teacher_is_stopped(name, temperature):
    loss = lambda s, t: getattr(losses, name)(s, t, temperature=temperature)
    check_value_and_gradients(loss, naive(name, temperature), (STUDENT, TEACHER), {0})


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_cross_entropy_matches_loops_and_the_target_is_stopped(temperature):
    target = np.stack([softmax(t) for t in TEACHER])
    loss = lambda s, q: losses.soft_cross_entropy(s, q, temperature=temperature)
    reference = lambda s, q: -sum(b @ np.log(softmax(a / temperature)) for a, b in zip(s, q)) / len(s)
    check_value_and_gradients(loss, reference, (STUDENT, target), {0})


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_matches_loops_and_hidden_rows_do_not_count(smoothing):
    target = np.array([2, -1, 0, 3, -1])
    loss = lambda s: losses.cross_entropy(s, target, label_smoothing=smoothing)
    check_value_and_gradients(loss, naive_cross_entropy(target, smoothing), (STUDENT,), {0})
    dirty = np.where(target[:, None] < 0, np.nan, STUDENT).astype(np.float32)
    value, gradient = jax.value_and_grad(loss)(dirty)
    assert np.isfinite(value) and np.isfinite(gradient).all() and not gradient[target < 0].any()
    rows = losses.cross_entropy(dirty, target, label_smoothing=smoothing, reduction="none")
    assert not rows[target < 0].any()
    np.testing.assert_allclose(rows[target >= 0].mean(), value, rtol=1e-6)


def test_cross_entropy_without_a_known_class_is_0_and_an_impossible_class_is_seen():
    logits = np.float32(STUDENT)
    value, gradient = jax.value_and_grad(losses.cross_entropy)(logits, np.full(N, -1))
    assert value == 0 and not gradient.any()
    assert np.isnan(losses.cross_entropy(logits, np.full(N, C)))


def test_cross_entropy_refuses_targets_of_another_kind():
    with pytest.raises(TypeError, match="target must be integers"):
        losses.cross_entropy(STUDENT, np.ones(N))
    with pytest.raises(ValueError, match=r"target must be \[N\]"):
        losses.cross_entropy(STUDENT, np.ones(N + 1, int))
    with pytest.raises(ValueError, match="label_smoothing"):
        losses.cross_entropy(STUDENT, np.ones(N, int), label_smoothing=1.5)


@pytest.mark.parametrize("name", LOSSES)
def test_zero_if_and_only_if_equal_up_to_a_shift(name):
    loss = getattr(losses, name)
    student = np.float32(STUDENT)
    for teacher in (student, student + np.float32([[1], [-2], [0], [5], [3]])):
        value, gradient = jax.value_and_grad(loss)(student, teacher)
        assert abs(value) < 1e-5 and np.abs(gradient).max() < 1e-5
    assert loss(student, np.float32(TEACHER)) > 0.1


def test_closed_forms():
    even, sure = np.zeros((1, 2), np.float32), np.float32([[np.log(3), 0]])  # (1/2, 1/2) and (3/4, 1/4)
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert losses.kd(even, sure, temperature=1.0) == pytest.approx(expected, rel=1e-5)
    assert losses.jeffreys(even, sure) == pytest.approx(np.log(3) / 8, rel=1e-5)
    far = np.float32([[500, -500]])
    assert losses.js(far, -far) == pytest.approx(np.log(2), rel=1e-5)
    assert losses.soft_cross_entropy(even, np.float32([[0.3, 0.7]])) == pytest.approx(np.log(2), rel=1e-6)


def test_jeffreys_and_js_are_symmetric_in_value():
    for name in ("jeffreys", "js"):
        loss = getattr(losses, name)
        assert loss(STUDENT, TEACHER) == pytest.approx(float(loss(TEACHER, STUDENT)), rel=1e-5)


def test_a_hard_target_is_cross_entropy_and_kd_is_soft_cross_entropy_less_the_entropy():
    target = np.array([2, 1, 0, 3, 1])
    hard = losses.soft_cross_entropy(STUDENT, np.eye(C)[target])
    assert hard == pytest.approx(float(losses.cross_entropy(STUDENT, target)), rel=1e-6)
    q = np.stack([softmax(t) for t in TEACHER])
    entropy = -(q * np.log(q)).sum() / N
    soft = losses.soft_cross_entropy(STUDENT, q)
    assert losses.kd(STUDENT, TEACHER, temperature=1.0) == pytest.approx(float(soft) - entropy, rel=1e-4)


def test_the_gradient_keeps_its_size_at_a_high_temperature():
    """With T large, T^2 KL tends to the squared distance of centred logits over 2 C."""
    gradient = jax.grad(losses.kd)(STUDENT, TEACHER, temperature=300.0)
    centred = lambda z: z - z.mean(1, keepdims=True)
    np.testing.assert_allclose(gradient, (centred(STUDENT) - centred(TEACHER)) / C / N, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_are_finite(name):
    loss = getattr(losses, name)
    for scale, temperature in ((1e4, 1.0), (1.0, 0.01), (1e-8, 1.0)):
        student, teacher = np.float32(scale * STUDENT), np.float32(scale * TEACHER)
        value, gradient = jax.value_and_grad(lambda s: loss(s, teacher, temperature=temperature))(student)
        assert np.isfinite(value) and np.isfinite(gradient).all()
    assert loss(jnp.ones((1, 1)), jnp.zeros((1, 1))) == 0
