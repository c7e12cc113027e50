"""Slow, obvious float64 versions of the losses (loops over pairs) and what the loss tests share."""

import json
from pathlib import Path

import jax
import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"


def x64():
    """A context in which JAX computes in float64."""
    return jax.enable_x64(True)


def golden(name):
    """One recording: (meta, inputs by argument, value, gradients by argument)."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    inputs = {k.removeprefix("in."): v for k, v in arrays.items() if k.startswith("in.")}
    gradients = {k.removeprefix("grad."): v for k, v in arrays.items() if k.startswith("grad.")}
    return meta, inputs, arrays["out"], gradients


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def numeric_gradient(function, x, step=1e-6):
    """Central differences of a scalar function of one float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        high, low = x.copy(), x.copy()
        high[index] += step
        low[index] -= step
        gradient[index] = (function(high) - function(low)) / (2 * step)
    return gradient


def check_value_and_gradients(loss, naive, inputs, differentiable):
    """Compares `loss` in float64 with `naive`, and its gradients with central differences of `naive`.

    Arguments not in `differentiable` must have a gradient of exactly zero.
    """
    with x64():
        value, gradients = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(inputs)))))(*inputs)
        np.testing.assert_allclose(value, naive(*inputs), rtol=1e-9)
        assert value.dtype == np.float64 and value.shape == ()
    for i, gradient in enumerate(gradients):
        if i not in differentiable:
            np.testing.assert_array_equal(gradient, 0.0)
            continue
        expected = numeric_gradient(lambda x, i=i: naive(*inputs[:i], x, *inputs[i + 1 :]), inputs[i])
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def nt_xent(z1, z2, temperature):
    z, num = [*z1, *z2], len(z1)
    total = 0.0
    for i in range(2 * num):
        scores = [np.exp(cosine(z[i], z[k]) / temperature) for k in range(2 * num) if k != i]
        total -= np.log(np.exp(cosine(z[i], z[(i + num) % (2 * num)]) / temperature) / sum(scores))
    return total / (2 * num)


def info_nce(query, key, negatives, temperature):
    total = 0.0
    for n in range(len(query)):
        others = negatives if negatives is not None else [key[m] for m in range(len(key)) if m != n]
        positive = np.exp(cosine(query[n], key[n]) / temperature)
        scores = [np.exp(cosine(query[n], other) / temperature) for other in others]
        total -= np.log(positive / (positive + sum(scores)))
    return total / len(query)


def negative_cosine_similarity(p, z):
    return -sum(cosine(a, b) for a, b in zip(p, z)) / len(p)


def byol(p, z):
    return sum(2 - 2 * cosine(a, b) for a, b in zip(p, z)) / len(p)


def barlow_twins(z1, z2, redundancy_weight):
    num, dim = z1.shape
    total = 0.0
    for i in range(dim):
        for j in range(dim):
            a = (z1[:, i] - z1[:, i].mean()) / np.sqrt(z1[:, i].var() + 1e-5)
            b = (z2[:, j] - z2[:, j].mean()) / np.sqrt(z2[:, j].var() + 1e-5)
            c = sum(a * b) / num
            total += (1 - c) ** 2 if i == j else redundancy_weight * c**2
    return total


def vicreg_variance(z):
    return np.mean([max(0.0, 1 - np.sqrt(column.var(ddof=1) + 1e-4)) for column in z.T])


def vicreg_covariance(z):
    num, dim = z.shape
    total = 0.0
    for i in range(dim):
        for j in range(dim):
            if i != j:
                total += (sum((z[:, i] - z[:, i].mean()) * (z[:, j] - z[:, j].mean())) / (num - 1)) ** 2
    return total / dim


def vicreg(z1, z2, invariance_weight, variance_weight, covariance_weight):
    variance = (vicreg_variance(z1) + vicreg_variance(z2)) / 2
    covariance = vicreg_covariance(z1) + vicreg_covariance(z2)
    invariance = np.mean((z1 - z2) ** 2)
    return invariance_weight * invariance + variance_weight * variance + covariance_weight * covariance


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def sinkhorn(scores, epsilon, num_iters):
    num_rows, num_prototypes = scores.shape
    q = np.exp(scores / epsilon)
    q = q / q.sum()
    for _ in range(num_iters):
        for k in range(num_prototypes):
            q[:, k] = q[:, k] / q[:, k].sum() / num_prototypes
        for n in range(num_rows):
            q[n] = q[n] / q[n].sum() / num_rows
    return q * num_rows


def swav(codes, scores, temperature):
    total, pairs = 0.0, 0
    for g in range(len(codes)):
        for v in range(len(scores)):
            if v == g:
                continue
            pairs += 1
            for n in range(scores.shape[1]):
                total -= codes[g, n] @ np.log(softmax(scores[v, n] / temperature)) / scores.shape[1]
    return total / pairs


def dino(student, teacher, center, student_temperature, teacher_temperature):
    total, pairs = 0.0, 0
    for t in range(len(teacher)):
        for s in range(len(student)):
            if s == t:
                continue
            pairs += 1
            for n in range(student.shape[1]):
                target = softmax((teacher[t, n] - center) / teacher_temperature)
                total -= target @ np.log(softmax(student[s, n] / student_temperature)) / student.shape[1]
    return total / pairs


def patches(images, size):
    num, height, width, _ = images.shape
    return np.stack(
        [
            [
                images[n, r : r + size, c : c + size].reshape(-1)
                for r in range(0, height, size)
                for c in range(0, width, size)
            ]
            for n in range(num)
        ]
    )


def masked_patch_mse(pred, images, masked, patch_size, normalize_targets):
    return masked_token_mse(pred, patches(images, patch_size), masked, normalize_targets)


def masked_token_mse(pred, targets, masked, normalize_targets):
    total = 0.0
    for n, patch in np.ndindex(masked.shape):
        target = targets[n, patch]
        if normalize_targets:
            target = (target - target.mean()) / np.sqrt(target.var(ddof=1) + 1e-6)
        total += masked[n, patch] * np.mean((pred[n, patch] - target) ** 2)
    return total / masked.sum()


def clan(z, z_aug, margin, alpha, squared, eps=1e-6):
    power = 2 if squared else 1
    similar = [((1 - cosine(a, b)) / 2) ** power for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
    hinge = [max(0.0, margin - (1 - cosine(a, b)) / 2) ** power for a in z for b in z_aug]
    means = []
    for values in (similar, hinge):
        active = [v for v in values if v > eps]
        means.append(sum(active) / len(active) if active else 0.0)
    return alpha * means[0] + (1 - alpha) * means[1]


def jepa(pred, target, kind):
    errors = (pred - target).reshape(-1)
    return sum(e * e if kind == "l2" else abs(e) for e in errors) / len(errors)
