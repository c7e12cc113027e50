"""Floor for series over time: random convolutions, as `evaluators.floors` describes floors."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators.features import EvaluationData


def rocket(data: EvaluationData, preprocess: Callable, *, kernels: int = 300, seed: int = 0) -> Callable:
    """Features of random convolutional kernels: for each the share of outputs above 0, and the largest output.

    A kernel has 7, 9 or 11 taps (normal, minus their mean), a dilation 2^u with u uniform up to the length of the series,
    zero padding or none, a bias uniform in -1 ... 1, and one random weight a channel for a random choice of channels
    (in the publication every tap has its own weights of the channels). Features are [N, 2 * kernels].

    Source: Dempster, Petitjean, Webb, ROCKET: exceptionally fast and accurate time series classification using random
    convolutional kernels, 2019, arXiv:1910.13051, https://arxiv.org/abs/1910.13051
    """
    del data
    if not isinstance(kernels, int) or kernels < 1:
        raise ValueError(f"kernels={kernels!r}: must be an integer of at least 1.")

    @jax.jit
    def predict(params, memory, batch):
        del params, memory
        x = preprocess(None, batch)["x"].astype(jnp.float32)
        # Sensors apart, [N, V, T, C], are channels side by side.
        x = jnp.moveaxis(x, 1, 2).reshape(x.shape[0], x.shape[2], -1) if x.ndim == 4 else x
        time = x.shape[1]
        drawn = draw(np.random.default_rng(seed), kernels, time, x.shape[2])
        edge = MAX_TAPS // 2 * max(int(drawn["dilation"].max()), 1)

        def convolve(_, kernel):
            mixed = jnp.pad(x @ kernel["channels"], ((0, 0), (edge, edge)))
            out = kernel["bias"] + jnp.zeros((x.shape[0], time))
            for tap in range(MAX_TAPS):
                start = edge + (tap - MAX_TAPS // 2) * kernel["dilation"]
                out += kernel["taps"][tap] * jax.lax.dynamic_slice_in_dim(mixed, start, time, axis=1)
            margin = kernel["margin"]
            inside = (jnp.arange(time) >= margin) & (jnp.arange(time) < time - margin)
            share = jnp.sum((out > 0) & inside, axis=1) / jnp.sum(inside)
            return None, (share, jnp.max(jnp.where(inside, out, -jnp.inf), axis=1))

        share, largest = jax.lax.scan(convolve, None, drawn)[1]
        return {"features": jnp.concatenate([share, largest]).T}

    return predict


MAX_TAPS = 11


def draw(random: np.random.Generator, kernels: int, time: int, channels: int) -> dict[str, np.ndarray]:
    """Kernels for series [time, channels]: arrays by name, all leading with the number of kernels."""
    made = {name: [] for name in ("taps", "dilation", "margin", "bias", "channels")}
    for _ in range(kernels):
        count = random.choice([n for n in (7, 9, MAX_TAPS) if n <= max(time, 7)])
        weights = random.normal(size=count)
        taps = np.zeros(MAX_TAPS)
        first = MAX_TAPS // 2 - count // 2
        taps[first : first + count] = weights - weights.mean()
        dilation = int(2 ** random.uniform(0, max(np.log2((time - 1) / (count - 1)), 0)))
        reach = dilation * (count // 2)
        mixture = random.normal(size=channels)
        some = int(2 ** random.uniform(0, np.log2(channels + 1)))
        mixture[random.permutation(channels)[some:]] = 0
        made["taps"].append(taps)
        made["dilation"].append(dilation)
        # Without padding, only where all taps lie inside; one place at least is left.
        made["margin"].append(0 if random.integers(2) else min(reach, (time - 1) // 2))
        made["bias"].append(random.uniform(-1, 1))
        made["channels"].append(mixture)
    floats = ("taps", "bias", "channels")
    return {k: np.asarray(v, np.float32 if k in floats else np.int32) for k, v in made.items()}
