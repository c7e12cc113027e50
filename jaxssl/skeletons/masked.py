"""Parts of every example are hidden, the encoder sees the rest, and what is hidden is predicted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Out, Split, Watch, split_method, statistics
from jaxssl.models.module import forward, setup
from jaxssl.skeletons.chain import make_predict


class Networks:
    """Networks by name, called in a forward pass that is written once: at the start a call also makes the parameters.

    nets(name, module, *inputs, **options) -> output, in training mode; options: those of `models.module.forward`.
    nets.param(name, make) -> a parameter that belongs to no network; `make()` gives its start.
    """

    def __init__(
        self, params: Mapping[str, Any], stats: Mapping[str, Any], keys: Mapping[str, jax.Array] | None = None
    ):
        self.params, self.stats, self.keys = dict(params), dict(stats), keys

    def __call__(self, name: str, module: Any, *inputs: Any, key: jax.Array | None = None, **options: Any) -> Any:
        if self.keys is not None and name not in self.params:
            self.begin(name, module, *inputs, **options)
        stats = self.stats.get(name, {})
        output, stats = forward(module, self.params[name], stats, *inputs, train=True, key=key, **options)
        if stats:
            self.stats[name] = stats
        return output

    def begin(self, name: str, module: Any, *inputs: Any, **options: Any) -> None:
        """Makes the parameters of a network, from its own key."""
        keys = self.keys or {}
        self.params[name], stats = setup(module, keys[name], *inputs, **options)
        if stats:
            self.stats[name] = stats

    def param(self, name: str, make: Callable[[], jax.Array]) -> jax.Array:
        """A parameter of the method itself."""
        if self.keys is not None and name not in self.params:
            self.params[name] = make()
        return self.params[name]


class Predicted(NamedTuple):
    """What a forward pass of `masked` found.

    loss: [N], one an example, or a scalar. features: [N, D] or [V, N, D], for the monitor. metrics: scalars by name.
    """

    loss: jax.Array
    features: jax.Array
    metrics: dict[str, jax.Array] = {}


def begin_networks(encoder: Any, names: Iterable[str], forward_pass: Callable) -> Callable:
    """`init` of a method: the encoder from its plain call, all other networks as the forward pass meets them.

    names: of the networks, in the order of their keys; that of a name without a network goes to waste. The forward pass
    gets the key 'mask', or the one after the last.
    """
    names = list(names)

    def init(key, batch):
        x, keys = batch["views"][0], jax.random.split(key, len(names) + 1)
        named = dict(zip(names, keys))
        nets = Networks({}, {}, named)
        nets.begin("encoder", encoder, x)
        forward_pass(nets, x, named.get("mask", keys[-1]))
        return nets.params, {"stats": nets.stats} if nets.stats else {}

    return init


def masked(
    encoder: Any, forward_pass: Callable[..., Predicted], names: Iterable[str], *, of_examples: bool = False
) -> Method:
    """A method that hides parts of every example and predicts them.

    Args:
      encoder: f; its plain call gives the features [N, D] that are evaluated.
      forward_pass: (nets, x, key) -> Predicted; x is the view, nets a `Networks`. Targets are data and stop-gradient.
      names: the networks by name, the encoder first, in the order of their random keys.
      of_examples: the loss is one number an example, of that example alone, and their mean is taken: chunks apply.

    Batch: `views`, a tuple of one input of the encoder. Memory: `stats` where a network keeps statistics.
    """
    init, predict = begin_networks(encoder, names, forward_pass), make_predict({"encoder": encoder})

    def run(params, memory, batch, key):
        nets = Networks(params, statistics(memory))
        found = forward_pass(nets, batch["views"][0], key)
        return found, {**memory, "stats": nets.stats} if nets.stats else memory

    def loss(params, memory, batch, key, step):
        found, memory = run(params, memory, batch, key)
        features = found.features if found.features.ndim == 3 else found.features[None]
        return found.loss, Out(memory, found.metrics, Watch(features))

    def embed(params, memory, batch, key, step):
        found, memory = run(params, memory, batch, key)
        return {"losses": found.loss, "features": found.features}, memory

    def objective(params, memory, embeddings, batch, key, step):
        return jnp.mean(embeddings["losses"]), Out(memory, watch=Watch(embeddings["features"][None]))

    return split_method(init, Split(embed, objective), predict) if of_examples else Method(init, loss, predict)
