import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, cosine, normal, x64

from jaxssl.losses import clip, sigmoid_pairs

GROUPS = np.array([0, 1, 0, 2])


def naive_clip(image, text, log_scale, groups=None, max_scale=100.0):
    """Loops over pairs; a row's targets are equal over its group."""
    num, scale = len(image), min(np.exp(log_scale), max_scale)
    groups = range(num) if groups is None else groups
    total = 0.0
    for i in range(num):
        same = [j for j in range(num) if groups[j] == groups[i]]
        for ours, theirs in ((image, text), (text, image)):
            scores = [scale * cosine(ours[i], theirs[j]) for j in range(num)]
            normaliser = np.log(np.sum(np.exp(scores)))
            total += sum(normaliser - scores[j] for j in same) / len(same)
    return total / (2 * num)


def naive_sigmoid_pairs(image, text, log_scale, bias, groups=None):
    num, total = len(image), 0.0
    groups = range(num) if groups is None else groups
    for i in range(num):
        for j in range(num):
            logit = np.exp(log_scale) * cosine(image[i], text[j]) + bias
            total += np.log1p(np.exp(-logit if groups[i] == groups[j] else logit))
    return total / num


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_both_match_loops_in_value_and_gradient(groups):
    image, text = normal(0, 4, 3), normal(1, 4, 3)
    check_value_and_gradients(
        lambda u, v, s: clip(u, v, s, groups=groups),
        lambda u, v, s: naive_clip(u, v, s, groups),
        (image, text, np.array(1.3)),
        {0, 1, 2},
    )
    check_value_and_gradients(
        lambda u, v, s, b: sigmoid_pairs(u, v, s, b, groups=groups),
        lambda u, v, s, b: naive_sigmoid_pairs(u, v, s, b, groups),
        (image, text, np.array(0.7), np.array(-1.5)),
        {0, 1, 2, 3},
    )


@pytest.mark.parametrize("num", [1, 5])
def test_equal_features_give_the_log_of_their_number(num):
    ones = np.ones((num, 3), np.float32)
    np.testing.assert_allclose(jax.jit(clip)(ones, ones, 2.659), np.log(num), rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
def test_orthonormal_pairs_have_a_closed_form(scale):
    rows = 7 * np.eye(6, 8, dtype=np.float32)
    expected = np.log1p(5 * np.exp(-scale))
    np.testing.assert_allclose(jax.jit(clip)(rows, rows, np.log(scale)), expected, rtol=1e-5, atol=1e-6)
    bias = -scale / 2
    expected = 6 * np.log1p(np.exp(-scale / 2))
    np.testing.assert_allclose(jax.jit(sigmoid_pairs)(rows, rows, np.log(scale), bias), expected, rtol=1e-4)


def test_in_one_group_the_perfect_alignment_gives_the_log_of_its_size():
    ones, one_group = np.ones((5, 3), np.float32), np.zeros(5, np.int32)
    np.testing.assert_allclose(clip(ones, ones, 1.0, groups=one_group), np.log(5), rtol=1e-6)
    np.testing.assert_allclose(
        sigmoid_pairs(ones, ones, 0.0, 0.0, groups=one_group), 5 * np.log1p(np.exp(-1)), rtol=1e-6
    )


def test_own_groups_are_no_groups_and_the_order_of_rows_does_not_matter():
    image, text, order = normal(0, 4, 3), normal(1, 4, 3), np.array([2, 0, 3, 1])
    with x64():
        value = jax.jit(clip)(image, text, 1.0)
        np.testing.assert_allclose(clip(image, text, 1.0, groups=np.arange(4)), value, rtol=1e-12)
        np.testing.assert_allclose(clip(text, image, 1.0), value, rtol=1e-12)
        grouped = clip(image, text, 1.0, groups=GROUPS)
        np.testing.assert_allclose(clip(image[order], text[order], 1.0, groups=GROUPS[order]), grouped, rtol=1e-12)


def test_the_scale_is_bounded_and_can_come_back():
    """Aligned pairs want it larger still: the gradient is zero. Crossed pairs want it smaller: it is whole."""
    # No softmax is 0 or 1 at this scale, which would leave the sign of the slope to rounding.
    near = np.ones((4, 4), np.float32) + 0.1 * np.eye(4, dtype=np.float32)
    value_and_slope = jax.jit(jax.value_and_grad(clip, argnums=2))
    for text, held in ((near, True), (near[[1, 0, 3, 2]], False)):
        inside, slope = value_and_slope(near, text, jnp.float32(np.log(100)) - 1e-4)
        above, slope_above = value_and_slope(near, text, jnp.float32(9.0))
        np.testing.assert_allclose(above, inside, rtol=1e-3)
        assert (slope < 0) == held
        np.testing.assert_allclose(slope_above, 0 if held else slope, rtol=1e-3)
    rows = np.eye(4, dtype=np.float32) + 0.05 * normal(0, 4, 4).astype(np.float32)
    crossed = rows[[1, 0, 3, 2]]
    # A small bound for all of it again, and the same for the loss without one by default.
    wanting = lambda s: clip(rows, crossed, s, max_scale=2.0)
    np.testing.assert_allclose(wanting(5.0), clip(rows, crossed, np.log(2)), rtol=1e-6)
    assert jax.grad(wanting)(5.0) > 0.1
    assert sigmoid_pairs(rows, rows, 3.0, 0.0, max_scale=2.0) == sigmoid_pairs(rows, rows, jnp.log(2.0), 0.0)


def test_descent_never_leaves_the_bound_by_more_than_a_step():
    rows = np.eye(4, dtype=np.float32)
    step = jax.jit(lambda s: s - 0.5 * jax.grad(lambda t: clip(rows, rows, t, max_scale=3.0))(s))
    scale = jnp.float32(0.0)
    for _ in range(200):
        scale = step(scale)
    assert np.log(3.0) <= scale < np.log(3.0) + 0.5


def test_extreme_inputs_have_finite_gradients():
    zero, rows = np.zeros((4, 3), np.float32), normal(0, 4, 3).astype(np.float32)
    value_and_gradients = jax.jit(jax.value_and_grad(clip, argnums=(0, 1, 2)))
    for image, text, log_scale in ((zero, rows, 4.6), (zero, zero, 4.6), (rows, -rows, 50.0), (rows, rows, -50.0)):
        value, gradients = value_and_gradients(image, text, jnp.float32(log_scale))
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)
    np.testing.assert_array_equal(value_and_gradients(zero, rows, jnp.float32(1.0))[1][0], 0.0)
    value, gradients = jax.value_and_grad(sigmoid_pairs, argnums=(0, 1, 2, 3))(zero, rows, 4.6, -1e4)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradients)


def test_bad_arguments_are_named():
    rows = np.ones((4, 3), np.float32)
    for loss, more in ((clip, (1.0,)), (sigmoid_pairs, (1.0, 0.0))):
        with pytest.raises(ValueError, match="same shape"):
            loss(rows, rows[:3], *more)
        with pytest.raises(ValueError, match=r"groups must be int \[4\]"):
            loss(rows, rows, *more, groups=np.arange(3))
        with pytest.raises(ValueError, match=r"groups must be int \[4\]"):
            loss(rows, rows, *more, groups=rows[:, 0])
        with pytest.raises(ValueError, match="log_scale of shape .*: must be a scalar"):
            loss(rows, rows, rows, *more[1:])
        with pytest.raises(ValueError, match="max_scale=.*: must be above 0"):
            loss(rows, rows, *more, max_scale=0.0)


@pytest.mark.parametrize("num_scalars", [1, 2])
def test_forward_mode_and_second_derivatives_by_the_scale(num_scalars):
    """Below the bound forward and reverse mode agree; above it forward mode has the slope of a constant, 0."""
    with x64():
        image, text = normal(0, 4, 3), normal(1, 4, 3)
        if num_scalars == 1:
            loss = functools.partial(clip, image, text)
        else:
            loss = lambda s: sigmoid_pairs(image, text, s, -2.0, max_scale=100.0)
        derivatives = jax.jit(lambda s: (jax.grad(loss)(s), jax.jvp(loss, (s,), (1.0,))[1], jax.hessian(loss)(s)))
        reverse, forward, second = derivatives(1.5)
        step = 1e-4
        numeric = (loss(1.5 + step) - 2 * loss(1.5) + loss(1.5 - step)) / step**2
        np.testing.assert_allclose(forward, reverse, rtol=1e-12)
        np.testing.assert_allclose(second, numeric, rtol=1e-5)
        assert derivatives(9.0)[1] == 0
        slopes = jax.jit(jax.vmap(jax.grad(loss)))(np.array([1.5, 9.0]))
        np.testing.assert_allclose(slopes[0], reverse, rtol=1e-12)


def test_the_bound_is_a_known_number():
    rows = np.ones((4, 3), np.float32)
    assert clip(rows, rows, 1.0, max_scale=float("inf")) == clip(rows, rows, 1.0)
    with pytest.raises(TypeError, match="max_scale: must be a known number"):
        jax.jit(lambda m: clip(rows, rows, 1.0, max_scale=m))(2.0)
