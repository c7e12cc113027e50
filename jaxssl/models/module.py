"""The only interface between methods and Flax: networks as parameter trees and pure calls."""

import inspect
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax.linen import Module as Module

# The compute dtype of a network; parameters and features are always float32.
Dtype = Literal["float32", "bfloat16", "float16"]


def _takes_train(module, method):
    call = getattr(type(module), method or "__call__", None)
    if call is None:
        raise ValueError(f"{type(module).__name__} has no method {method!r}")
    return "train" in inspect.signature(call).parameters


def setup(module: Module, key: jax.Array, *inputs: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Initialises a Flax module on example inputs.

    Args:
      module: Flax Linen module.
      key: random key; split into the 'params' and 'dropout' streams.
      *inputs: example inputs; only their shapes and dtypes matter.
      **kwargs: passed on to the module, `method='name'` included; `train=False` is added if it takes `train`.

    Returns:
      (params, stats): parameter tree, and batch statistics tree ({} if the module keeps none).

    Raises:
      ValueError: a module without the method, or with collections other than params and batch_stats.
    """
    key_params, key_dropout = jax.random.split(key)
    if _takes_train(module, kwargs.get("method")):
        kwargs.setdefault("train", False)
    variables = module.init({"params": key_params, "dropout": key_dropout}, *inputs, **kwargs)
    unknown = sorted(set(variables) - {"params", "batch_stats"})
    if unknown:
        raise ValueError(f"{type(module).__name__} keeps {unknown}; it may keep params and batch_stats only.")
    return variables.get("params", {}), variables.get("batch_stats", {})


def forward(
    module: Module,
    params: Any,
    stats: Any,
    *inputs: Any,
    train: bool = False,
    key: jax.Array | None = None,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Applies a Flax module: output, stats' = f(params, stats, inputs).

    Args:
      module: Flax Linen module.
      params, stats: trees from `setup`.
      *inputs: inputs, batch leading.
      train: True uses statistics of the batch and updates the running ones (new = m * old + (1 - m) * value).
      key: random key for drop path and dropout; None is allowed for networks that use neither.
      **kwargs: passed on, e.g. hide=..., method='encode'.

    Returns:
      (output, stats): stats is unchanged unless `train`. No gradient flows into the statistics.

    Raises:
      ValueError: from the module if it needs randomness and `key` is None.
    """
    if _takes_train(module, kwargs.get("method")):
        kwargs["train"] = train
    variables = {"params": params, "batch_stats": stats} if stats else {"params": params}
    rngs = {} if key is None else {"dropout": key}
    if not train:
        return module.apply(variables, *inputs, rngs=rngs, **kwargs), stats
    output, updated = module.apply(variables, *inputs, rngs=rngs, mutable=["batch_stats"], **kwargs)
    return output, jax.lax.stop_gradient(updated.get("batch_stats", stats))


def forward_views(
    module: Module,
    params: Any,
    stats: Any,
    views: jax.Array,
    *,
    train: bool,
    key: jax.Array | None = None,
    **kwargs: Any,
) -> tuple[Any, Any]:
    """Applies a module to one view after the other, so that batch statistics are those of one view.

    Args:
      module, params, stats, train, **kwargs: as in `forward`; kwargs are the same for all views.
      views: [V, N, ...].
      key: random key or None; view v uses fold_in(key, v).

    Returns:
      (outputs, stats): outputs stacked leaf by leaf to [V, N, ...]; statistics after all views in turn.

    Raises:
      ValueError: if `views` has fewer than two axes or no view.
    """
    if views.ndim < 2 or views.shape[0] == 0:
        raise ValueError(f"views of shape {tuple(views.shape)}: must be [V, N, ...] with V of at least 1.")
    outputs = []
    for v in range(views.shape[0]):
        key_view = None if key is None else jax.random.fold_in(key, v)
        output, stats = forward(module, params, stats, views[v], train=train, key=key_view, **kwargs)
        outputs.append(output)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs), stats
