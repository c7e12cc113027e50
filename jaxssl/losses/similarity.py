"""Losses that pull a prediction towards the embedding of another view, without negatives."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import float_pair
from jaxssl.ops.norm import l2_normalize


def negative_cosine_similarity(p, z):
    """SimSiam's loss: mean_n -cos(p_n, z_n), from -1 (aligned) to 1.

    `p`: predictions [N, D]; `z`: targets [N, D], stop-gradient. A zero row counts as cosine 0 with zero
    gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Chen and He, "Exploring Simple Siamese Representation Learning", 2020, arXiv 2011.10566
    (https://arxiv.org/abs/2011.10566).
    """
    p, z = float_pair("p", p, "z", z)
    target = jax.lax.stop_gradient(l2_normalize(z))
    return -jnp.mean(jnp.sum(l2_normalize(p) * target, axis=1))


def byol(p, z):
    """BYOL's loss: the mean squared distance of L2-normalised rows, mean_n 2 - 2 cos(p_n, z_n), from 0 to 4.

    `p`: predictions [N, D]; `z`: targets [N, D], stop-gradient. For one direction; the caller adds the
    swapped pair.
    Raises: TypeError, ValueError for integers, wrong or different shapes.
    Source: Grill et al., "Bootstrap Your Own Latent", 2020, arXiv 2006.07733
    (https://arxiv.org/abs/2006.07733).
    """
    return 2 + 2 * negative_cosine_similarity(p, z)


def comasked_consistency(z1, z2, masked1, masked2, *, pairing="diagonal"):
    """Point-CMAE's agreement of the tokens that two masks of one example both hide; 0 when they share none.

    With M the pairs (n, l) hidden by both and unit rows: diagonal: mean over M of 1 - cos(z1_nl, z2_nl), each token
    with its own twin; row: mean over M and all k of 1 - cos(z1_nl, z2_nk), what the published code computes: there a
    token is pulled towards the average of all tokens of the other mask.
    `z1`, `z2`: tokens [N, L, D] in the same order; a zero row counts as cosine 0 with zero gradient. `masked1`,
    `masked2`: [N, L], True or 1 = hidden. `pairing`: 'diagonal' or 'row'.
    Nothing is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, an unknown pairing.
    Source: Ren et al., "Bringing Masked Autoencoders Explicit Contrastive Properties for Point Cloud Self-Supervised
    Learning", 2024, arXiv 2407.05862 (https://arxiv.org/abs/2407.05862).
    """
    z1, z2 = float_pair("z1", z1, "z2", z2, rank=3)
    masks = [jnp.asarray(m) for m in (masked1, masked2)]
    for name, mask in zip(("masked1", "masked2"), masks):
        if mask.shape != z1.shape[:2]:
            raise ValueError(f"{name} must be [N, L] = {z1.shape[:2]}, got {mask.shape}")
    both = masks[0].astype(z1.dtype) * masks[1].astype(z1.dtype)
    if pairing == "diagonal":
        other = l2_normalize(z2)
    elif pairing == "row":
        other = l2_normalize(z2).mean(1, keepdims=True)
    else:
        raise ValueError(f"pairing must be 'diagonal' or 'row', got {pairing!r}")
    error = 1 - jnp.sum(l2_normalize(z1) * other, axis=-1)
    total = jnp.sum(both)
    return jnp.sum(error * both) / jnp.where(total > 0, total, 1.0)
