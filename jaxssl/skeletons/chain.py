"""Networks one after the other, as every joint-embedding method has them: encoder, projector, predictor, ...

A chain is a dict from names to modules, in order; each is fed with the output of the one before. Parameters and
batch statistics are dicts by the same names, so that a teacher is simply another such dict.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.core import statistics, student
from jaxssl.models.module import Module, forward, setup

# Modules by name, in order.
Chain = Mapping[str, Module]


def setup_chain(chain: Chain, key: jax.Array, x: Any) -> tuple[dict, dict]:
    """(params, stats) by name, from one example input x: an array [N, ...] or a tree of them."""
    params, stats = {}, {}
    for name, key_network in zip(chain, jax.random.split(key, len(chain))):
        params[name], stats[name] = setup(chain[name], key_network, x)
        x, _ = forward(chain[name], params[name], stats[name], x)
    return params, stats


def forward_chain(
    chain: Chain, params: Mapping, stats: Mapping, x: Any, *, train: bool = False, key: jax.Array | None = None
) -> tuple[dict[str, Any], dict]:
    """Outputs of all networks by name, and the statistics with new ones for the networks of this chain.

    Args:
      chain: modules by name, in order.
      params, stats: trees by name; they may hold more names than the chain.
      x: input of the first network, [N, ...].
      train, key: as in `forward`.
    """
    outputs, stats = {}, dict(stats)
    for i, (name, network) in enumerate(chain.items()):
        key_network = None if key is None else jax.random.fold_in(key, i)
        x, stats[name] = forward(network, params[name], stats[name], x, train=train, key=key_network)
        outputs[name] = x
    return outputs, stats


def forward_chain_views(
    chain: Chain,
    params: Mapping,
    stats: Mapping,
    views: Iterable,
    *,
    train: bool = False,
    key: jax.Array | None = None,
    remat: bool = False,
) -> tuple[dict[str, Any], Mapping]:
    """`forward_chain` for one view after the other, so that batch statistics are those of one view.

    Args:
      views: arrays [N, ...], perhaps of different sizes, or trees of arrays [N, ...].
      remat: recompute the activations in the backward pass, which then holds those of one view at a time.

    Returns:
      (outputs stacked to [V, N, ...] by name, statistics after all views in turn).
    """
    views, outputs = list(views), []
    keys = [None] * len(views) if key is None else jax.random.split(key, len(views))

    def one(stats, view_and_key):
        view, key = view_and_key
        output, stats = forward_chain(chain, params, stats, view, train=train, key=key)
        return stats, output

    if not remat:
        for view_and_key in zip(views, keys):
            stats, output = one(stats, view_and_key)
            outputs.append(output)
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs), stats
    # A loop over the views of one size: written out, the recomputations of all views could run at once.
    sizes = lambda pair: jax.tree.map(jnp.shape, pair[0])
    for _, group in itertools.groupby(zip(views, keys), key=sizes):
        group = jax.tree.map(lambda *leaves: jnp.stack(leaves), *group)
        stats, output = jax.lax.scan(jax.checkpoint(one, prevent_cse=False), stats, group)
        outputs.append(output)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *outputs), stats


def interleaved(views: Sequence[Any]) -> Any:
    """V views, trees of arrays [N, ...], as one batch [N * V, ...], for common batch statistics.

    Example by example, so that what is sharded over examples stays where it is.
    """
    return jax.tree.map(lambda *v: rearrange(jnp.stack(v, axis=1), "n v ... -> (n v) ..."), *views)


def begin_chain(chain: Chain) -> Callable:
    """`init` of a method whose parameters are those of a chain, fed with the first view."""

    def init(key, batch):
        params, stats = setup_chain(chain, key, batch["views"][0])
        return params, {"stats": stats}

    return init


def embed_together(chain: Chain) -> Callable:
    """`embed` of a `core.Split`: all views as one batch, with common batch statistics.

    Its embeddings are the outputs of the chain by name, [N, V, D]; see `by_view`.
    """

    def embed(params, memory, batch, key, step):
        x, num_views = interleaved(batch["views"]), len(batch["views"])
        outputs, stats = forward_chain(chain, params, statistics(memory), x, train=True, key=key)
        return {name: rearrange(h, "(n v) ... -> n v ...", v=num_views) for name, h in outputs.items()}, {
            **memory,
            "stats": stats,
        }

    return embed


def embed_apart(chain: Chain) -> Callable:
    """`embed` of a `core.Split`: one view after the other, so that batch statistics are those of one view."""

    def embed(params, memory, batch, key, step):
        outputs, stats = forward_chain_views(chain, params, statistics(memory), batch["views"], train=True, key=key)
        return by_view(outputs), {**memory, "stats": stats}

    return embed


def by_view(embeddings: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """Embeddings by name, [N, V, D] -> [V, N, D] and back."""
    return {name: h.swapaxes(0, 1) for name, h in embeddings.items()}


def make_predict(chain: Chain, networks: Callable = student) -> Callable:
    """`predict` of a method: the outputs of its chain on `x` [N, ...] in inference mode.

    `features` [N, D] is the output of the first network, the encoder; the others have their own names. `patches`
    [N, h, w, D] is the encoder's last map, where it has one and x is [N, H, W, C]. `networks`: as
    `core.Method.networks`; a network of the chain that it lacks, as a teacher lacks the predictor, is left out.
    """
    first = next(iter(chain))

    def predict(params, memory, batch):
        params, stats = networks(params, memory)
        named = part(chain, [name for name in chain if name in params])
        stats = {name: stats.get(name, {}) for name in named}
        outputs, _ = forward_chain(named, params, stats, batch["x"])
        if "patches" in getattr(chain[first], "can", ()) and getattr(batch["x"], "ndim", 0) == 4:
            tokens, _ = forward(chain[first], params[first], stats[first], batch["x"], method="encode")
            outputs["patches"] = tokens.map
        return {"features": outputs.pop(first), **outputs}

    return predict


def without_drop_path(module: Module) -> Module:
    """The network with drop_path=0, for teachers in training mode; its parameters are the same."""
    return module.clone(drop_path=0.0) if getattr(module, "drop_path", 0.0) else module


def batch_size(x: Any) -> int:
    """N of an input: an array [N, ...] or a tree of them."""
    return jax.tree.leaves(x)[0].shape[0]


def part(tree: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The entries of `tree` with these names."""
    return {name: tree[name] for name in names}
