"""Points in space: farthest point sampling and neighbours against loops, and what does not depend on the order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops import farthest_points, group_points, nearest_points

CLOUD = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)


def naive_farthest(x, num, start):
    chosen = [start]
    while len(chosen) < num:
        nearest = [min(((p - x[j]) ** 2).sum() for j in chosen) for p in x]
        chosen.append(int(np.argmax(nearest)))
    return chosen


def test_farthest_points_of_a_grid_by_hand():
    """A regular grid of 5 x 5: the corners first, then the middle, then the middles of the sides."""
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0), [0.0], indexing="ij"), -1).reshape(1, 25, 3)
    found = jax.jit(farthest_points, static_argnums=1, static_argnames="start")(np.float32(grid), 9, start=0)
    np.testing.assert_array_equal(found[0], naive_farthest(grid[0], 9, 0))
    np.testing.assert_array_equal(found[0, :5], [0, 24, 4, 20, 12])
    assert set(np.asarray(found[0, 5:]).tolist()) == {2, 10, 14, 22}


@pytest.mark.parametrize("start", [0, 17])
def test_farthest_points_match_loops(start):
    found = farthest_points(CLOUD, 12, start=start)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, [naive_farthest(x.astype(np.float64), 12, start) for x in CLOUD])


def test_without_a_start_the_points_do_not_depend_on_their_order():
    order = np.random.default_rng(1).permutation(40)
    take = lambda x: np.take_along_axis(x, np.asarray(farthest_points(x, 12))[..., None], axis=1)
    np.testing.assert_array_equal(take(CLOUD), take(CLOUD[:, order]))
    far = ((CLOUD - CLOUD.mean(1, keepdims=True)) ** 2).sum(-1).argmax(1)
    np.testing.assert_array_equal(farthest_points(CLOUD, 1)[:, 0], far)


def test_all_points_are_a_permutation_and_equal_points_do_no_harm():
    np.testing.assert_array_equal(np.sort(farthest_points(CLOUD, 40), axis=1), np.tile(np.arange(40), (3, 1)))
    same = np.ones((2, 6, 3), np.float32)
    centers, groups = group_points(same, 4, 3)
    np.testing.assert_array_equal(centers, 1)
    np.testing.assert_array_equal(groups, 0)
    assert farthest_points(CLOUD[:, :1], 1).shape == (3, 1)


def test_nearest_points_match_a_sort():
    query = np.random.default_rng(2).normal(size=(3, 5, 3)).astype(np.float32)
    found = nearest_points(query, CLOUD, 7)
    assert found.shape == (3, 5, 7) and found.dtype == jnp.int32
    distance = ((query[:, :, None] - CLOUD[:, None]) ** 2).sum(-1)
    np.testing.assert_array_equal(found, np.argsort(distance, axis=-1, kind="stable")[..., :7])


def test_near_points_far_from_the_origin_are_still_told_apart():
    cloud = np.float32([[[1000, 0, 0], [1000.01, 0, 0], [1000.03, 0, 0], [1000.1, 0, 0]]])
    np.testing.assert_array_equal(nearest_points(cloud[:, :1], cloud, 4)[0, 0], np.arange(4))


def test_groups_are_neighbours_relative_to_their_centre():
    centers, groups = jax.jit(group_points, static_argnums=(1, 2))(CLOUD, 6, 5)
    assert centers.shape == (3, 6, 3) and groups.shape == (3, 6, 5, 3)
    np.testing.assert_array_equal(groups[:, :, 0], 0)  # the centre is its own nearest point
    spread = np.linalg.norm(groups, axis=-1)
    assert (np.diff(spread, axis=-1) >= 0).all()
    distance = np.linalg.norm(np.asarray(centers)[:, :, None] - CLOUD[:, None], axis=-1)
    np.testing.assert_allclose(spread, np.sort(distance, axis=-1)[..., :5], rtol=1e-4, atol=1e-6)


def test_no_gradient_through_the_choice_but_through_the_points():
    through = jax.grad(lambda x: group_points(x, 6, 5)[1].sum())(jnp.asarray(CLOUD))
    assert np.isfinite(through).all() and np.abs(through).max() > 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="num=41"):
        farthest_points(CLOUD, 41)
    with pytest.raises(ValueError, match="start=40"):
        farthest_points(CLOUD, 2, start=40)
    with pytest.raises(ValueError, match="num=41: .*neighbours"):
        nearest_points(CLOUD, CLOUD, 41)
    with pytest.raises(ValueError, match="3 axes"):
        farthest_points(CLOUD[0], 2)
    with pytest.raises(TypeError, match="floating"):
        nearest_points(CLOUD.astype(int), CLOUD, 2)
