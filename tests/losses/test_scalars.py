"""Options of losses that are numbers: concrete arrays of jax are checked as numbers of Python are, strings fail."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_table import CASES

from jaxssl import losses

# Whatever is a number and neither a size nor a switch.
ABOVE_ZERO = {
    "temperature",
    "student_temperature",
    "teacher_temperature",
    "epsilon",
    "scale",
    "max_scale",
    "margin",
    "eps",
}
OTHERS = {
    "alpha",
    "label_smoothing",
    "momentum",
    "log_scale",
    "bias",
    "redundancy_weight",
    "invariance_weight",
    "variance_weight",
    "covariance_weight",
    "target",
}
NUMBERS = [
    (case, name)
    for case in {case.name: case for case in CASES.values()}.values()
    for name, parameter in inspect.signature(getattr(losses, case.name)).parameters.items()
    if name in ABOVE_ZERO or name in OTHERS
    if "float" in str(parameter.annotation)
]


@pytest.mark.parametrize("case, option", NUMBERS, ids=[f"{case.name}-{option}" for case, option in NUMBERS])
def test_numbers_are_checked(case, option):
    parameters = list(inspect.signature(getattr(losses, case.name)).parameters)
    given = case.constants | case.options | dict(zip(parameters, case.arrays))

    def call(value):
        return jax.eval_shape(lambda: getattr(losses, case.name)(**(given | {option: value})))

    call(jnp.float32(1.0)), call(np.float32(1.0)), call(1)
    for wrong in ("0.1", True, np.bool_(True)):
        with pytest.raises(TypeError, match=option):
            call(wrong)
    below = [] if option not in ABOVE_ZERO else [0, -0.1, jnp.float32(-0.1), np.array(0.0), jnp.int32(0)]
    for wrong in (float("nan"), jnp.float32("nan"), np.ones(2), *below):
        with pytest.raises(ValueError, match=option):
            call(wrong)


def test_all_numbers_are_among_these():
    found = {
        name
        for loss in map(losses.__dict__.get, losses.__all__)
        for name, parameter in inspect.signature(loss).parameters.items()
        if "float" in str(parameter.annotation)
    }
    assert found == ABOVE_ZERO | OTHERS
    for loss in map(losses.__dict__.get, losses.__all__):
        signature = inspect.signature(loss)
        assert signature.return_annotation is jax.Array, loss
        assert all(p.annotation is not p.empty for p in signature.parameters.values()), loss
