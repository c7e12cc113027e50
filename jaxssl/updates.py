"""Parts of optimisers that optax does not have."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxssl.paths import path_name


def clip_each(max_norm: float) -> optax.GradientTransformation:
    """Clips the gradient of every parameter by itself: g * min(1, max_norm / (||g|| + 1e-6)).

    Args:
      max_norm: the length above which a gradient is shortened.
    """

    def clip(g):
        return g * jnp.minimum(1, max_norm / (jnp.linalg.norm(g) + 1e-6))

    return optax.stateless(lambda updates, _: jax.tree.map(clip, updates))


def scale_by_larc(
    weight_decay: float, decayed: Callable[[Any], Any], *, trust_coefficient: float, eps: float
) -> optax.GradientTransformation:
    """Layer-wise adaptive rates with the norms of gradient and decay added up.

        u = (g + lambda p) eta ||p|| / (||g|| + lambda ||p|| + eps)

    Where ||p|| or ||g|| is 0, u = g, without the decay. Here `scale_by_trust_ratio` has ||g + lambda p||.

    Args:
      weight_decay: lambda.
      decayed: params -> tree of booleans, where all this holds; elsewhere u = g.
      trust_coefficient: eta.
      eps: in the denominator.
    """

    def scale(g, p, adapts):
        if not adapts:
            return g
        p_norm, g_norm = jnp.linalg.norm(p), jnp.linalg.norm(g)
        scaled = (g + weight_decay * p) * trust_coefficient * p_norm / (g_norm + weight_decay * p_norm + eps)
        return jnp.where((p_norm == 0) | (g_norm == 0), g, scaled)

    return optax.stateless(lambda updates, params: jax.tree.map(scale, updates, params, decayed(params)))


def rest_until(
    start: int, paths: Callable[[Any], Any], tx: optax.GradientTransformation, late: optax.GradientTransformation
) -> optax.GradientTransformation:
    """`tx`, but parameters with paths(params) True rest until step `start`, and from then on are optimised as if new.

    Until then the optimiser does not remember anything of them, and its counts begin at `start` for them, so that young
    averages are corrected as young ones. The state is that of `tx`.

    Args:
      tx, late: the same optimiser, with schedules of the step and with schedules of the step less `start`. All integers
        in their states are counts of steps. What they remember of a parameter has a path that ends as the parameter's.
    """

    def rests_of(params, state):
        """The mask over the state."""
        mask = {path_name(path): found for path, found in jax.tree_util.tree_leaves_with_path(paths(params))}

        def of(path, _):
            ends = [name for name in mask if f"/{path_name(path)}".endswith(f"/{name}")]
            return bool(ends) and mask[max(ends, key=len)]

        return jax.tree_util.tree_map_with_path(of, state)

    def is_count(x):
        return jnp.issubdtype(x.dtype, jnp.integer)

    def update(updates, state, params=None):
        moves = next(x for x in jax.tree.leaves(state) if is_count(x)) >= start
        younger = jax.tree.map(lambda x: jnp.maximum(x - start, 0) if is_count(x) else x, state)
        found, after = tx.update(updates, state, params)
        own, own_after = late.update(updates, younger, params)
        found = jax.tree.map(lambda rests, a, b: jnp.where(moves, b, 0) if rests else a, paths(params), found, own)
        choose = lambda rests, a, b, before: jnp.where(moves, b, before) if rests else a
        return found, jax.tree.map(choose, rests_of(params, state), after, own_after, state)

    return optax.GradientTransformation(tx.init, update)
