"""`setup` and `forward` of jaxssl.models.module, each compiled as one program and kept by network and options."""

import functools

import jax
import numpy as np

from jaxssl.models import module
from jaxssl.models.tokens import Hide


def setup(network, key, *inputs, **options):
    return _call(module.setup, network, (key, *inputs), options)


def forward(network, params, stats, *inputs, **options):
    return _call(module.forward, network, (params, stats, *inputs), options)


def _call(function, network, inputs, options):
    arrays = {k: v for k, v in options.items() if isinstance(v, (jax.Array, np.ndarray, Hide))}
    static = tuple(sorted((k, v) for k, v in options.items() if k not in arrays))
    return _compiled(function, network, static)(arrays, *inputs)


@functools.cache
def _compiled(function, network, static):
    return jax.jit(lambda arrays, *inputs: function(network, *inputs, **dict(static), **arrays))
