"""Masked modelling: the encoder sees the visible parts of every example, and the hidden parts are predicted."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Method, Out, Split, Watch, split_method, statistics
from jaxssl.models.module import Module, forward, setup
from jaxssl.skeletons.chain import make_predict


class Networks:
    """Networks by name, for a forward pass that also serves as initialisation: a network's first call makes its parameters.

    nets(name, module, *inputs, **options) -> output, in training mode; options: those of `models.module.forward`.
    nets.param(name, make) -> a parameter that belongs to no network; `make()` gives its initial value.
    """

    def __init__(
        self, params: Mapping[str, Any], stats: Mapping[str, Any], keys: Mapping[str, jax.Array] | None = None
    ):
        self.params, self.stats, self.keys = dict(params), dict(stats), keys

    def __call__(self, name: str, module: Module, *inputs: Any, key: jax.Array | None = None, **options: Any) -> Any:
        if self.keys is not None and name not in self.params:
            self.begin(name, module, *inputs, **options)
        stats = self.stats.get(name, {})
        output, stats = forward(module, self.params[name], stats, *inputs, train=True, key=key, **options)
        if stats:
            self.stats[name] = stats
        return output

    def begin(self, name: str, module: Module, *inputs: Any, **options: Any) -> None:
        """Initialises the parameters of the network `name` with its own key."""
        keys = self.keys or {}
        self.params[name], stats = setup(module, keys[name], *inputs, **options)
        if stats:
            self.stats[name] = stats

    def param(self, name: str, make: Callable[[], jax.Array]) -> jax.Array:
        """The parameter `name`, which belongs to no network; `make()` gives its initial value."""
        if self.keys is not None and name not in self.params:
            self.params[name] = make()
        return self.params[name]


class Predicted(NamedTuple):
    """The result of a forward pass of `masked`.

    loss: [N], one an example, or a scalar. features: [N, D] or [V, N, D], for the monitor. metrics: scalars by name.
    """

    loss: jax.Array
    features: jax.Array
    metrics: dict[str, jax.Array] = {}


def begin_networks(encoder: Module, names: Iterable[str], forward_pass: Callable) -> Callable:
    """`init` of a method: the encoder is initialised by its plain call, each other network by its first call.

    Args:
      encoder: Flax module.
      names: the networks by name, in the order of their keys. The key of the name 'mask', or one more key, is that of the
        forward pass.
      forward_pass: as in `masked`.

    Returns:
      init(key, batch) -> (params, memory).
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
    encoder: Module, forward_pass: Callable[..., Predicted], names: Iterable[str], *, of_examples: bool = False
) -> Method:
    """A method that hides parts of every example and predicts them.

    Args:
      encoder: f; its plain call gives the features [N, D] that are evaluated.
      forward_pass: (nets, x, key) -> Predicted; x is the view, nets a `Networks`. Targets are data and stop-gradient.
      names: the networks by name, the encoder first, in the order of their random keys.
      of_examples: the loss is [N], each entry of one example alone, and their mean is taken; `gradient_chunks` applies.

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
