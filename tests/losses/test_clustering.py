import jax
import jax.numpy as jnp
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, numeric_gradient, x64

from jaxssl.losses import dino, dino_center, swav


@pytest.mark.parametrize("num_local", [0, 3])
def test_swav_matches_loops(num_local):
    scores = np.tanh(normal(0, 2 + num_local, 5, 4))
    codes = np.stack([reference.sinkhorn(view, 0.1, 2) for view in scores[:2]])

    def loss(scores):
        local = scores[2:] if num_local else None
        return swav(scores[:2], local, temperature=0.2, epsilon=0.1, num_iters=2)

    # The codes enter the reference as constants: the gradient agrees only if they are stop-gradient.
    check_value_and_gradients(loss, lambda s: reference.swav(codes, s, 0.2), (scores,), {0})


def test_swav_with_one_global_view_gives_that_view_no_gradient():
    def loss(global_scores):
        return swav(global_scores, normal(1, 2, 5, 4))

    np.testing.assert_array_equal(jax.jit(jax.grad(loss))(normal(0, 1, 5, 4)), 0.0)


def test_swav_of_equal_scores_is_the_log_of_the_number_of_prototypes():
    zeros = np.zeros((2, 5, 4), np.float32)
    np.testing.assert_allclose(jax.jit(swav)(zeros, zeros), np.log(4), rtol=1e-6)


def test_swav_order_of_rows_and_views_does_not_matter():
    views, local = np.tanh(normal(0, 2, 5, 4)), np.tanh(normal(1, 3, 5, 4))
    order = np.random.default_rng(2).permutation(5)
    loss = jax.jit(swav)
    with x64():
        value = loss(views, local)
        np.testing.assert_allclose(loss(views[::-1, order], local[::-1, order]), value, rtol=1e-12)


def test_swav_stays_finite_at_small_epsilon_and_large_scores():
    scores = jnp.float32(100 * normal(0, 2, 8, 6))
    value, gradient = jax.jit(jax.value_and_grad(lambda s: swav(s, epsilon=0.01)))(scores)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_swav_needs_two_views_that_agree():
    with pytest.raises(ValueError, match="two views"):
        swav(normal(0, 1, 5, 4))
    with pytest.raises(ValueError, match="local_scores"):
        swav(normal(0, 2, 5, 4), normal(0, 2, 5, 3))
    with pytest.raises(ValueError, match="epsilon"):
        swav(normal(0, 2, 5, 4), epsilon=0.0)


@pytest.mark.parametrize("num_student, num_teacher", [(4, 2), (2, 2), (1, 2), (2, 3)])
def test_dino_matches_loops(num_student, num_teacher):
    inputs = normal(0, num_student, 3, 4), normal(1, num_teacher, 3, 4), normal(2, 4)
    check_value_and_gradients(
        lambda s, t, c: dino(s, t, c, student_temperature=0.3, teacher_temperature=0.2),
        lambda s, t, c: reference.dino(s, t, c, 0.3, 0.2),
        inputs,
        {0},
    )


def test_dino_leaves_out_pairs_of_the_same_view():
    student, teacher, center = normal(0, 2, 3, 4), normal(1, 2, 3, 4), normal(2, 4)
    loss = jax.jit(dino)
    crossed = loss(student[:1], teacher, center), loss(student, teacher[:1], center)
    np.testing.assert_allclose(loss(student, teacher, center), np.mean(crossed), rtol=1e-5)
    with pytest.raises(ValueError, match="two different views"):
        dino(student[:1], teacher[:1], center)


def test_dino_of_equal_logits_is_the_log_of_the_number_of_classes():
    value = jax.jit(dino)(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), np.zeros(4))
    np.testing.assert_allclose(value, np.log(4), rtol=1e-6)


def test_dino_temperatures_may_be_traced():
    student, teacher, center = normal(0, 2, 3, 4), normal(1, 2, 3, 4), normal(2, 4)

    def loss(student_temperature, teacher_temperature):
        return dino(
            student,
            teacher,
            center,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
        )

    with x64():
        value, slopes = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(0.2, 0.04)
    np.testing.assert_allclose(value, reference.dino(student, teacher, center, 0.2, 0.04), rtol=1e-12)
    expected = numeric_gradient(lambda t: reference.dino(student, teacher, center, t, 0.04), np.array(0.2))
    np.testing.assert_allclose(slopes, (expected, 0.0), rtol=1e-6)


def test_dino_stays_finite_at_a_sharp_teacher():
    student, teacher = jnp.float32(50 * normal(0, 2, 3, 4)), jnp.float32(50 * normal(1, 2, 3, 4))

    def loss(student):
        return dino(student, teacher, jnp.zeros(4), teacher_temperature=0.01, student_temperature=0.01)

    value, gradient = jax.jit(jax.value_and_grad(loss))(student)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_dino_refuses_shapes_that_do_not_agree():
    with pytest.raises(ValueError, match="center"):
        dino(normal(0, 2, 3, 4), normal(1, 2, 3, 4), normal(2, 5))
    with pytest.raises(ValueError, match="student_logits"):
        dino(normal(0, 2, 3, 4), normal(1, 2, 2, 4), normal(2, 4))


def test_dino_center_is_a_moving_average_of_the_batch_mean():
    center, teacher = normal(0, 4), normal(1, 2, 3, 4)
    with x64():
        new = jax.jit(lambda c, t: dino_center(c, t, momentum=0.7))(center, teacher)
        slopes = jax.jit(jax.grad(lambda c, t: dino_center(c, t).sum(), argnums=(0, 1)))(center, teacher)
    np.testing.assert_allclose(new, 0.7 * center + 0.3 * teacher.reshape(-1, 4).mean(0), rtol=1e-12)
    for slope in slopes:
        np.testing.assert_array_equal(slope, 0.0)
    kept = jax.jit(lambda c, t, m: dino_center(c, t, momentum=m))(
        jnp.float32(center), jnp.bfloat16(teacher), jnp.float32(0.9)
    )
    assert kept.dtype == jnp.float32
    with pytest.raises(ValueError, match="momentum"):
        dino_center(center, teacher, momentum=1.1)


@pytest.mark.parametrize("scale", [1e4, 1e8, 1e20])
def test_large_logits_have_their_value_under_jit(scale):
    """A compiler joins division and subtraction; what that rounds away must not become an exponent above 0."""
    student, teacher = (np.float32(scale * normal(i, 2, 3, 64)) for i in (0, 1))
    center = np.float32(normal(2, 64))
    exact = lambda t, s: -sum(s[n, t[n].argmax()] - s[n].max() for n in range(3)) / 3
    far = np.mean([exact(np.float64(teacher[t]), np.float64(student[1 - t])) for t in (0, 1)]) / 0.1
    value, gradient = jax.jit(jax.value_and_grad(dino))(student, teacher, center)
    np.testing.assert_allclose(value, far, rtol=1e-4)
    assert np.isfinite(gradient).all()
    value, gradient = jax.jit(jax.value_and_grad(swav))(student)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_centre_in_half_precision_moves(dtype):
    center, teacher = jnp.ones(2, dtype), jnp.full((1, 3, 2), 2, dtype)
    for _ in range(10):
        center = dino_center(center, teacher, momentum=0.999)
    assert center.dtype == jnp.float32
    np.testing.assert_allclose(center, 2 - 0.999**10, rtol=1e-5)
