"""The index stream: permutations, exact positions, the same ids in NumPy and under jit, processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data.index_stream import batch_ids, group_ids, groups_of, mixed_ids, process_slice, stream_position
from jaxssl.data.permutation import permutation


def whole_epoch(seed, epoch, size):
    epochs = np.full(size, epoch, np.uint32)
    return permutation(seed, epochs, np.arange(size, dtype=np.uint32), size=size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 10, 16, 17, 64, 65, 1000, 12345, 65536, 65537])
def test_every_epoch_is_a_permutation(size):
    for epoch in (0, 1, 7, 2**32 - 1):
        np.testing.assert_array_equal(np.sort(whole_epoch(3, epoch, size)), np.arange(size))


def test_the_largest_size_stays_inside_and_does_not_collide():
    size = 2**31 - 1
    positions = np.r_[0:5000, size - 5000 : size].astype(np.uint32)
    ids = permutation(0, np.zeros(10000, np.uint32), positions, size=size)
    assert ids.max() < size and len(np.unique(ids)) == 10000


def test_epochs_and_seeds_differ():
    seeds = (0, 1, 2, 2**31, 2**32, 2**32 + 1, 2**40)
    epochs = [whole_epoch(seed, epoch, 1000) for seed in seeds for epoch in range(5)]
    for i, a in enumerate(epochs):
        for b in epochs[:i]:
            assert (a == b).sum() < 12  # two random permutations agree in one place on average


@pytest.mark.parametrize("size", [2, 5, 10, 40])
def test_over_many_epochs_every_place_holds_every_example_equally_often(size):
    count = 20000
    epoch = np.repeat(np.arange(count, dtype=np.uint32), size)
    position = np.tile(np.arange(size, dtype=np.uint32), count)
    table = np.zeros((size, size))
    np.add.at(table, (position, permutation(11, epoch, position, size=size)), 1)
    chi2 = ((table - count / size) ** 2 / (count / size)).sum()
    free = (size - 1) ** 2
    assert abs(chi2 - free) < 5 * np.sqrt(2 * free)


def test_neighbours_of_one_epoch_are_unrelated():
    ids = whole_epoch(0, 0, 50000).astype(float)
    for lag in (1, 2, 3, 256):
        assert abs(np.corrcoef(ids[:-lag], ids[lag:])[0, 1]) < 0.02
    assert abs(np.corrcoef(ids, np.arange(50000))[0, 1]) < 0.02
    assert abs((ids % 2).mean() - 0.5) < 1e-9


def test_all_orders_of_three_examples_occur_equally_often():
    count = 12000
    orders = permutation(
        5, np.repeat(np.arange(count, dtype=np.uint32), 3), np.tile(np.arange(3, dtype=np.uint32), count), size=3
    ).reshape(count, 3)
    frequency = np.unique(orders @ [9, 3, 1], return_counts=True)[1]
    assert len(frequency) == 6 and abs(frequency - 2000).max() < 5 * np.sqrt(2000)


@pytest.mark.parametrize(
    "batch_size, size", [(256, 10000), (7, 3), (2**20, 2**31 - 1), (2**20, 1), (1, 2**31 - 1), (4096, 1281167)]
)
def test_positions_equal_python_integers(batch_size, size):
    steps = [0, 1, 2, 39, 65535, 65536, 2**24 + 1, 2**31 - 2, 2**31 - 1]
    position = jax.vmap(lambda step: stream_position(step, batch_size=batch_size, size=size, xp=jnp))
    epochs, offsets = jax.jit(position)(jnp.array(steps, jnp.int32))
    for step, epoch, offset in zip(steps, epochs.tolist(), offsets.tolist()):
        exact = divmod(step * batch_size, size)
        assert (epoch, offset) == (exact[0] % 2**32, exact[1])
        assert stream_position(step, batch_size=batch_size, size=size) == (epoch, offset)


@pytest.mark.parametrize("batch_size, size", [(256, 10000), (7, 3), (33, 1), (16, 2**31 - 1)])
def test_numpy_and_jit_give_the_same_ids(batch_size, size):
    compiled = jax.jit(lambda step: batch_ids(42, step, batch_size=batch_size, size=size, xp=jnp))
    for step in (0, 5, 39, 40, 123456, 2**31 - 1):
        expected = batch_ids(42, step, batch_size=batch_size, size=size)
        assert expected.dtype == np.int64 and expected.shape == (batch_size,)
        actual = compiled(step)
        assert actual.dtype == jnp.int32
        np.testing.assert_array_equal(actual, expected)


def test_batches_walk_through_whole_epochs():
    size, batch_size = 30, 12  # batches straddle the epochs
    ids = np.concatenate([batch_ids(1, step, batch_size=batch_size, size=size) for step in range(10)])
    for epoch in range(4):
        np.testing.assert_array_equal(ids[epoch * size : (epoch + 1) * size], whole_epoch(1, epoch, size))


@pytest.mark.filterwarnings("error")
def test_numpy_gives_no_overflow_warnings():
    batch_ids(2**63, 2**31 - 1, batch_size=2**10, size=1)


def test_processes_partition_the_batch():
    ids = batch_ids(0, 3, batch_size=24, size=100)
    for count in (1, 2, 3, 8, 24):
        parts = [process_slice(ids, i, count) for i in range(count)]
        assert {len(part) for part in parts} == {24 // count}
        np.testing.assert_array_equal(np.concatenate(parts), ids)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: process_slice(np.arange(10), 0, 3), "batch_size=10: cannot be divided among 3 processes"),
        (lambda: process_slice(np.arange(10), 2, 2), "process_index=2: must"),
        (lambda: batch_ids(0, 0, batch_size=0, size=5), "batch_size=0: must"),
        (lambda: batch_ids(0, 0, batch_size=2**20 + 1, size=5), "batch_size=1048577: must"),
        (lambda: batch_ids(0, 0, batch_size=4, size=0), "size=0: must"),
        (lambda: batch_ids(0, 0, batch_size=4, size=2**31), "size=2147483648: must"),
        (lambda: batch_ids(0, -1, batch_size=4, size=5), "step=-1: must"),
        (lambda: batch_ids(-1, 0, batch_size=4, size=5), "seed=-1: must"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def stream(steps, function, **options):
    return np.concatenate([function(7, step, **options) for step in steps])


def test_the_plain_stream_is_the_one_of_version_0_1():
    """Ids recorded before repeats, strata and order were there."""
    assert batch_ids(42, 39, batch_size=8, size=100).tolist() == [24, 55, 65, 26, 29, 54, 69, 81]
    assert batch_ids(0, 2**31 - 1, batch_size=8, size=12345).tolist() == [
        6539,
        3265,
        6981,
        7178,
        5030,
        12246,
        4760,
        11421,
    ]


def test_repeats_stand_side_by_side():
    plain = stream(range(15), batch_ids, batch_size=4, size=20)
    repeated = stream(range(15), batch_ids, batch_size=12, size=20, repeats=3)
    np.testing.assert_array_equal(repeated, np.repeat(plain, 3))


def test_strata_one_of_each_and_each_example_once_an_epoch():
    ids = stream(range(20), batch_ids, batch_size=15, size=60, strata=5)
    assert (ids.reshape(-1, 5) % 5 == np.arange(5)).all()
    for epoch in range(5):
        np.testing.assert_array_equal(np.sort(ids[60 * epoch : 60 * (epoch + 1)]), np.arange(60))
    walks = ids.reshape(5, 12, 5).transpose(0, 2, 1).reshape(25, 12) // 5
    assert len({tuple(walk) for walk in walks}) == 25  # every stratum of every epoch has an order of its own


def test_the_order_takes_the_places_of_the_ids():
    order = np.array([5, 5, 9, 2, 700])
    ids = stream(range(5), batch_ids, batch_size=3, size=5, order=order)
    np.testing.assert_array_equal(ids, order[stream(range(5), batch_ids, batch_size=3, size=5)])


SIZES = (2, 4, 6, 40, 128)
GROUP = np.random.default_rng(0).permutation(np.repeat(np.arange(5), SIZES))


def test_groups_come_together_and_each_example_once_an_epoch():
    ids = np.arange(180) * 3
    members = groups_of(GROUP, ids, 2)
    drawn = stream(range(30), group_ids, batch_size=12, members=members, per_group=2)
    pairs = drawn.reshape(-1, 2) // 3
    assert (GROUP[pairs[:, 0]] == GROUP[pairs[:, 1]]).all() and (pairs[:, 0] != pairs[:, 1]).all()
    first, second = drawn[:180], drawn[180:]
    np.testing.assert_array_equal(np.sort(first), ids)
    np.testing.assert_array_equal(np.sort(second), ids)
    assert len({frozenset(p) for p in pairs[:90].tolist()} & {frozenset(p) for p in pairs[90:].tolist()}) < 10


def test_what_is_left_of_a_group_is_filled_up():
    members = groups_of(np.array([0, 0, 0, 1, 1]), np.arange(5), 2)
    for epoch in range(20):
        drawn = stream(range(3 * epoch, 3 * epoch + 3), group_ids, batch_size=2, members=members, per_group=2)
        counts = np.bincount(drawn, minlength=5)
        assert counts[:3].sum() == 4 and counts[:3].min() == 1 and (counts[3:] == 1).all()


def test_parts_are_mixed_in_fixed_numbers():
    few, many = np.array([3, 50, 51]), np.arange(4, 44)
    drawn = stream(range(30), mixed_ids, counts=(2, 4), parts=(few, many)).reshape(30, 6)
    assert np.isin(drawn[:, :2], few).all() and np.isin(drawn[:, 2:], many).all()
    for part, columns in ((few, drawn[:, :2]), (many, drawn[:, 2:])):
        for epoch in columns.reshape(-1)[: 60 // len(part) * len(part)].reshape(-1, len(part)):
            np.testing.assert_array_equal(np.sort(epoch), part)


@pytest.mark.parametrize("step", [0, 1, 999, 10**6, 2**31 - 1])
def test_all_streams_are_the_same_under_jit(step):
    order = np.random.default_rng(1).integers(0, 1000, 60)
    members = groups_of(GROUP, np.arange(180), 2)
    parts = (np.arange(7), np.arange(7, 100))
    streams = {
        "repeats, strata, order": lambda step, order, members, parts, xp: batch_ids(
            7, step, batch_size=30, size=60, repeats=2, strata=5, order=order, xp=xp
        ),
        "groups": lambda step, order, members, parts, xp: group_ids(
            7, step, batch_size=12, members=members, per_group=2, xp=xp
        ),
        "parts": lambda step, order, members, parts, xp: mixed_ids(7, step, counts=(3, 5), parts=parts, xp=xp),
    }
    arrays = (order, members, parts)
    on_device = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), arrays)
    for name, function in streams.items():
        expected = function(step, *arrays, np)
        actual = jax.jit(lambda step, arrays: function(step, *arrays, jnp))(step, on_device)
        assert expected.dtype == np.int64 and actual.dtype == jnp.int32, name
        np.testing.assert_array_equal(actual, expected, err_msg=name)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 64, 65, 1000])
def test_sizes_given_as_an_array_are_the_same_permutations(size):
    epochs, positions = np.full(size, 9, np.uint32), np.arange(size, dtype=np.uint32)
    many = permutation(3, epochs, positions, size=np.full(size, size, np.uint32))
    np.testing.assert_array_equal(many, permutation(3, epochs, positions, size=size))


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: batch_ids(0, 0, batch_size=100, size=50, repeats=3),
            "batch_size=100: must be a multiple of repeats=3",
        ),
        (lambda: batch_ids(0, 0, batch_size=100, size=60, strata=3), "batch_size=100: must be a multiple of strata=3"),
        (lambda: batch_ids(0, 0, batch_size=6, size=6, strata=3, repeats=6), "multiple of 18"),
        (lambda: batch_ids(0, 0, batch_size=6, size=50, strata=3), "size=50: must be a multiple of strata=3"),
        (lambda: batch_ids(0, 0, batch_size=6, size=50, repeats=0), "repeats=0: must be at least 1"),
        (lambda: groups_of(np.array([0, 0, 1]), np.arange(3), 2), "per_group=2: group 1 has only 1 examples"),
        (
            lambda: group_ids(0, 0, batch_size=32, members=groups_of(GROUP, np.arange(180), 2), per_group=5),
            "batch_size=32: must be a multiple of per_group=5",
        ),
    ],
)
def test_batches_that_do_not_fit_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
