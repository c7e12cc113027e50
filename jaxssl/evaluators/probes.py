"""Linear classifiers on fixed features, solved to convergence: ridge and multinomial logistic regression."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


class Rotated(NamedTuple):
    """Centred rows in their principal axes: x = z.T @ axes.T + mean; variances = mean of z ** 2.

    z is transposed because both products of a gradient then run along its rows.
    """

    z: jax.Array  # [R, N], R = min(N, D)
    axes: jax.Array  # [D, R], orthonormal columns
    variances: jax.Array  # [R]
    mean: jax.Array  # [D]


def standardise(train_x: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """(x - mean) / std per feature, with the mean and std of train_x [N, D]; constant features become 0.

    Returns float32 arrays, train_x first. Statistics in float64.
    """
    mean = train_x.mean(axis=0, dtype=np.float64)
    std = train_x.std(axis=0, dtype=np.float64)
    # What varies only by the rounding of float32 is constant.
    constant = std <= 1e-6 * np.abs(mean)
    inverse = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, std)).astype(np.float32)
    return tuple((x - mean.astype(np.float32)) * inverse for x in (train_x, *others))


@jax.jit
def rotate(x: jax.Array) -> Rotated:
    """Principal axes of the rows x [N, D]: [D, min(N, D)]."""
    with jax.default_matmul_precision("highest"):
        mean = jnp.mean(x, axis=0)
        x = x - mean
        axes = _axes(x)
        z = axes.T @ x.T
    return Rotated(z, axes, jnp.mean(z**2, axis=1), mean)


def _axes(x):
    rows, columns = x.shape
    if columns <= rows:
        return jnp.linalg.eigh(x.T @ x / rows)[1]
    # Within the span of the rows; an SVD of x would be the same, and some 50 times slower on a CPU.
    span, triangle = jnp.linalg.qr(x.T)
    return span @ jnp.linalg.eigh(triangle @ triangle.T / rows)[1]


@functools.partial(jax.jit, static_argnames="num_classes")
def ridge(
    x: jax.Array, labels: jax.Array, *, num_classes: int, penalties: jax.Array, weight: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Least squares on one-hot targets for every penalty at once.

    argmin_{W, b} sum_i w_i ||y_i - x_i W - b||^2 / sum_i w_i + penalty ||W||^2, in closed form; b is not
    penalised. scikit-learn's Ridge has alpha = penalty * N.

    Args:
      x: [N, D].
      labels: int [N].
      penalties: [P], positive.
      weight: [N] or None (all 1).
      num_classes: C.

    Returns:
      coef [P, D, C], intercept [P, C].
    """
    with jax.default_matmul_precision("highest"):
        weight = jnp.ones(len(x), x.dtype) if weight is None else weight.astype(x.dtype)
        weight = weight[:, None] / jnp.sum(weight)
        y = jax.nn.one_hot(labels, num_classes, dtype=x.dtype)
        mean_x, mean_y = jnp.sum(weight * x, axis=0), jnp.sum(weight * y, axis=0)
        root = jnp.sqrt(weight)
        x, y = root * (x - mean_x), root * (y - mean_y)
        axes = _axes(x)
        z = x @ axes
        variances = jnp.sum(z**2, axis=0)
        # [P, R, C]: each axis has its own scalar equation.
        rotated = (z.T @ y) / (variances[:, None] + jnp.asarray(penalties, x.dtype)[:, None, None])
        coef = jnp.einsum("dr,prc->pdc", axes, rotated)
        return coef, mean_y - mean_x @ coef


def logistic_regression(
    x: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    penalty: float,
    weight: jax.Array | None = None,
    tolerance: float = 1e-5,
) -> tuple[jax.Array, jax.Array]:
    """Multinomial logistic regression with an L2 penalty, solved to convergence.

    argmin_{W, b} sum_i w_i CE(x_i W + b, y_i) / sum_i w_i + penalty / 2 ||W||^2; b is not penalised.
    scikit-learn's LogisticRegression has C = 1 / (penalty * N).

    Args:
      x: [N, D].
      labels: int [N].
      penalty: positive.
      weight: [N] or None (all 1).
      tolerance: of `fit_logistic`.
      num_classes: C.

    Returns:
      coef [D, C], intercept [C], for logits = x @ coef + intercept.
    """
    rotated = rotate(x)
    weight = jnp.ones(len(x)) if weight is None else weight
    start = zero_start(rotated, num_classes)
    return unrotate(rotated, fit_logistic(rotated, labels, penalty, weight, start, tolerance, 1000))


def zero_start(rotated: Rotated, num_classes: int) -> tuple[jax.Array, jax.Array]:
    """The all-zero (coef [C, R], intercept [C]) for `fit_logistic`."""
    return jnp.zeros((num_classes, len(rotated.z))), jnp.zeros(num_classes)


def unrotate(rotated: Rotated, params: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """From (coef [C, R], intercept [C]) of `fit_logistic` to (coef [D, C], intercept [C]) for the rows x."""
    coef = jnp.matmul(rotated.axes, params[0].T, precision="highest")
    return coef, params[1] - jnp.matmul(rotated.mean, coef, precision="highest")


@jax.jit
def fit_logistic(
    rotated: Rotated,
    labels: jax.Array,
    penalty: float,
    weight: jax.Array,
    start: tuple[jax.Array, jax.Array],
    tolerance: float,
    max_steps: int,
) -> tuple[jax.Array, jax.Array]:
    """`logistic_regression` in rotated coordinates, from `start` = (coef [C, R], intercept [C]).

    L-BFGS, preconditioned by the bound variances / 2 + penalty of the Hessian (Boehning, Multinomial Logistic
    Regression Algorithm, 1992). Stops when the preconditioned gradient has a norm of at most `tolerance`,
    when the loss cannot be lowered any more in float32, or after `max_steps`. Starting from the solution for
    a larger penalty saves steps.

    Returns:
      (coef [C, R], intercept [C]), for logits [C, N] = coef @ z + intercept.
    """
    scale = jax.lax.rsqrt(rotated.variances / 2 + penalty)
    weight = weight / jnp.sum(weight)
    classes = jnp.arange(len(start[1]))[:, None]

    def loss(params):
        coef, intercept = params[0] * scale, params[1]
        # The default precision of an accelerator (bfloat16, TF32) would not converge.
        logits = jnp.matmul(coef, rotated.z, precision="highest") + intercept[:, None]
        own = jnp.sum(jnp.where(classes == labels, logits, 0.0), axis=0)
        return jnp.sum(weight * (jax.nn.logsumexp(logits, axis=0) - own)) + penalty / 2 * jnp.sum(coef**2)

    # The problem is convex: sufficient decrease is enough, and compiles faster than the default zoom search.
    search = optax.scale_by_backtracking_linesearch(
        max_backtracking_steps=20,
        increase_factor=float("inf"),
        max_learning_rate=1.0,
        rtol=1e-6,
        store_grad=True,
    )
    tx = optax.lbfgs(linesearch=search)
    value_and_grad = optax.value_and_grad_from_state(loss)

    def unfinished(carry):
        _, state, _, stalled = carry
        steps = optax.tree.get(state, "count")
        steep = optax.tree.norm(optax.tree.get(state, "grad")) > tolerance
        return (steps < max_steps) & (stalled < 3) & ((steps == 0) | steep)

    def step(carry):
        params, state, best, stalled = carry
        value, gradient = value_and_grad(params, state=state)
        updates, state = tx.update(gradient, state, params, value=value, grad=gradient, value_fn=loss)
        # Against the best so far: near the minimum rounding lets the loss go up and down for ever.
        stalled = jnp.where(value < best, 0, stalled + 1)
        return optax.apply_updates(params, updates), state, jnp.minimum(best, value), stalled

    params = (start[0] / scale, start[1])
    carry = (params, tx.init(params), jnp.float32(jnp.inf), 0)
    coef, intercept = jax.lax.while_loop(unfinished, step, carry)[0]
    return coef * scale, intercept
