"""What methods that learn prototypes, or centres of clusters, share."""

from typing import Any

import jax
import jax.numpy as jnp


def resting(tree: Any, step: jax.Array, steps: int) -> Any:
    """The parameters, without a gradient during the first `steps` steps; see also `core.Method.rests`."""
    return jax.tree.map(lambda x: jnp.where(step < steps, jax.lax.stop_gradient(x), x), tree)


def rests(pattern: str, steps: int) -> tuple[tuple[str, int], ...]:
    """`Method.rests` of parameters whose path matches, for `steps` steps; () for none."""
    return ((pattern, steps),) if steps else ()
