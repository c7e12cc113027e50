"""What ECG-JEPA and ColloSSL promise beyond the contract: what is stopped, what is hidden, which sign and which rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.methods.collossl import collossl, other_rows
from jaxssl.methods.ecg_jepa import ecg_jepa
from jaxssl.models.series import convnet, vit

STEP = jnp.zeros((), jnp.int32)


@pytest.fixture(scope="module")
def ecg():
    encoder = vit(patch_size=5, embed_dim=8, depth=1, num_heads=2)
    options = dict(keep_ratio=0.3, min_block=2, predictor_dim=4, predictor_depth=1, predictor_heads=2)
    method = ecg_jepa(encoder, momentum=0.9, momentum_end=1.0, momentum_steps=10, **options)
    batch = {"views": np.random.default_rng(0).normal(size=(1, 6, 50, 2)).astype(np.float32)}
    return method, batch, *jax.jit(method.init)(jax.random.key(0), batch)


def test_no_gradient_reaches_the_teacher_and_it_follows_along_a_line(ecg):
    method, batch, params, memory = ecg
    through = jax.jit(jax.grad(lambda m: method.loss(params, m, batch, jax.random.key(1), STEP)[0], allow_int=True))
    assert all((g == 0).all() for g in jax.tree.leaves(through(memory)["teacher"]))
    moved = jax.tree.map(lambda p: p + 1, params)
    follow = jax.jit(method.after)
    for step, m in ((0, 0.9), (5, 0.95), (10, 1.0), (99, 1.0)):
        after = follow(moved, memory, jnp.asarray(step))
        for new, old in zip(jax.tree.leaves(after["teacher"]), jax.tree.leaves(memory["teacher"])):
            np.testing.assert_allclose(new - old, 1 - m, atol=1e-5)


def test_the_teacher_sees_all_and_the_student_what_is_left(ecg):
    """A predictor that sees all would have a loss that depends on everything; here masks change the loss."""
    method, batch, params, memory = ecg
    loss = jax.jit(lambda key: method.loss(params, memory, batch, key, STEP)[0])
    values = [float(loss(jax.random.key(k))) for k in range(3)]
    assert len(set(values)) == 3 and values[0] == float(loss(jax.random.key(0)))
    with pytest.raises(TypeError, match="models.series.vit"):
        ecg_jepa(convnet())


@pytest.mark.parametrize("n", [2, 3, 17])
def test_no_negative_keeps_its_time(n):
    draw = jax.jit(jax.vmap(lambda key: other_rows(key, n)))
    rows = np.asarray(draw(jax.random.split(jax.random.key(0), 200)))
    assert (rows != np.arange(n)).all()
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(n), (200, 1)))
    assert len(np.unique(rows[:, 0])) == n - 1


@pytest.fixture(scope="module")
def sensors():
    random = np.random.default_rng(0)
    base = random.normal(size=(8, 30, 3)).astype(np.float32)
    far = 3 * random.normal(size=(8, 30, 3)).astype(np.float32)
    views = np.stack([base, far, base + 0.01 * random.normal(size=base.shape).astype(np.float32)])
    return {"views": tuple(views), "x": views.swapaxes(0, 1)}


def test_the_closest_sensor_is_the_positive_one(sensors):
    """Sensor 2 is nearly the anchor: with it as the positive the loss is small from the start, with sensor 1 it is not."""
    encoder = convnet(widths=(8,), kernel_sizes=(5,), dropout=0.0)
    method = collossl(encoder, policy="closest_only", weighted=False, hidden_dims=(16,), dim=8, temperature=0.05)
    params, memory = jax.jit(method.init)(jax.random.key(0), sensors)
    loss = jax.jit(lambda views: method.loss(params, memory, {"views": views}, jax.random.key(1), STEP)[0])
    near = float(loss(sensors["views"]))
    only_far = sensors["views"][:2]
    assert near < 0.5 * float(loss(only_far))


def test_features_are_those_of_all_sensors(sensors):
    method = collossl(convnet(widths=(8,), kernel_sizes=(5,)), anchor=None, hidden_dims=(16,), dim=4)
    params, memory = jax.jit(method.init)(jax.random.key(0), sensors)
    predict = jax.jit(method.predict)
    found = predict(params, memory, sensors)["features"]
    assert found.shape == (8, 24)
    apart = [predict(params, memory, {"x": sensors["x"][:, v : v + 1]})["features"] for v in range(3)]
    np.testing.assert_allclose(found, np.concatenate(apart, axis=1), rtol=1e-5)
    with pytest.raises(ValueError, match="two sensors"):
        method.loss(params, memory, {"views": sensors["views"][:1]}, jax.random.key(0), STEP)
