import enum
import fractions

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import checks

# Each check as a function of a value, and a number that it accepts.
SCALARS = {
    "finite_scalar": lambda x: checks.finite_scalar("x", x, jnp.float32),
    "positive_scalar": lambda x: checks.positive_scalar("x", x, jnp.float32),
    "scalar_at_least": lambda x: checks.scalar_at_least("x", x, jnp.float32, 0.25),
    "unit_interval": lambda x: checks.unit_interval("x", x),
}
TYPES = (float, np.float32, np.float64, np.asarray, jnp.float32, jnp.bfloat16, jnp.asarray, jnp.bfloat16(1).dtype.type)


@pytest.mark.parametrize("check", SCALARS)
def test_numbers_of_every_type(check):
    for kind in TYPES:
        SCALARS[check](kind(0.5))
        for wrong in (np.nan, np.inf, -np.inf):
            with pytest.raises(ValueError, match="x must"):
                SCALARS[check](kind(wrong))
        if check != "finite_scalar":
            with pytest.raises(ValueError, match="x must"):
                SCALARS[check](kind(-0.1))
    SCALARS[check](1)
    SCALARS[check](jnp.int32(1))
    SCALARS[check](enum.IntEnum("Number", "one").one)


@pytest.mark.parametrize("check", SCALARS)
def test_what_is_no_number(check):
    wrong = ("0.1", b"0.1", True, np.True_, jnp.array(True), None, 1j, jnp.complex64(1), fractions.Fraction(1, 2))
    for value in (*wrong, {}, np.array("0.1"), object()):
        with pytest.raises(TypeError, match="x must be a number"):
            SCALARS[check](value)
    for value in ([0.5], np.array([0.5]), jnp.array([0.5]), jnp.ones((2, 2))):
        with pytest.raises(ValueError, match="x must be a scalar"):
            SCALARS[check](value)


@pytest.mark.parametrize("check", SCALARS)
def test_traced_values_pass_but_not_of_any_type(check):
    run = lambda value: jax.make_jaxpr(lambda x: SCALARS[check](x) is None)(value)
    run(-3.0)
    run(np.nan)
    with pytest.raises(TypeError, match="x must be a number"):
        run(True)
    with pytest.raises(ValueError, match="x must be a scalar"):
        run(np.ones(2))
    # A constant is known also while others are traced.
    with pytest.raises(ValueError, match="x must"):
        jax.make_jaxpr(lambda y: SCALARS[check](np.float32(np.nan)))(1.0)


def test_positive_in_the_dtype_of_the_computation():
    for value in (1e-46, 1e-40, 1e39):
        with pytest.raises(ValueError, match="x must be above 0 and finite in float32"):
            SCALARS["positive_scalar"](value)
    for value in (0, 0.0, -0.0, jnp.float32(0)):
        with pytest.raises(ValueError, match="x must be above 0, got"):
            SCALARS["positive_scalar"](value)


def test_ends_of_the_intervals():
    for value in (0, 1, 0.0, 1.0, jnp.float32(1)):
        SCALARS["unit_interval"](value)
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        SCALARS["unit_interval"](jnp.float32(1.01))
    SCALARS["scalar_at_least"](0.25)
    with pytest.raises(ValueError, match="x must be at least 0.25"):
        SCALARS["scalar_at_least"](0.2)


def test_positive_int():
    for value in (1, np.int64(3)):
        checks.positive_int("x", value)
    for value in (True, "3", 3.0, None, np.True_, jnp.int32(3), np.array([3])):
        with pytest.raises(TypeError, match="x must be an int"):
            checks.positive_int("x", value)
    with pytest.raises(ValueError, match="x must be at least 2"):
        checks.positive_int("x", 1, least=2)
