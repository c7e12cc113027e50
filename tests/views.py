"""Views as one array: what tests of augmentations compare."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np


def stacked(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The batch with every tuple of views, boxes or flips [N, ...] as one array [V, N, ...]; shapes alone may be given."""

    def one(views):
        if isinstance(views[0], jax.ShapeDtypeStruct):
            (view,) = set((v.shape, v.dtype) for v in views)
            return jax.ShapeDtypeStruct((len(views), *view[0]), view[1])
        return np.stack(views)

    return {name: one(value) if isinstance(value, tuple) else value for name, value in batch.items()}
