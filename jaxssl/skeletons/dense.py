"""An encoder with two heads: one on its features, one on every position of its last feature map."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from einops import rearrange

from jaxssl.core import student
from jaxssl.models.module import Module, forward, setup
from jaxssl.models.tokens import needs

# The networks by name, in order.
NAMES = ("encoder", "projector", "dense_projector")


def networks_with_maps(method: str, encoder: Module, head: Module, dense_head: Module) -> dict[str, Module]:
    """The networks by the names `NAMES`; refuses, for `method`, an encoder that gives no map."""
    needs(encoder, method, "patches", example="models.resnet.resnet50")
    return dict(zip(NAMES, (encoder, head, dense_head), strict=True))


def setup_maps(networks: Mapping[str, Module], key: jax.Array, x: Any) -> tuple[dict, dict]:
    """(params, stats) by name, from one example input x [N, H, W, C]."""
    keys = dict(zip(NAMES, jax.random.split(key, len(NAMES)), strict=True))
    params, stats = {}, {}
    params["encoder"], stats["encoder"] = setup(networks["encoder"], keys["encoder"], x)
    h, maps, _ = _encoded(networks, params, stats, x, False, None)
    for name, inputs in (("projector", h), ("dense_projector", maps)):
        params[name], stats[name] = setup(networks[name], keys[name], inputs)
    return params, stats


def forward_maps(
    networks: Mapping[str, Module],
    params: Mapping[str, Any],
    stats: Mapping[str, Any],
    x: Any,
    *,
    train: bool = False,
    key: jax.Array | None = None,
) -> tuple[dict[str, jax.Array], dict]:
    """The outputs of the networks for x [N, H, W, C], and the new batch statistics.

    Args:
      networks: as of `networks_with_maps`.
      params, stats: trees by name.
      x: input of the encoder.
      train, key: as in `models.module.forward`; key is the encoder's.

    Returns:
      ({'encoder': features [N, D], 'patches': last map [N, h, w, D], 'projector': [N, P], 'dense_projector':
      [N, h, w, Q]}, stats by name).
    """
    stats = dict(stats)
    h, maps, stats["encoder"] = _encoded(networks, params, stats, x, train, key)
    out = {"encoder": h, "patches": maps}
    for name, inputs in (("projector", h), ("dense_projector", maps)):
        out[name], stats[name] = forward(networks[name], params[name], stats[name], inputs, train=train)
    return out, stats


def predict_maps(networks: Mapping[str, Module], weights: Callable = student) -> Callable:
    """`predict` of a method with these networks: `features` [N, D], `patches` [N, h, w, D], and both heads' outputs.

    weights: as `core.Method.networks`.
    """

    def predict(params, memory, batch):
        params, stats = weights(params, memory)
        out, _ = forward_maps(networks, params, stats, batch["x"])
        return {"features": out.pop("encoder"), **out}

    return predict


def flat(maps: jax.Array) -> jax.Array:
    """[N, h, w, D] -> [N, h * w, D], row by row."""
    return rearrange(maps, "n h w d -> n (h w) d")


def _encoded(networks, params, stats, x, train, key):
    """(features [N, D], last map [N, h, w, D], statistics of the encoder)."""
    encoder = networks["encoder"]
    tokens, found = forward(encoder, params["encoder"], stats["encoder"], x, train=train, key=key, method="encode")
    return encoder.pooled(tokens), tokens.map, found
