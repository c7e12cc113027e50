"""The meaning of the numbers of an input, by their dtype. Every augmentation reads its input by one of these.

  images, videos: uint8 is 0 ... 255, floats are 0 ... 1.
  sound: int16 is -32768 ... 32767, floats are -1 ... 1, or louder after steps in a chain.
  points, series, numbers of tables: any real number.
  tokens, categories, lengths: whole numbers.

All else is refused by name. Values of an image in floats are looked at outside `jit` only: inside they are not known.
"""

import jax
import jax.numpy as jnp
import numpy as np

# How far floats may leave [0, 1]: half precision rounds, no image in 0 ... 255 is so dark.
ROUNDING = 0.01


def unit_image(image: jax.Array | np.ndarray, name: str = "image") -> jax.Array:
    """Pixels as float32 in [0, 1], of any shape; uint8 is divided by 255.

    Raises:
      ValueError: for another dtype, and outside `jit` for floats beyond [0, 1].
    """
    image = check_image(image, name)
    values = jnp.asarray(image, jnp.float32)
    return values / 255 if image.dtype == jnp.uint8 else values


def check_image(image: jax.Array | np.ndarray, name: str = "image") -> jax.Array | np.ndarray:
    """The array itself, after the checks of `unit_image`."""
    image = _array(image)
    if image.dtype == jnp.uint8:
        return image
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(f"'{name}' must be uint8, or float in [0, 1], got {image.dtype}")
    low, high = _known_range(image)
    if not -ROUNDING <= low <= high <= 1 + ROUNDING:
        raise ValueError(
            f"'{name}' has values from {low:g} to {high:g}; floats must lie in [0, 1]; uint8, or the image divided by "
            "255, would be right"
        )
    return image


def unit_wave(x: jax.Array | np.ndarray, name: str = "audio") -> jax.Array:
    """Sound as float32, of any shape; int16 is divided by 32768, floats are taken as they are.

    Raises:
      ValueError: for another dtype.
    """
    x = _array(x)
    if x.dtype == jnp.int16:
        return jnp.asarray(x, jnp.float32) / 32768
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"'{name}' must be int16, or float in [-1, 1], got {x.dtype}")
    return jnp.asarray(x, jnp.float32)


def real(x: jax.Array | np.ndarray, name: str) -> jax.Array:
    """Real numbers as float32. Raises: ValueError for truth values, complex numbers and other things."""
    x = _array(x)
    if not (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer)):
        raise ValueError(f"'{name}' must be real numbers, got {x.dtype}")
    return jnp.asarray(x, jnp.float32)


def integer(x: jax.Array | np.ndarray, name: str) -> jax.Array:
    """Whole numbers as int32. Raises: ValueError for another dtype, and outside `jit` for numbers beyond int32."""
    x = _array(x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise ValueError(f"'{name}' must be whole numbers, got {x.dtype}")
    limits = jnp.iinfo(jnp.int32)
    if x.dtype.itemsize >= 4 and x.dtype != jnp.int32:
        low, high = _known_range(x)
        if not limits.min <= low <= high <= limits.max:
            raise ValueError(f"'{name}' has values from {low} up to {high}; numbers of int32 would be right")
    return jnp.asarray(x, jnp.int32)


def _array(x):
    """Anything that NumPy takes for an array is one."""
    return x if isinstance(x, jax.Array | np.ndarray) else np.asarray(x)


def _known_range(x):
    """Least and greatest value, NaN where there is one; (0, 0) where the values are not known here, or none."""
    if isinstance(x, jax.core.Tracer) or not x.size or not getattr(x, "is_fully_addressable", True):
        return 0, 0
    values = np.asarray(x)
    return values.min().item(), values.max().item()
