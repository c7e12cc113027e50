"""Banks: a row for every example, written by index."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxssl.ops import bank_take, bank_update

P = PartitionSpec


def naive(bank, index, rows, momentum):
    """Row after row in float64; of an index that occurs twice the last row counts, and meets the bank of before."""
    result = np.array(bank, np.float64)
    for i, row in zip(index, np.asarray(rows, np.float64)):
        if i >= 0:
            result[i] = momentum * np.asarray(bank, np.float64)[i] + (1 - momentum) * row
    return result


def drawn(size, num, shape=(5,), seed=0):
    random = np.random.default_rng(seed)
    bank, rows = random.normal(size=(size, *shape)), random.normal(size=(num, *shape))
    return np.float32(bank), random.integers(-1, size, num).astype(np.int32), np.float32(rows)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size, num, shape", [(50, 8, (5,)), (3, 64, (2, 3)), (20, 30, ()), (1, 1, (4,))])
def test_against_a_loop(size, num, shape, momentum):
    bank, index, rows = drawn(size, num, shape)
    expected = naive(bank, index, rows, momentum)
    found = jax.jit(bank_update)(bank, index, rows, momentum=momentum)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    untouched = np.setdiff1d(np.arange(size), index)
    np.testing.assert_array_equal(np.asarray(found)[untouched], bank[untouched])


def test_of_an_index_that_occurs_twice_the_last_row_counts():
    bank, rows = np.zeros((4, 1), np.float32), np.arange(1.0, 7.0, dtype=np.float32)[:, None]
    found = bank_update(bank, np.array([2, 0, 2, 2, 0, -1]), rows)
    assert found[:, 0].tolist() == [5, 0, 4, 0]


def test_the_index_minus_one_is_left_out():
    bank, index, rows = drawn(6, 3)
    np.testing.assert_array_equal(bank_update(bank, np.array([-1, -1, -1]), rows), bank)
    taken = bank_take(bank, np.array([-1, 5, 0]))
    np.testing.assert_array_equal(taken, np.stack([np.zeros(5, np.float32), bank[5], bank[0]]))


@pytest.mark.parametrize("where", [P(), P("data")], ids=["replicated bank", "sharded bank"])
def test_one_device_is_eight_devices(where):
    bank, index, rows = drawn(16, 64)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
    update = jax.jit(lambda *args: bank_update(*args, momentum=0.3), out_shardings=NamedSharding(mesh, where))
    eight = update(put(bank, where), put(index, P("data")), put(rows, P("data")))
    one = jax.jit(lambda *args: bank_update(*args, momentum=0.3))(bank, index, rows)
    np.testing.assert_array_equal(eight, one)
    taken = jax.jit(bank_take)(put(bank, where), put(index, P("data")))
    np.testing.assert_array_equal(taken, jax.jit(bank_take)(bank, index))


def test_nothing_has_a_gradient():
    bank, index, rows = drawn(6, 4)
    total = lambda bank, rows: jnp.sum(bank_take(bank_update(bank, index, rows), index) ** 2)
    for gradient in jax.grad(total, argnums=(0, 1))(bank, rows):
        assert not np.any(gradient)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_small_floats_are_averaged_in_float32(dtype):
    bank, index, rows = drawn(9, 12)
    found = bank_update(bank.astype(dtype), index, rows, momentum=0.9)
    assert found.dtype == dtype
    expected = naive(np.asarray(bank.astype(dtype), np.float32), index, rows, 0.9)
    np.testing.assert_allclose(np.asarray(found, np.float32), expected, rtol=float(jnp.finfo(dtype).eps), atol=1e-4)


def test_a_bank_of_integers():
    found = bank_update(np.arange(4), np.array([3, 1]), np.array([2**30 + 1, 7]))
    assert found.tolist() == [0, 7, 2, 2**30 + 1]
    with pytest.raises(TypeError, match="momentum=.*: must be 0 for a bank of int32"):
        bank_update(np.arange(4), np.array([3]), np.array([7]), momentum=0.5)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda b, i, r: bank_take(b, i[:, None]), ValueError, r"index must be \[N\]"),
        (lambda b, i, r: bank_take(b, i / 2), TypeError, "index must be integers, got float"),
        (lambda b, i, r: bank_take(b[:0], i), ValueError, "bank must have a row for each example"),
        (lambda b, i, r: bank_update(b, i, r[:, :2]), ValueError, r"rows must be \[3, 5\], .* got shape \(3, 2\)"),
        (lambda b, i, r: bank_update(b, i, r, momentum=1.5), ValueError, r"momentum=1.5: must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(*drawn(6, 3))


def test_the_update_writes_in_place():
    """No copy of the bank, whatever its size, when it is donated."""
    shapes = [jax.ShapeDtypeStruct(s, d) for s, d in (((4096, 64), "float32"), ((8,), "int32"), ((8, 64), "float32"))]
    compiled = jax.jit(bank_update, donate_argnums=0).lower(*shapes).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes == 4096 * 64 * 4 and memory.temp_size_in_bytes < 4096 * 64 * 2
