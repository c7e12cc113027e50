"""Random subsets of columns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import positive_int
from jaxssl.ops.meshes import any_mesh


class ColumnSubsets(NamedTuple):
    """`context` int32 [N, C] and `targets` int32 [N, T, M]; no target is in the context of its row."""

    context: jax.Array
    targets: jax.Array


@any_mesh
def disjoint_subsets(
    key: jax.Array, num_rows: int, num_columns: int, *, num_context: int, num_target: int, num_sets: int
) -> ColumnSubsets:
    """For every row a context of C columns, and T sets of M target columns outside it.

    All sets are uniform, and independent between rows. The target sets of a row are drawn independently, each without
    repetition, and may overlap. Returns `ColumnSubsets`.
    Raises: TypeError, ValueError for sizes below 1, or num_context + num_target above num_columns.
    Source: Thimonier et al., T-JEPA: Augmentation-Free Self-Supervised Learning for Tabular Data, 2024,
    arXiv:2410.05016, https://arxiv.org/abs/2410.05016
    """
    sizes = dict(
        num_rows=num_rows, num_columns=num_columns, num_context=num_context, num_target=num_target, num_sets=num_sets
    )
    for name, value in sizes.items():
        positive_int(name, value)
    if num_context + num_target > num_columns:
        raise ValueError(
            f"num_context={num_context} and num_target={num_target} do not fit side by side into {num_columns} columns"
        )

    def row(key):
        key_context, key_targets = jax.random.split(key)
        order = jax.random.permutation(key_context, num_columns)
        context, outside = order[:num_context], order[num_context:]
        sets = jax.vmap(lambda k: jax.random.permutation(k, outside)[:num_target])
        return ColumnSubsets(context.astype(jnp.int32), sets(jax.random.split(key_targets, num_sets)).astype(jnp.int32))

    return jax.vmap(row)(jax.random.split(key, num_rows))
