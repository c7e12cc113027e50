"""Accuracy with a few labels per class on frozen features."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jaxssl.evaluators import probes
from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, scope_of


@columns(Column("few_labels/{n}_mean", "{n} label{s} a class"))
def few_labels(
    data: EvaluationData,
    *,
    per_class: tuple[int, ...] = (1, 10),
    draws: int = 5,
    seed: int = 0,
    penalty: float = 1e-3,
    of: str = "features",
    label: str = "label",
) -> Callable:
    """Test accuracy in [0, 1] of logistic regression on n training labels per class.

    `few_labels/<n>_mean` and `few_labels/<n>_std` (sample standard deviation, 0 for one draw) over the draws.
    The draws depend on `seed` and the labels only, so that all encoders get the same examples; smaller n are
    part of larger ones.

    Each feature vector is divided by its norm, the mean over all training rows is subtracted, and everything
    is multiplied by one number that makes the mean squared norm 1. So neither the scale nor the number of
    features changes what the fixed `penalty` means, and weak directions are not amplified as standardising
    does (64 principal components of Fashion-MNIST, 10 labels per class: 0.70 against 0.61). No penalty is
    searched, for one label per class leaves nothing to search with; of 1e-1 ... 1e-5 the default was the best
    or within 0.02 of it on pixels, principal components and random features.

    Args:
      per_class: values of n.
      draws: number of draws of training examples.
      seed: of the draws.
      penalty: of `probes.logistic_regression`.
      of: the output of `predict` [N, D].
      label: the array int [N] of the batches that is predicted. With another `of` or `label` than the default, the
        results are called '<of>/<label>/few_labels/...'.

    Raises:
      LabelsNeeded: at build time, without labels or a test set; when run, if a class has fewer than n labels.
      ValueError: bad options.
    """
    data.need_labels("few_labels", label)
    per_class = tuple(sorted(set(per_class)))
    if not per_class or not all(isinstance(n, int) and n > 0 for n in per_class):
        raise ValueError(f"per_class={per_class}: must be one or more positive integers.")
    if not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws={draws!r}: must be an integer of at least 1.")
    if not penalty > 0:
        raise ValueError(f"penalty={penalty!r}: must be positive.")

    def run(predict, state) -> dict[str, float]:
        f = data.labelled_features(predict, state, "few_labels", of, label)
        check_counts(
            "few_labels", f.train_y, f.num_classes, per_class[-1], data.class_names if label == "label" else None
        )
        train_x, test_x = _scaled(f.train_x, f.test_x)
        metrics = {}
        for n in reversed(per_class):  # as the table shows them
            rows = draw_rows(f.train_y, n, num_classes=f.num_classes, draws=draws, seed=seed)
            coef, intercept = _fit_draws(train_x[rows], f.train_y[rows], penalty, f.num_classes)
            coef, intercept = np.asarray(coef), np.asarray(intercept)
            predicted = [np.argmax(test_x @ w + b, axis=1) for w, b in zip(coef, intercept, strict=True)]
            scores = [np.mean(p == f.test_y) for p in predicted]
            metrics[f"few_labels/{n}_mean"] = float(np.mean(scores))
            metrics[f"few_labels/{n}_std"] = float(np.std(scores, ddof=min(1, draws - 1)))
        return scoped(metrics, scope_of(of, label))

    return run


@functools.partial(jax.jit, static_argnames="num_classes")
def _fit_draws(x, labels, penalty, num_classes):
    """Classifiers (coef [draws, D, C], intercept [draws, C]) for x [draws, n, D] and labels [draws, n]."""

    def fit(draw):
        return probes.logistic_regression(*draw, num_classes=num_classes, penalty=penalty)

    # One after the other: under vmap every draw would wait for the line searches of all the others.
    return jax.lax.map(fit, (x, labels))


def draw_rows(labels: np.ndarray, per_class: int, *, num_classes: int, draws: int, seed: int) -> np.ndarray:
    """Row numbers [draws, num_classes * per_class]: per draw, random rows of each class, class by class."""
    rows = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        shuffled = [rng.permutation(np.flatnonzero(labels == label)) for label in range(num_classes)]
        rows.append(np.concatenate([of_class[:per_class] for of_class in shuffled]))
    return np.stack(rows)


def check_counts(
    evaluator: str, labels: np.ndarray, num_classes: int, needed: int, class_names: Sequence[str] | None
) -> None:
    """Raises LabelsNeeded, naming `evaluator`, if a class has fewer than `needed` of the labels."""
    counts = np.bincount(labels, minlength=num_classes)
    short = int(np.argmin(counts))
    if counts[short] < needed:
        name = f" ({class_names[short]})" if class_names else ""
        raise LabelsNeeded(
            f"{evaluator}: per_class asks for {needed} labels, but class {short}{name} has {counts[short]}"
        )


def _scaled(train_x, test_x):
    train_x, test_x = _unit(train_x), _unit(test_x)
    mean = train_x.mean(axis=0, dtype=np.float64).astype(np.float32)
    train_x, test_x = train_x - mean, test_x - mean
    square = np.mean(np.sum(train_x**2, axis=1, dtype=np.float64))
    # Below this all features are equal and only rounding is left, which must not be amplified.
    scale = np.float32(1 / np.sqrt(square)) if square > 1e-12 else np.float32(0)
    return train_x * scale, test_x * scale


def _unit(x):
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norm > 0, norm, 1)
