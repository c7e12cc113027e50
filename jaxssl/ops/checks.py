"""Checks of arguments, made while tracing, before anything is computed."""

import jax.numpy as jnp
import numpy as np


def float_array(name, value, rank):
    """`value` as a floating array of the given rank: bfloat16 and float16 become float32, float64 stays.

    Raises: TypeError for integers, booleans or complex numbers, ValueError for another rank or an empty
    array.
    """
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating point, got {array.dtype}")
    if array.ndim != rank:
        raise ValueError(f"{name} must have {rank} axes, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, got shape {array.shape}")
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def float_pair(name_a, a, name_b, b, rank=2):
    """Two floating arrays of equal shape and rank, in their common dtype. Raises as `float_array`."""
    a, b = float_array(name_a, a, rank), float_array(name_b, b, rank)
    if a.shape != b.shape:
        raise ValueError(f"{name_a} and {name_b} must have the same shape, got {a.shape} and {b.shape}")
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def at_least_two_rows(name, array):
    """Raises ValueError when statistics over the batch of `array` [N, ...] would not exist."""
    if array.shape[0] < 2:
        raise ValueError(f"{name} needs N >= 2 rows for its batch statistics, got shape {array.shape}")


def positive_scalar(name, value, dtype):
    """`value` as a scalar of `dtype`; it may be traced, and its sign is then not checked.

    Raises: ValueError when it is not a scalar, or is a known number that is not above zero.
    """
    if jnp.ndim(value) != 0:
        raise ValueError(f"{name} must be a scalar, got shape {jnp.shape(value)}")
    if isinstance(value, (int, float, np.number, np.ndarray)) and not value > 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return jnp.asarray(value, dtype)


def unit_interval(name, value):
    """Raises ValueError when the known number `value` is outside [0, 1]; a traced one passes."""
    if isinstance(value, (int, float, np.number)) and not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")


def positive_int(name, value, least=1):
    """Raises TypeError or ValueError unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
