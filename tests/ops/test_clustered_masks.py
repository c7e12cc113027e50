"""Clustered masks: exact counts, squares, more neighbours than chance, all patches alike."""

import functools

import jax
import numpy as np
import pytest

from jaxssl.ops import clustered_mask_2d


@functools.cache
def draw(num_masked, grid, cluster, rows=2000):
    function = jax.jit(lambda key: clustered_mask_2d(key, rows, grid, num_masked, cluster=cluster))
    return np.asarray(function(jax.random.key(0))).reshape(rows, *grid)


@pytest.mark.parametrize("num_masked, grid", [(100, (8, 16)), (50, (8, 8)), (1, (4, 4)), (16, (4, 4)), (3, (1, 7))])
def test_exactly_so_many_patches_are_hidden(num_masked, grid):
    masked = draw(num_masked, grid, (3, 5))
    assert masked.dtype == bool and (masked.sum((1, 2)) == num_masked).all()


def neighbours(masked):
    """Mean share of hidden patches among the four neighbours of a hidden one."""
    padded = np.pad(masked.astype(float), ((0, 0), (1, 1), (1, 1)))
    inside = np.pad(np.ones(masked.shape), ((0, 0), (1, 1), (1, 1)))
    around = lambda a: a[:, :-2, 1:-1] + a[:, 2:, 1:-1] + a[:, 1:-1, :-2] + a[:, 1:-1, 2:]
    return (around(padded) / around(inside))[masked].mean()


def test_hidden_patches_lie_together():
    single, blocks = (neighbours(draw(100, (8, 16), cluster)) for cluster in ((1, 1), (3, 5)))
    assert single == pytest.approx(99 / 127, abs=0.01) and blocks > single + 0.02
    assert neighbours(draw(40, (8, 16), (3, 5))) > neighbours(draw(40, (8, 16), (1, 1))) + 0.2


def test_one_block_is_a_square_and_no_place_is_preferred():
    masked = draw(9, (10, 10), (3, 3), 20000)
    rows, columns = masked.any(2).sum(1), masked.any(1).sum(1)
    # A block that reaches over the border leaves some for a second one.
    whole = (rows == 3) & (columns == 3)
    assert np.mean(whole) > (8 / 12) ** 2 - 0.02
    share = masked.mean(0)
    np.testing.assert_allclose(share, 0.09, atol=0.012)


def test_rows_differ_and_a_key_repeats():
    masked = draw(50, (8, 8), (3, 5)).reshape(2000, -1)
    assert len(np.unique(masked, axis=0)) > 1990
    again = clustered_mask_2d(jax.random.key(0), 2000, (8, 8), 50, cluster=(3, 5))
    np.testing.assert_array_equal(masked, again)


@pytest.mark.parametrize(
    "num_masked, cluster, said", [(65, (3, 5), "num_masked=65"), (0, (3, 5), "num_masked"), (5, (3, 2), "cluster")]
)
def test_bad_sizes_are_named(num_masked, cluster, said):
    with pytest.raises(ValueError, match=said):
        clustered_mask_2d(jax.random.key(0), 2, (8, 8), num_masked, cluster=cluster)
