"""Exponential moving averages of parameter trees."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import positive_int, unit_interval
from jaxssl.ops.meshes import any_mesh


def ema_init(tree: Any) -> Any:
    """The tree that an average of `tree` starts from: its leaves, those of half precision in float32.

    `ema_update` keeps the dtypes of such a tree.
    """
    wide = lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)) if jnp.issubdtype(x.dtype, jnp.floating) else x
    return jax.tree.map(lambda x: wide(jnp.asarray(x)), tree)


def ema_update(old_tree: Any, new_tree: Any, momentum: float | jax.Array) -> Any:
    """Moves an averaged tree towards a new one, leaf by leaf.

    new = momentum * old + (1 - momentum) * value. The average is kept in float32 at least: a step of 1 - momentum =
    0.001 is less than half precision resolves, and the average would never move. Begin with `ema_init`, and no dtype
    changes between updates, whatever the dtype of a traced momentum (optax.incremental_update would promote them);
    leaves that are not floating point (counters) are taken from `new_tree`.
    Raises: ValueError when the trees differ in structure or shapes, or a known momentum is outside [0, 1].
    """
    unit_interval("momentum", momentum)

    def blend(old, new):
        old, new = jnp.asarray(old), jnp.asarray(new)
        if old.shape != new.shape:
            raise ValueError(f"leaves must have equal shapes, got {old.shape} (old) and {new.shape} (new)")
        if not jnp.issubdtype(old.dtype, jnp.floating):
            return new.astype(old.dtype)
        wide = jnp.promote_types(old.dtype, jnp.float32)
        m = jnp.asarray(momentum, wide)
        return m * old.astype(wide) + (1 - m) * new.astype(wide)

    return jax.tree.map(blend, old_tree, new_tree)


def cosine_momentum(start: float, end: float, total_steps: int) -> Callable[[jax.Array], jax.Array]:
    """Schedule step -> momentum that goes from `start` to `end` along half a cosine and then stays.

    m(step) = end - (end - start) * (cos(pi * step / total_steps) + 1) / 2.
    Raises: ValueError when start or end lie outside [0, 1] or total_steps < 1.
    Source: Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020, arXiv:2006.07733,
    https://arxiv.org/abs/2006.07733
    """
    unit_interval("start", start)
    unit_interval("end", end)
    positive_int("total_steps", total_steps)

    def momentum(step):
        progress = jnp.clip(jnp.asarray(step, jnp.float32) / total_steps, 0.0, 1.0)
        return end - (end - start) * (jnp.cos(jnp.pi * progress) + 1) / 2

    return momentum


def linear_momentum(start: float, end: float, total_steps: int) -> Callable[[jax.Array], jax.Array | float]:
    """Schedule step -> momentum that goes from `start` to `end` along a line and then stays; 0 steps keep `start`.

    Raises: ValueError when start or end lie outside [0, 1] or total_steps < 0.
    """
    unit_interval("start", start)
    unit_interval("end", end)
    positive_int("total_steps", total_steps, least=0)

    def momentum(step):
        return start + (end - start) * jnp.clip(jnp.asarray(step, jnp.float32) / total_steps, 0.0, 1.0)

    return momentum if total_steps else lambda step: start


def momentum_schedule(start: float, end: float, steps: int) -> Callable[[jax.Array], jax.Array | float]:
    """Schedule step -> momentum: `cosine_momentum` over `steps`, or constantly `start` where steps is 0."""
    unit_interval("start", start)
    positive_int("steps", steps, least=0)
    return (lambda step: start) if steps == 0 else cosine_momentum(start, end, steps)


@any_mesh
def tree_distance(a: Any, b: Any) -> jax.Array:
    """Relative distance of two trees: ||a - b|| / ||a|| over all leaves together, in float32 at least.

    Zero when the trees are equal, also when both are zero; infinite when only `a` is zero. In these cases the gradient
    is zero.
    Raises: ValueError when the trees differ in structure or shapes.
    """

    def difference(x, y):
        x, y = jnp.asarray(x), jnp.asarray(y)
        if x.shape != y.shape:
            raise ValueError(f"leaves must have equal shapes, got {x.shape} and {y.shape}")
        wide = jnp.promote_types(jnp.promote_types(x.dtype, y.dtype), jnp.float32)
        return x.astype(wide) - y.astype(wide)

    distance, length = _norm(jax.tree.map(difference, a, b)), _norm(a)
    ratio = distance / jnp.where(length == 0, 1, length)
    infinite = jax.lax.stop_gradient(distance) * jnp.inf
    return jnp.where(distance == 0, 0.0, jnp.where(length == 0, infinite, ratio))


def _norm(tree):
    total = jnp.zeros((), jnp.float32)
    for leaf in map(jnp.asarray, jax.tree.leaves(tree)):
        total += jnp.sum(jnp.square(leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))))
    # The square root is never taken of 0, where its derivative is infinite.
    return jnp.where(total == 0, 0.0, jnp.sqrt(jnp.where(total == 0, 1.0, total)))
