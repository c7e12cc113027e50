"""Message passing on padded graphs."""

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import unit_interval
from jaxssl.ops.meshes import any_mesh


@any_mesh
def propagate(h: jax.Array, senders: jax.Array, receivers: jax.Array, edge_mask: jax.Array) -> jax.Array:
    """One step of symmetrically normalised message passing with self-loops, D^-1/2 (A + I) D^-1/2 h.

    `h`: [M, D]; `senders`, `receivers`: int [E], positions of nodes; `edge_mask`: bool [E], False = padding, which
    changes nothing. An undirected edge is given in both directions. One graph; `jax.vmap` for several.
    Source: Kipf, Welling, Semi-Supervised Classification with Graph Convolutional Networks, 2016, arXiv:1609.02907,
    https://arxiv.org/abs/1609.02907
    """
    size, weight = h.shape[0], edge_mask.astype(h.dtype)
    degree = 1 + jax.ops.segment_sum(weight, receivers, size)
    scale = jax.lax.rsqrt(degree)
    # Selected, not multiplied: a padded edge is harmless also where its sender is not finite.
    messages = scale[senders][:, None] * jnp.where(edge_mask[:, None], h[senders], 0)
    return scale[:, None] * (jax.ops.segment_sum(messages, receivers, size) + scale[:, None] * h)


@any_mesh
def segment_softmax(logits: jax.Array, segments: jax.Array, num_segments: int, mask: jax.Array) -> jax.Array:
    """Softmax over the rows of every segment: [E, ...], the rows with mask True of a segment adding up to 1.

    `logits`: [E, ...]; `segments`: int [E] in 0 .. num_segments - 1, as the receiver of an edge; `mask`: bool [E], False
    = padding, which gets 0 and changes nothing.
    """
    present = mask.reshape(-1, *[1] * (logits.ndim - 1))
    top = jax.ops.segment_max(jnp.where(present, logits, -jnp.inf), segments, num_segments)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
    weight = jnp.where(present, jnp.exp(jnp.where(present, logits - top[segments], 0)), 0)
    total = jax.ops.segment_sum(weight, segments, num_segments)
    return weight / jnp.where(total > 0, total, 1)[segments]


@any_mesh
def masked_nodes(key: jax.Array, node_mask: jax.Array, ratio: float) -> jax.Array:
    """Hides floor(ratio * number of nodes) nodes of every graph, at random: bool [N, M].

    `node_mask`: bool [N, M], False = padding, which is never hidden. `ratio`: in [0, 1].
    """
    unit_interval("ratio", ratio)
    chance = jnp.where(node_mask, jax.random.uniform(key, node_mask.shape), 2.0)
    rank = jnp.argsort(jnp.argsort(chance, axis=1), axis=1)
    # Slightly more than the product, since 0.7 * 10 would give 6.
    return rank < jnp.floor(ratio * node_mask.sum(1, keepdims=True) + 1e-4)


@any_mesh
def drop_edges(key: jax.Array, edge_mask: jax.Array, rate: float) -> jax.Array:
    """Leaves out every edge with chance `rate`, each direction of an undirected one by itself: bool [N, E]."""
    unit_interval("rate", rate)
    return edge_mask & (jax.random.uniform(key, edge_mask.shape) >= rate)


@any_mesh
def replacements(key: jax.Array, replaced: jax.Array, node_mask: jax.Array) -> jax.Array:
    """For every node of a batch another one of the batch, none twice among those `replaced`: int [N, M].

    Positions among all N * M places; they are drawn among the nodes of all graphs. Where `replaced` is False the number
    means nothing. `replaced`, `node_mask`: bool [N, M]; False in `node_mask` = padding, which is never drawn.
    """
    chance = jnp.where(node_mask, jax.random.uniform(key, node_mask.shape), 2.0)
    order = jnp.argsort(chance.ravel())
    return order[jnp.maximum(jnp.cumsum(replaced.ravel()) - 1, 0)].reshape(node_mask.shape)


@any_mesh
def influence_matrix(node: jax.Array, neighbors: jax.Array, weights: jax.Array) -> jax.Array:
    """Influences among the nodes of a batch, [N, N]: entry (i, j) is the weight of node[j] among the neighbours of node[i].

    `node`: int [N], ids of different nodes; `neighbors`: int [N, K], ids of nodes, -1 = none; `weights`: [N, K].
    Neighbours that are not in the batch are left out.
    """
    order = jnp.argsort(node)
    place = order[jnp.minimum(jnp.searchsorted(node[order], neighbors), len(node) - 1)]
    kept = jnp.where(node[place] == neighbors, weights, 0)
    rows = jnp.broadcast_to(jnp.arange(len(node))[:, None], neighbors.shape)
    return jnp.zeros((len(node), len(node)), weights.dtype).at[rows, place].add(kept)
