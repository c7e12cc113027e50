"""Augmentations of padded graphs, of which the first node is the example's own, and of single nodes."""

import jax

from jaxssl.core import Augment

KEYS = ("features", "node_mask", "senders", "receivers", "edge_mask")


def ego(*, drop_edge_rate: float = 0.0, num_views: int = 1) -> Augment:
    """Views that are the graph itself, each without a random part of its edges.

    Args:
      drop_edge_rate: probability that a view lacks an undirected edge, in [0, 1).
      num_views: number of views.

    Returns:
      augment(key, batch) -> batch with `views`, a tuple of dicts of `features` [N, M, F], `node_mask` [N, M],
      `senders`, `receivers`, `edge_mask` [N, E], in the place of these; where edges are left out also `all_edges`
      [N, E], the mask with them.

    Raises:
      ValueError: naming the option.
    """
    if not 0 <= drop_edge_rate < 1:
        raise ValueError(f"drop_edge_rate={drop_edge_rate}: must lie in [0, 1).")
    if num_views < 1:
        raise ValueError(f"num_views={num_views}: must be at least 1.")

    def view(key, x):
        if not drop_edge_rate:
            return x
        kept = jax.vmap(_drop)(jax.random.split(key, len(x["edge_mask"])), x)
        return {**x, "edge_mask": kept, "all_edges": x["edge_mask"]}

    def _drop(key, x):
        low = jax.numpy.minimum(x["senders"], x["receivers"])
        high = jax.numpy.maximum(x["senders"], x["receivers"])
        # Both directions of an edge share one number.
        chance = jax.random.uniform(key, (x["node_mask"].shape[0],) * 2)[low, high]
        return x["edge_mask"] & (chance >= drop_edge_rate)

    def augment(key, batch):
        x, rest = _split(batch)
        return {**rest, "views": tuple(view(k, x) for k in jax.random.split(key, num_views))}

    return augment


def plain() -> Augment:
    """Preprocessing for evaluation: the graph as it is, as `x`. The key is not used."""

    def preprocess(key, batch):
        del key
        x, rest = _split(batch)
        return {**rest, "x": x}

    return preprocess


def nodes() -> Augment:
    """The features of the nodes [N, F] as they are, as the one view: `views` = (features,)."""
    return lambda key, batch: _renamed(batch, lambda x: {"views": (x,)})


def plain_nodes() -> Augment:
    """Preprocessing for evaluation: the features of the nodes [N, F] as they are, as `x`. The key is not used."""
    return lambda key, batch: _renamed(batch, lambda x: {"x": x})


def _renamed(batch, new):
    if "features" not in batch:
        raise ValueError(f"the batch has no features; it has {sorted(batch)}")
    rest = dict(batch)
    return {**new(rest.pop("features")), **rest}


def _split(batch):
    missing = [name for name in KEYS if name not in batch]
    if missing:
        raise ValueError(f"the batch has no {missing}; it has {sorted(batch)}")
    return {name: batch[name] for name in KEYS}, {name: v for name, v in batch.items() if name not in KEYS}
