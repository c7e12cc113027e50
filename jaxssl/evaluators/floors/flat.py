"""The floor of every kind of data: the input itself, as `evaluators.floors` describes floors."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.evaluators.features import EvaluationData


def flat(data: EvaluationData, preprocess: Callable, *, only: str = "") -> Callable:
    """The input itself: all arrays of `x` as float32 [N, D], side by side; of a dict `x` the array `only`, if named."""
    del data

    @jax.jit
    def predict(params, memory, batch):
        del params, memory
        x = preprocess(None, batch)["x"]
        leaves = jax.tree.leaves(x[only] if only else x)
        rows = [jnp.reshape(leaf, (leaf.shape[0], -1)).astype(jnp.float32) for leaf in leaves]
        return {"features": jnp.concatenate(rows, axis=1)}

    return predict
