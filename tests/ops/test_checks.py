import enum
import fractions
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.ops import checks
from jaxssl.ops.graph import masked_nodes
from jaxssl.ops.tokens import masked_tokens

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
            with pytest.raises(ValueError, match="x=.*: must"):
                SCALARS[check](kind(wrong))
        if check != "finite_scalar":
            with pytest.raises(ValueError, match="x=.*: must"):
                SCALARS[check](kind(-0.1))
    SCALARS[check](1)
    SCALARS[check](jnp.int32(1))
    SCALARS[check](enum.IntEnum("Number", "one").one)


@pytest.mark.parametrize("check", SCALARS)
def test_what_is_no_number(check):
    wrong = ("0.1", b"0.1", True, np.True_, jnp.array(True), None, 1j, jnp.complex64(1), fractions.Fraction(1, 2))
    for value in (*wrong, {}, np.array("0.1"), object()):
        with pytest.raises(TypeError, match="(?s)x=.*: must be a number"):
            SCALARS[check](value)
    for value in ([0.5], np.array([0.5]), jnp.array([0.5]), jnp.ones((2, 2))):
        with pytest.raises(ValueError, match="x of shape .*: must be a scalar"):
            SCALARS[check](value)


@pytest.mark.parametrize("check", SCALARS)
def test_traced_values_pass_but_not_of_any_type(check):
    run = lambda value: jax.make_jaxpr(lambda x: SCALARS[check](x) is None)(value)
    run(-3.0)
    run(np.nan)
    with pytest.raises(TypeError, match="(?s)x=.*: must be a number"):
        run(True)
    with pytest.raises(ValueError, match="x of shape .*: must be a scalar"):
        run(np.ones(2))
    # A constant is known also while others are traced.
    with pytest.raises(ValueError, match="x=.*: must"):
        jax.make_jaxpr(lambda y: SCALARS[check](np.float32(np.nan)))(1.0)


def test_positive_in_the_dtype_of_the_computation():
    for value in (1e-46, 1e-40, 1e39):
        with pytest.raises(ValueError, match="x=.*: must be above 0 and finite in float32"):
            SCALARS["positive_scalar"](value)
    for value in (0, 0.0, -0.0, jnp.float32(0)):
        with pytest.raises(ValueError, match="x=.*: must be above 0"):
            SCALARS["positive_scalar"](value)


def test_ends_of_the_intervals():
    for value in (0, 1, 0.0, 1.0, jnp.float32(1)):
        SCALARS["unit_interval"](value)
    with pytest.raises(ValueError, match=r"x=.*: must lie in \[0, 1\]"):
        SCALARS["unit_interval"](jnp.float32(1.01))
    SCALARS["scalar_at_least"](0.25)
    with pytest.raises(ValueError, match="x=.*: must be at least 0.25"):
        SCALARS["scalar_at_least"](0.2)


X = np.eye(4, 3, dtype=np.float32)
KEY = jax.random.key(0)
# By name of the option: every op that takes it as a number, and a value out of its range.
NUMBERS = {
    "epsilon": (lambda v: ops.sinkhorn(X, epsilon=v), 0.0),
    "t": (lambda v: ops.uniformity(X, v), -1.0),
    "l2_normalize eps": (lambda v: ops.l2_normalize(X, eps=v), 0.0),
    "effective_rank eps": (lambda v: ops.effective_rank(X, eps=v), -0.1),
    "degrees": (lambda v: ops.student_t_assignment(X, X[:2], degrees=v), 0.0),
    "momentum": (lambda v: ops.ema_update({"w": X}, {"w": X}, v), 1.5),
    "widths[1]": (lambda v: ops.mmd(X, X, widths=(1.0, v)), 0.0),
    "start": (lambda v: ops.cosine_momentum(v, 1.0, 10), 1.5),
    "end": (lambda v: ops.linear_momentum(0.9, v, 10), -0.5),
    "momentum_schedule start": (lambda v: ops.momentum_schedule(v, 1.0, 0), 1.5),
    "rate": (
        lambda v: masked_tokens(
            KEY, np.ones((1, 4), int), np.ones((1, 4), bool), rate=v, mask_id=3, first_id=6, vocab_size=9
        ),
        1.5,
    ),
    "ratio": (lambda v: masked_nodes(KEY, np.ones((1, 4), bool), v), 1.5),
}
INTEGERS = {
    "num_iters": lambda v: ops.sinkhorn(X, num_iters=v),
    "num_clusters": lambda v: ops.kmeans(KEY, X, v),
    "restarts": lambda v: ops.kmeans(KEY, X, 2, restarts=v),
    "num": lambda v: ops.farthest_points(X[None], v),
    "start": lambda v: ops.farthest_points(X[None], 2, start=v),
    "patch_size": lambda v: ops.patchify(np.ones((1, 4, 4, 1)), v),
    "total_steps": lambda v: ops.cosine_momentum(0.9, 1.0, v),
    "steps": lambda v: ops.momentum_schedule(0.9, 1.0, v),
    "anchor": lambda v: ops.select_sensors(X[:, 0], v),
    "num_rows": lambda v: ops.random_masked(KEY, v, 4, 0.5),
    "num_patches": lambda v: ops.random_masked(KEY, 2, v, 0.5),
    "num_hidden": lambda v: ops.random_masked(KEY, 2, 4, num_hidden=v),
    "min_block": lambda v: ops.multi_block_mask_1d(KEY, 2, 8, 0.5, min_block=v),
    "num_masked": lambda v: ops.clustered_mask_2d(KEY, 2, (4, 4), v),
    "num_columns": lambda v: ops.disjoint_subsets(KEY, 2, v, num_context=1, num_target=1, num_sets=1),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_ops(name):
    function, outside = NUMBERS[name]
    option = re.escape(name.split()[-1])
    for value in (outside, np.float32(outside), jnp.float32(outside), np.nan, jnp.float32(np.inf)):
        with pytest.raises(ValueError, match=option):
            function(value)
    for value in ("0.1", True, None, jnp.array(True)):
        with pytest.raises(TypeError, match=option):
            function(value)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_of_ops(name):
    for value in (1.5, True, "2", np.nan):
        with pytest.raises(TypeError, match=name):
            INTEGERS[name](value)
    with pytest.raises(ValueError, match=name):
        INTEGERS[name](-3)


def test_positive_int():
    for value in (1, np.int64(3)):
        checks.positive_int("x", value)
    for value in (True, "3", 3.0, None, np.True_, jnp.int32(3), np.array([3])):
        with pytest.raises(TypeError, match="x=.*: must be an int"):
            checks.positive_int("x", value)
    with pytest.raises(ValueError, match="x=.*: must be at least 2"):
        checks.positive_int("x", 1, least=2)
