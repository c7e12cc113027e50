from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import queue_push


@pytest.mark.parametrize("num", [2, 3, 5])
def test_is_first_in_first_out_also_when_it_wraps(num):
    queue, cursor = jnp.full((5, 2), -1.0), jnp.int32(0)
    expected = deque([-1.0] * 5, maxlen=5)
    push = jax.jit(queue_push)
    for step in range(7):
        rows = np.arange(num) + 10.0 * step
        queue, cursor = push(queue, cursor, np.stack([rows, rows], axis=1).astype(np.float32))
        expected.extend(rows)
        oldest_first = np.roll(np.asarray(queue), -int(cursor), axis=0)
        np.testing.assert_array_equal(oldest_first, np.stack([expected, expected], axis=1))
    assert cursor.dtype == jnp.int32 and cursor == 7 * num % 5


def test_keeps_dtypes_and_stops_the_gradient():
    queue, cursor = queue_push(jnp.zeros((4, 2)), jnp.int32(3), jnp.ones((2, 2), jnp.bfloat16))
    assert queue.dtype == jnp.float32 and cursor == 1

    def total(rows):
        return queue_push(jnp.zeros((4, 2)), jnp.int32(3), rows)[0].sum()

    slope = jax.grad(total)(jnp.ones((2, 2)))
    np.testing.assert_array_equal(slope, 0.0)


def test_bad_arguments():
    with pytest.raises(ValueError, match="queue of 4"):
        queue_push(jnp.zeros((4, 2)), jnp.int32(0), jnp.ones((5, 2)))
    with pytest.raises(ValueError, match="N, D"):
        queue_push(jnp.zeros((4, 2)), jnp.int32(0), jnp.ones((2, 3)))
    with pytest.raises(TypeError, match="cursor"):
        queue_push(jnp.zeros((4, 2)), jnp.float32(0), jnp.ones((2, 2)))
