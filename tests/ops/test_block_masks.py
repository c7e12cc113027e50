"""Masks of consecutive blocks: their counts, their blocks, and the distribution of the published host code."""

import jax
import numpy as np
import pytest

from jaxssl.ops import multi_block_mask_1d

ROWS, LENGTH = 1000, 200


def runs(masked):
    """(start, length) of the hidden runs of one row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], masked.astype(int), [0]])))
    return list(zip(edges[::2], edges[1::2] - edges[::2]))


@pytest.fixture(scope="module")
def mask():
    return jax.tree.map(np.asarray, jax.jit(lambda k: multi_block_mask_1d(k, ROWS, LENGTH, 0.2))(jax.random.key(0)))


def test_keeps_exactly_as_many_and_hides_in_blocks(mask):
    np.testing.assert_array_equal((~mask.masked).sum(1), 40)
    for row in mask.masked:
        assert all(length >= 10 for _, length in runs(row))
    assert 1.5 < np.mean([len(runs(row)) for row in mask.masked]) < 6
    assert len(np.unique(mask.masked, axis=0)) > ROWS / 2


def test_ids_are_those_of_the_mask_in_rising_order(mask):
    assert mask.visible_ids.dtype == mask.hidden_ids.dtype == np.int32
    for row in range(0, ROWS, 50):
        np.testing.assert_array_equal(mask.visible_ids[row], np.flatnonzero(~mask.masked[row]))
        np.testing.assert_array_equal(mask.hidden_ids[row], np.flatnonzero(mask.masked[row]))


def by_hand(random, length, keep, min_block):
    """The same distribution, with a list of intervals on the host."""
    left, intervals = length - keep, [(0, length)]
    while left:
        sizes = np.array([b - a for a, b in intervals])
        a, b = intervals.pop(random.choice(len(sizes), p=sizes / sizes.sum()))
        size = random.integers(min_block, left + 1) if left >= min_block else left
        if size >= b - a:
            left -= b - a
            continue
        if left >= min_block:
            at = random.integers(a, b - size + 1)
        else:
            at = random.choice([place for place, open_ in ((a, a > 0), (b - size, b < length)) if open_])
        intervals += [(a, at), (at + size, b)]
        left -= size
    masked = np.ones(length, bool)
    for a, b in intervals:
        masked[a:b] = False
    return masked


def test_distribution_is_that_of_the_intervals():
    """How often each place is hidden, and the number of runs, against the code on the host."""
    count, length, keep, block = 4000, 20, 6, 3
    random = np.random.default_rng(0)
    expected = np.stack([by_hand(random, length, keep, block) for _ in range(count)])
    draw = jax.jit(lambda key: multi_block_mask_1d(key, count, length, keep / length, min_block=block).masked)
    found = np.asarray(draw(jax.random.key(1)))
    # Five standard deviations of the difference of two shares of `count` draws.
    np.testing.assert_allclose(found.mean(0), expected.mean(0), atol=5 * np.sqrt(0.5 / count))
    shares = [np.bincount([len(runs(row)) for row in m], minlength=6)[:6] / count for m in (found, expected)]
    np.testing.assert_allclose(*shares, atol=5 * np.sqrt(0.5 / count))


@pytest.mark.parametrize("length, ratio, block", [(4, 0.25, 10), (33, 0.15, 8)])
def test_odd_sizes(length, ratio, block):
    mask = jax.jit(lambda key: multi_block_mask_1d(key, 200, length, ratio, min_block=block))(jax.random.key(2))
    visible = int(np.ceil(round(ratio * length, 6)))
    assert mask.visible_ids.shape == (200, visible) and mask.hidden_ids.shape == (200, length - visible)
    np.testing.assert_array_equal((~np.asarray(mask.masked)).sum(1), visible)


def test_same_key_same_mask_and_bad_arguments():
    draw = jax.jit(lambda key: multi_block_mask_1d(key, 8, 50, 0.2, min_block=3).masked)
    first, again, other = (draw(jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    for ratio in (0, 1, 1.5):
        with pytest.raises(ValueError, match="keep_ratio"):
            multi_block_mask_1d(jax.random.key(0), 2, 10, ratio)
    with pytest.raises(TypeError, match="keep_ratio"):
        jax.jit(lambda r: multi_block_mask_1d(jax.random.key(0), 2, 10, r))(0.5)
    with pytest.raises(ValueError, match="min_block"):
        multi_block_mask_1d(jax.random.key(0), 2, 10, 0.5, min_block=0)
