"""Checks of arguments, made while tracing, before anything is computed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike


def float_array(name: str, value: ArrayLike, rank: int) -> jax.Array:
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


def float_pair(name_a: str, a: ArrayLike, name_b: str, b: ArrayLike, rank: int = 2) -> tuple[jax.Array, jax.Array]:
    """Two floating arrays of equal shape and rank, in their common dtype. Raises as `float_array`."""
    a, b = float_array(name_a, a, rank), float_array(name_b, b, rank)
    if a.shape != b.shape:
        raise ValueError(f"{name_a} and {name_b} must have the same shape, got {a.shape} and {b.shape}")
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)


def at_least_two_rows(name: str, array: jax.Array) -> None:
    """Raises ValueError when statistics over the batch of `array` [N, ...] would not exist."""
    if array.shape[0] < 2:
        raise ValueError(f"{name} needs N >= 2 rows for its batch statistics, got shape {array.shape}")


def known_number(name: str, value: Any) -> int | float | None:
    """The Python number that the scalar `value` is known to be; None where it is traced, and has no value yet.

    Numbers of Python and numpy, and arrays without axes of numpy and jax.
    Raises: TypeError for booleans, strings and whatever else is no real number; ValueError for an array with axes, and
    for NaN and infinity.
    """
    traced = isinstance(value, jax.core.Tracer)
    if isinstance(value, jax.Array) and not traced and not value.is_fully_addressable:
        value = value.addressable_data(0)
    array = value if traced else np.asarray(value)
    if not (jnp.issubdtype(array.dtype, np.floating) or jnp.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"{name}={value!r}: must be a number.")
    if array.ndim != 0:
        raise ValueError(f"{name} of shape {array.shape}: must be a scalar.")
    if traced:
        return None
    number = int(array) if jnp.issubdtype(array.dtype, np.integer) else float(array)
    if not np.isfinite(number):
        raise ValueError(f"{name}={value}: must be finite.")
    return number


def finite_scalar(name: str, value: ArrayLike, dtype: DTypeLike) -> jax.Array:
    """`value` as a scalar of `dtype`, of any sign; it may be traced. Raises as `known_number`."""
    known_number(name, value)
    return jnp.asarray(value, dtype)


def positive_scalar(name: str, value: ArrayLike, dtype: DTypeLike) -> jax.Array:
    """`value` as a scalar of `dtype`; it may be traced, and its sign is then not checked.

    Raises: as `known_number`; ValueError when it is known and not above zero, also where it is too small or too large
    for a normal number of `dtype`.
    """
    number = known_number(name, value)
    if number is not None and not number > 0:
        raise ValueError(f"{name}={value}: must be above 0.")
    if number is not None and not float(jnp.finfo(dtype).tiny) <= number <= float(jnp.finfo(dtype).max):
        raise ValueError(f"{name}={value}: must be above 0 and finite in {jnp.dtype(dtype).name}.")
    return jnp.asarray(value, dtype)


def scalar_at_least(name: str, value: ArrayLike, dtype: DTypeLike, least: float) -> jax.Array:
    """`value` as a scalar of `dtype`; it may be traced, and is then not checked.

    Raises: as `known_number`; ValueError when it is known to be below `least`.
    """
    number = known_number(name, value)
    if number is not None and number < least:
        raise ValueError(f"{name}={value}: must be at least {least}.")
    return jnp.asarray(value, dtype)


def unit_interval(name: str, value: ArrayLike) -> None:
    """Raises as `known_number`, and ValueError when the known number is outside [0, 1]; a traced one passes."""
    number = known_number(name, value)
    if number is not None and not 0 <= number <= 1:
        raise ValueError(f"{name}={value}: must lie in [0, 1].")


def positive_int(name: str, value: int, least: int = 1) -> None:
    """Raises TypeError or ValueError unless `value` is an integer of Python or numpy, of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}={value!r}: must be an int.")
    if value < least:
        raise ValueError(f"{name}={value}: must be at least {least}.")
