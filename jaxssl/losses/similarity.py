"""Losses that pull a prediction towards the embedding of another view, without negatives."""

import jax
import jax.numpy as jnp

from jaxssl.losses.rows import keep, mask_weights, reduce, rows_that_count, weighted, zero_unless
from jaxssl.ops.checks import float_pair
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def negative_cosine_similarity(
    p: jax.Array, z: jax.Array, *, where: jax.Array | None = None, reduction: str = "mean"
) -> jax.Array:
    """SimSiam's loss: mean_n -cos(p_n, z_n), from -1 (aligned) to 1.

    `p`: predictions [N, D]; `z`: targets [N, D], stop-gradient. A zero row counts as cosine 0 with zero
    gradient. `where`, `reduction`: as in `losses.rows`.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Chen, He, Exploring Simple Siamese Representation Learning, 2020, arXiv:2011.10566,
    https://arxiv.org/abs/2011.10566
    """
    p, z = float_pair("p", p, "z", z)
    where = rows_that_count(where, len(p))
    p, z = keep(where, p), keep(where, z)
    target = jax.lax.stop_gradient(l2_normalize(z))
    return -reduce(where, jnp.sum(l2_normalize(p) * target, axis=1), reduction)


@any_mesh
def byol(p: jax.Array, z: jax.Array, *, where: jax.Array | None = None, reduction: str = "mean") -> jax.Array:
    """BYOL's loss: the mean squared distance of L2-normalised rows, mean_n 2 - 2 cos(p_n, z_n), from 0 to 4.

    `p`: predictions [N, D]; `z`: targets [N, D], stop-gradient. For one direction; the caller adds the
    swapped pair. `where`, `reduction`: as in `losses.rows`.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, 2020, arXiv:2006.07733,
    https://arxiv.org/abs/2006.07733
    """
    value = 2 + 2 * negative_cosine_similarity(p, z, where=where, reduction=reduction)
    where = rows_that_count(where, jnp.shape(p)[0])
    return keep(where, value) if reduction == "none" else zero_unless(where, value)


@any_mesh
def comasked_consistency(
    z1: jax.Array,
    z2: jax.Array,
    masked1: jax.Array,
    masked2: jax.Array,
    *,
    pairing: str = "diagonal",
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Point-CMAE's consistency loss: cosine distance of the tokens that both masks of an example hide; 0 for no such token.

    With M the tokens (n, l) hidden by both masks:
    'diagonal': mean over M of 1 - cos(z1_nl, z2_nl), each token with itself under the other mask;
    'row': mean over M and all k of 1 - cos(z1_nl, z2_nk), as the published code computes, which pulls a token towards the
    mean of all tokens under the other mask.
    `z1`, `z2`: tokens [N, L, D] in the same order; a zero row counts as cosine 0 with zero gradient. `masked1`,
    `masked2`: [N, L], True or 1 = hidden. `pairing`: 'diagonal' or 'row'. `where`, `reduction`: as in `losses.rows`; an
    example's value with 'none' is that of `losses.rows.weighted`. What stands in tokens that do not count reaches
    nothing.
    Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, an unknown pairing.
    Source: Ren et al., Bringing Masked Autoencoders Explicit Contrastive Properties for Point Cloud Self-Supervised
    Learning, 2024, arXiv:2407.05862, https://arxiv.org/abs/2407.05862
    """
    z1, z2 = float_pair("z1", z1, "z2", z2, rank=3)
    where = rows_that_count(where, len(z1))
    one, two = (
        mask_weights(name, mask, "[N, L]", where, z1.shape[:2], z1.dtype)
        for name, mask in (("masked1", masked1), ("masked2", masked2))
    )
    both = one * two
    if pairing == "diagonal":
        other = l2_normalize(keep(both != 0, z2))
    elif pairing == "row":
        # All tokens of every example with a token that counts.
        other = l2_normalize(keep(jnp.any(both != 0, axis=1), z2)).mean(1, keepdims=True)
    else:
        raise ValueError(f"pairing={pairing!r}: must be 'diagonal' or 'row'.")
    error = 1 - jnp.sum(l2_normalize(keep(both != 0, z1)) * other, axis=-1)
    return weighted(error, both, reduction)
