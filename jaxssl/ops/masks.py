"""Random masks over patches."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import positive_int


class RandomMask(NamedTuple):
    """`masked` bool [N, L], True = hidden; `visible_ids` int32 [N, Lv]; `restore_ids` int32 [N, L].

    Gathering a row's tokens by `visible_ids` gives the visible ones; gathering visible tokens followed by
    hidden ones by `restore_ids` gives the original order.
    """

    masked: jax.Array
    visible_ids: jax.Array
    restore_ids: jax.Array


def random_masked(key, num_rows, num_patches, ratio):
    """Hides exactly round(ratio * num_patches) patches of every row, uniformly and independently per row.

    `ratio`: a Python number in [0, 1], since it fixes the shape of `visible_ids`. Returns a `RandomMask`.
    Raises: TypeError, ValueError for a ratio outside [0, 1] or sizes below 1.
    Source: He et al., "Masked Autoencoders Are Scalable Vision Learners", 2021, arXiv 2111.06377
    (https://arxiv.org/abs/2111.06377).
    """
    positive_int("num_rows", num_rows)
    positive_int("num_patches", num_patches)
    if isinstance(ratio, jax.Array):
        raise TypeError("ratio must be a Python number, because the number of visible patches is a shape")
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio must lie in [0, 1], got {ratio}")
    num_visible = num_patches - round(ratio * num_patches)
    order = jnp.argsort(jax.random.uniform(key, (num_rows, num_patches)), axis=1).astype(jnp.int32)
    restore_ids = jnp.argsort(order, axis=1).astype(jnp.int32)
    return RandomMask(restore_ids >= num_visible, order[:, :num_visible], restore_ids)
