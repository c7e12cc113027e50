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
