"""Every recorded value and gradient of a published implementation is met."""

import jax
import numpy as np
import pytest
from loss_reference import golden, x64

from jaxssl import losses, ops

NAMES = [
    "barlow_twins",
    "byol",
    "dino",
    "info_nce_in_batch",
    "info_nce_queue",
    "masked_patch_mse",
    "negative_cosine_similarity",
    "nt_xent_t0.1",
    "nt_xent_t0.5",
    "sinkhorn",
    "swav",
    "vicreg",
]


@pytest.mark.parametrize("name", NAMES)
def test_golden(name):
    meta, inputs, expected, gradients = golden(name)
    package, _, function_name = meta["function"].rpartition(".")
    function = getattr(ops if package == "ops" else losses, function_name)

    def summed(arrays):
        value = function(*[arrays[arg] for arg in meta["args"]], **meta["kwargs"])
        return value.sum(), value

    with x64():
        actual, value = jax.jit(jax.grad(summed, has_aux=True))(inputs)
    np.testing.assert_allclose(value, expected.reshape(value.shape), rtol=1e-9, atol=1e-12)
    for arg, gradient in gradients.items():
        np.testing.assert_allclose(actual[arg], gradient, rtol=1e-7, atol=1e-10, err_msg=arg)
    if "stop-gradient" in meta["note"]:
        for arg in inputs.keys() - gradients.keys():
            np.testing.assert_array_equal(actual[arg], 0.0, err_msg=arg)
