"""A method that compiles in no time, with faults on request: for tests of the loop, not of methods."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxssl.core import Method, Out, Watch
from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def toy(encoder: Any, *, trouble: str = "", at: int = 0) -> Method:
    """A linear map that learns unit variance. trouble, from step `at` on: 'nan' in the loss, 'collapse', or 'odd features'."""
    del encoder

    def features(params, batch):
        x = batch["x"]
        return x.reshape(x.shape[0], -1) @ params["kernel"]

    def init(key, batch):
        return {"kernel": 0.1 * jax.random.normal(key, (batch["x"][0].size, 8))}, {}

    def loss(params, memory, batch, key, step):
        h = features(params, batch)
        part = jnp.mean(jnp.square(jnp.var(h, axis=0) - 1))
        if trouble == "nan":
            part = jnp.where(step >= at, jnp.nan, part)
        if trouble == "collapse":
            h = jnp.where(step >= at, jnp.ones_like(h), h)
        if trouble == "odd features":
            h = jnp.where(step >= at, jnp.nan, h)
        return part, Out(memory, {"part": part}, Watch(h[None]))

    def predict(params, memory, batch):
        return {"features": features(params, batch)}

    return Method(init, loss, predict)


def get_config(arg: str | None = None) -> ConfigDict:
    """The toy on one device; with `:simclr` a tiny SimCLR, whose loss compares all rows, on all devices."""
    config = quick_convnet(fashion_mnist_12k())
    config.data.limit = 200
    if arg == "simclr":
        # Colours only take time to compile.
        config.augment.update(jitter_probability=0.0, grayscale_probability=0.0)
        config.encoder.update(widths=(16,), strides=(2,))
        config.method = dict(name="methods.simclr", hidden_dims=(32,), dim=16, temperature=0.2)
    else:
        config.augment = dict(name="augment.image.plain", size=8, mean=(0.286,), std=(0.353,))
        config.preprocess.size = 8
        config.method = dict(name="toy.toy")
        config.mesh.data = 1
    evaluators = config.evaluate.evaluators.to_dict()
    config.evaluate.evaluators = {name: evaluators[name] for name in ("knn", "rankme")}
    config.log.tensorboard, config.evaluate.final = False, False
    return config
