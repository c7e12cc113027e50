import jax
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal

from jaxssl.losses import masked_patch_mse, masked_token_mse


def loss(pred, images, masked):
    return masked_patch_mse(pred, images, masked, patch_size=2)


@pytest.fixture(scope="module")
def case():
    masked = np.random.default_rng(3).random((2, 6)) < 0.5
    return normal(0, 2, 6, 12), normal(1, 2, 4, 6, 3), masked


@pytest.mark.parametrize("normalize_targets", [True, False])
def test_matches_loops(case, normalize_targets):
    pred, images, masked = case
    options = dict(patch_size=2, normalize_targets=normalize_targets)
    check_value_and_gradients(
        lambda p, x: masked_patch_mse(p, x, masked, **options),
        lambda p, x: reference.masked_patch_mse(p, x, masked, **options),
        (pred, images),
        {0},
    )


@pytest.mark.parametrize("normalize_targets", [True, False])
def test_tokens_of_any_kind_match_loops(case, normalize_targets):
    pred, images, masked = case
    check_value_and_gradients(
        lambda p, x: masked_token_mse(p, x, masked, normalize_targets=normalize_targets),
        lambda p, x: reference.masked_token_mse(p, x, masked, normalize_targets),
        (pred, np.asarray(reference.patches(images, 2), pred.dtype)),
        {0},
    )


def test_visible_patches_do_not_matter(case):
    pred, images, masked = case
    gradient = np.asarray(jax.jit(jax.grad(loss))(pred, images, masked))
    np.testing.assert_array_equal(gradient[~masked], 0.0)
    assert (np.abs(gradient[masked]) > 0).all()


def test_bool_int_and_float_masks_agree(case):
    pred, images, masked = case
    values = [jax.jit(loss)(pred, images, masked.astype(dtype)) for dtype in (bool, int, float)]
    assert values[0] == values[1] == values[2]


def test_nothing_masked_is_zero_and_everything_masked_is_the_plain_mean(case):
    pred, images, masked = case
    value, gradient = jax.jit(jax.value_and_grad(loss))(pred, images, np.zeros_like(masked))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, 0.0)
    plain = jax.jit(lambda p, x, m: masked_patch_mse(p, x, m, patch_size=2, normalize_targets=False))
    value = plain(pred, images, np.ones_like(masked))
    np.testing.assert_allclose(value, np.mean((pred - reference.patches(images, 2)) ** 2), rtol=1e-5)


def test_flat_patches_and_patches_of_one_value_stay_finite():
    ones = np.ones((1, 4, 4, 1), np.float32)
    value, gradient = jax.jit(jax.value_and_grad(loss))(ones[..., 0], ones, np.ones((1, 4)))
    assert value == 1.0 and np.isfinite(gradient).all()
    single = jax.jit(lambda p, x, m: masked_patch_mse(p, x, m, patch_size=1))
    assert single(np.ones((1, 16, 1)), normal(0, 1, 4, 4, 1), np.ones((1, 16))) == 1.0


def test_shapes_that_do_not_agree_are_refused(case):
    pred, images, masked = case
    with pytest.raises(ValueError, match="patch_size"):
        masked_patch_mse(pred, images, masked, patch_size=4)
    with pytest.raises(ValueError, match="pred"):
        masked_patch_mse(pred[:, :, :4], images, masked, patch_size=2)
    with pytest.raises(ValueError, match="masked"):
        masked_patch_mse(pred, images, masked[:, :4], patch_size=2)
