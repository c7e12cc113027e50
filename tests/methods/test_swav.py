"""SwAV's queue against the published procedure in float64: what it holds, when it is used, what it changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.core import State, make_update
from jaxssl.losses import swav as swav_loss
from jaxssl.methods.swav import swav
from jaxssl.models.convnet import convnet
from jaxssl.optim import make_optimizer

N, K, DIM, SIZE, START = 4, 6, 5, 12, 2
OPTIONS = dict(hidden_dims=(7,), dim=DIM, num_prototypes=K)


def views(step):
    return tuple(jnp.asarray(np.random.default_rng(step).normal(size=(2, N, 6, 6, 1)), jnp.float32))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def codes(scores, epsilon=0.05, num_iters=3):
    """Of the published code: prototypes to equal shares, examples to one, in turn."""
    q = np.exp(scores.T / epsilon)
    q /= q.sum()
    for _ in range(num_iters):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def published(z, kernel, queue, temperature=0.1):
    """The loss of two crops z [2, N, D] with queues [2, M, D]."""
    prototypes, total = unit(kernel.T), 0.0
    scores = unit(z) @ prototypes.T
    logits = scores / temperature
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for crop in range(2):
        q = codes(np.concatenate([queue[crop] @ prototypes.T, scores[crop]]))[-N:]
        total -= (q * log_p[1 - crop]).sum(-1).mean()
    return total / 2


def start(**options):
    method = swav(convnet(widths=(4,), strides=(2,)), **OPTIONS, **options)
    return method, *jax.jit(method.init)(jax.random.key(0), {"views": views(0)})


def test_the_queue_is_filled_used_when_full_and_replaced_in_turn():
    method, params, memory = start(queue_size=SIZE, queue_start=START)
    assert memory["queue"].shape == (2, SIZE, DIM) and not memory["queue"].any()
    loss = jax.jit(method.loss)
    kernel = np.asarray(params["prototypes"]["kernel"], np.float64)
    remembered = [np.zeros((0, DIM)), np.zeros((0, DIM))]
    differ = []
    for step in range(10):
        value, (memory, _, watch) = loss(params, memory, {"views": views(step)}, jax.random.key(1), jnp.int32(step))
        z = np.asarray(watch.projections, np.float64)
        full = len(remembered[0]) == SIZE
        assert full == (step >= START + SIZE // N)
        used = remembered if full else [np.zeros((0, DIM))] * 2
        np.testing.assert_allclose(value, published(z, kernel, used), rtol=1e-5)
        differ.append(full and not np.isclose(value, published(z, kernel, [np.zeros((0, DIM))] * 2), rtol=1e-4))
        if step >= START:
            remembered = [np.concatenate([r, unit(z[c])])[-SIZE:] for c, r in enumerate(remembered)]
        for crop in range(2):
            rows = np.asarray(memory["queue"][crop], np.float64)
            held = rows[np.abs(rows).sum(1) > 0]
            order = lambda a: a[np.argsort(a[:, 0])]
            np.testing.assert_allclose(order(held), order(remembered[crop]), atol=1e-6)
    assert any(differ)


def test_a_queue_that_is_no_multiple_of_the_batch_is_used_once_every_row_is_written():
    method, params, memory = start(queue_size=9)
    plain, _, plain_memory = start()
    loss, plain_loss = jax.jit(method.loss), jax.jit(plain.loss)
    same = []
    for step in range(5):
        rest = {"views": views(step)}, jax.random.key(1), jnp.int32(step)
        value, (memory, *_) = loss(params, memory, *rest)
        expected, (plain_memory, *_) = plain_loss(params, plain_memory, *rest)
        same.append(bool(np.isclose(value, expected, rtol=1e-6)))
    assert same == [True] * 3 + [False] * 2


def test_the_codes_are_constants_of_the_gradient_with_a_queue_too():
    scores = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, size=(2, N, K)), jnp.float32)
    queue = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, size=(2, SIZE, K)), jnp.float32)
    gradient = jax.grad(lambda q: swav_loss(scores, queue_scores=q))(queue)
    np.testing.assert_array_equal(gradient, 0)
    fixed = [codes(np.concatenate([queue[c], scores[c]]).astype(np.float64))[-N:] for c in range(2)]
    p = jax.nn.softmax(scores / 0.1)
    expected = np.stack([p[1 - c] - fixed[c] for c in range(2)])[::-1] / (0.1 * 2 * N)
    np.testing.assert_allclose(jax.grad(lambda s: swav_loss(s, queue_scores=queue))(scores), expected, atol=1e-5)


def test_queues_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="method.queue_size=3: must be 0 or at least the batch size 4"):
        start(queue_size=3)
    for wrong in (dict(queue_size=-1), dict(queue_start=-1)):
        with pytest.raises(ValueError, match="must be at least 0"):
            swav(convnet(widths=(4,), strides=(2,)), **OPTIONS, **wrong)
    scores = jnp.zeros((2, N, K))
    for shape in ((1, SIZE, K), (2, SIZE, K + 1)):
        with pytest.raises(ValueError, match="queue_scores .* must agree in V and K"):
            swav_loss(scores, queue_scores=jnp.zeros(shape))


def test_prototypes_rest_under_weight_decay_and_then_move_at_most_by_the_rate():
    method, params, memory = start(freeze_steps=3)
    recipe = dict(name="adamw", learning_rate=0.01, total_steps=9, batch_size=N, schedule="constant")
    tx = make_optimizer(**recipe, weight_decay=0.1, exclude="", rests=method.rests)
    update = jax.jit(make_update(method, lambda key, batch: batch, tx, jax.random.key(0)))
    state = State(jnp.int32(0), params, tx.init(params), memory)
    moved = []
    for step in range(6):
        before = state.params["prototypes"]["kernel"]
        state, _ = update(state, {"views": views(step)})
        moved.append(float(jnp.abs(state.params["prototypes"]["kernel"] - before).max()))
    assert moved[:3] == [0, 0, 0]
    # Adam's own first steps may pass the rate by less than a hundredth; and there is the decay.
    assert all(0 < step <= 0.01 * (1.01 + 0.1 * float(jnp.abs(before).max())) for step in moved[3:]), moved


def test_without_a_queue_memory_holds_none():
    _, _, memory = start()
    assert set(memory) == {"stats"}
