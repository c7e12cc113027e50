"""An input may be a tree of arrays: methods treat it as they treat one array."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.build import build

WIDTH = 6


class Dense(nn.Module):
    """One linear layer on an array [N, 6], or on its two halves."""

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x):
        return nn.Dense(8)(x if isinstance(x, jax.Array) else jnp.concatenate([x["left"], x["right"]], axis=-1))


@pytest.mark.parametrize(
    "method",
    [
        dict(name="methods.simclr", hidden_dims=(8,), dim=4),
        dict(name="methods.moco", hidden_dims=(8,), dim=4, queue_size=16, shuffle=True),
        dict(name="methods.byol", hidden_dims=(8,), dim=4, predictor_dim=8, momentum_steps=10),
        dict(name="methods.swav", hidden_dims=(8,), dim=4, num_prototypes=5),
    ],
    ids=lambda spec: spec["name"],
)
def test_two_arrays_give_what_one_gives(method):
    views = tuple(jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, WIDTH)), jnp.float32))
    halves = tuple({"left": v[:, : WIDTH // 2], "right": v[:, WIDTH // 2 :]} for v in views)

    @jax.jit
    def run(views):
        made = build(method, Dense())
        params, memory = made.init(jax.random.key(0), {"views": views})
        value, _ = made.loss(params, memory, {"views": views}, jax.random.key(1), jnp.zeros((), jnp.int32))
        return value, made.predict(params, memory, {"x": views[0]})["features"]

    for one, two in zip(run(views), run(halves), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6)
