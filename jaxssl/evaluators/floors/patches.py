"""Floor for dense prediction: the pixels of a patch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.evaluators.features import EvaluationData
from jaxssl.ops import patchify


def patches(data: EvaluationData, preprocess: Callable, *, patch_size: int = 4, colour: bool = False) -> Callable:
    """Patches of `x` [N, H, W, C] as they are: `patches` [N, H / p, W / p, p * p * C], and no `features`.

    Args:
      colour: only the mean colour of each patch, [N, H / p, W / p, C].
    """
    del data

    @jax.jit
    def predict(params, memory, batch):
        del params, memory
        x = preprocess(None, batch)["x"].astype(jnp.float32)
        grid = x.shape[1] // patch_size, x.shape[2] // patch_size
        found = patchify(x, patch_size).reshape(len(x), *grid, -1)
        if colour:
            found = found.reshape(*found.shape[:3], -1, x.shape[-1]).mean(3)
        return {"patches": found}

    return predict
