"""Parameters that do not change in the first steps, as prototypes and cluster centres."""

from typing import Any

import jax
import jax.numpy as jnp


def resting(tree: Any, step: jax.Array, steps: int) -> Any:
    """The parameters `tree`, stop-gradient in the first `steps` steps; see also `core.Method.rests`."""
    return jax.tree.map(lambda x: jnp.where(step < steps, jax.lax.stop_gradient(x), x), tree)


def rests(pattern: str, steps: int) -> tuple[tuple[str, int], ...]:
    """`Method.rests` of the parameters whose path matches `pattern`, for `steps` steps; () for 0 steps."""
    return ((pattern, steps),) if steps else ()
