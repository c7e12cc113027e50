"""Places of two views that show the same: against closed forms, loops, and a picture of coordinates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.augment.resample import crop_and_resize

WHOLE = np.float32([[0, 0, 28, 28]])
STRAIGHT, MIRRORED = np.array([False]), np.array([True])


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_centres_of_the_whole_image_and_of_its_mirror_image():
    centres = np.asarray(ops.patch_centres(WHOLE, STRAIGHT, (2, 4)))
    rows, columns = [7.0, 21.0], [3.5, 10.5, 17.5, 24.5]
    np.testing.assert_array_equal(centres[0], [(y, x) for y in rows for x in columns])
    mirrored = np.asarray(ops.patch_centres(WHOLE, MIRRORED, (2, 4)))
    np.testing.assert_array_equal(mirrored[0], [(y, x) for y in rows for x in columns[::-1]])


def test_centres_of_a_crop_lie_inside_it_at_its_own_scale():
    centres = np.asarray(ops.patch_centres(np.float32([[4, 8, 6, 12]]), STRAIGHT, (3, 2)))
    np.testing.assert_array_equal(centres[0], [(y, x) for y in (5.0, 7.0, 9.0) for x in (11.0, 17.0)])


@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True), (True, True)])
def test_a_picture_of_coordinates_shows_the_centres(flips):
    """Each cell of a crop, drawn as the augmentation draws it, shows the coordinates that `patch_centres` gives."""
    size, grid = 64, (4, 4)
    along = (np.arange(size) + 0.5) / size
    picture = np.stack([*np.meshgrid(along, along, indexing="ij"), np.zeros((size, size))], -1).astype(np.float32)
    boxes = np.float32([[8, 16, 32, 40], [20, 4, 24, 56]])
    for box, flip in zip(boxes, flips):
        view = crop_and_resize(picture, box, grid, flip=flip)[..., :2].reshape(-1, 2) * size
        centres = ops.patch_centres(box[None], np.array([flip]), grid)[0]
        np.testing.assert_allclose(view, centres, atol=0.5)


def matches(box1, flip1, box2, flip2, grid=(4, 4)):
    centres = [ops.patch_centres(np.float32([b]), np.array([f]), grid) for b, f in ((box1, flip1), (box2, flip2))]
    ids, distances = ops.nearest_by_position(*centres)
    return np.asarray(ids)[0], np.asarray(distances)[0]


def test_equal_crops_match_cell_by_cell_and_mirrored_ones_column_by_column():
    cells = np.arange(16).reshape(4, 4)
    for flip in (False, True):
        ids, distances = matches((2, 3, 16, 20), flip, (2, 3, 16, 20), flip)
        np.testing.assert_array_equal(ids, cells.ravel())
        np.testing.assert_allclose(distances, 0, atol=1e-5)
    ids, distances = matches((2, 3, 16, 20), False, (2, 3, 16, 20), True)
    np.testing.assert_array_equal(ids, cells[:, ::-1].ravel())
    np.testing.assert_allclose(distances, 0, atol=1e-5)


def test_a_shift_by_one_cell_matches_the_next_cell():
    ids, distances = matches((0, 0, 16, 16), False, (0, 4, 16, 16), False)
    found = ids.reshape(4, 4)
    np.testing.assert_array_equal(found[:, 1:], np.arange(16).reshape(4, 4)[:, :-1])
    np.testing.assert_array_equal(distances.reshape(4, 4)[:, 1:], 0)
    np.testing.assert_array_equal(distances.reshape(4, 4)[:, 0], 4)


def test_crops_that_do_not_overlap_match_at_their_facing_sides_and_say_how_far():
    ids, distances = matches((0, 0, 8, 8), False, (0, 20, 8, 8), False)
    np.testing.assert_array_equal(ids.reshape(4, 4), np.arange(4)[:, None] * 4 + np.zeros(4, int))
    np.testing.assert_array_equal(distances.reshape(4, 4), np.tile([20.0, 18.0, 16.0, 14.0], (4, 1)))
    best = ops.best_matches(ids[None], distances[None], 4)
    np.testing.assert_array_equal(best.ids1[0], [3, 7, 11, 15])
    np.testing.assert_array_equal(best.ids2[0], [0, 4, 8, 12])
    np.testing.assert_array_equal(best.distances[0], 14)


def test_views_may_have_grids_of_their_own():
    centres1 = ops.patch_centres(WHOLE, STRAIGHT, (7, 7))
    centres2 = ops.patch_centres(WHOLE, STRAIGHT, (1, 1))
    ids, distances = ops.nearest_by_position(centres1, centres2)
    assert not np.any(ids) and distances[0, 24] == 0
    ids, distances = ops.nearest_by_position(centres2, centres1)
    assert ids.tolist() == [[24]] and distances.tolist() == [[0.0]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_nearest_features_match_loops(metric):
    h1, h2 = random(0, 3, 5, 4), random(1, 3, 6, 4)
    ids, distances = jax.jit(ops.nearest_by_feature, static_argnames="metric")(h1, h2, metric=metric)
    assert ids.dtype == jnp.int32
    for n in range(3):
        for i, a in enumerate(h1[n].astype(np.float64)):
            if metric == "cosine":
                all_of = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in h2[n].astype(np.float64)]
            else:
                all_of = [np.linalg.norm(a - b) for b in h2[n].astype(np.float64)]
            assert ids[n, i] == np.argmin(all_of)
            np.testing.assert_allclose(distances[n, i], min(all_of), rtol=1e-4, atol=1e-6)


def test_length_and_place_of_the_features():
    """The cosine knows no length; the distance knows no common shift, however far."""
    h1, h2 = random(0, 2, 5, 4), random(1, 2, 6, 4)
    ids, _ = ops.nearest_by_feature(h1, h2)
    np.testing.assert_array_equal(ops.nearest_by_feature(3 * h1, 0.1 * h2)[0], ids)
    shift = np.float32(2**10)
    h1, h2 = np.round(64 * h1) / 64, np.round(64 * h2) / 64
    near = ops.nearest_by_feature(h1, h2, metric="euclidean")
    far = ops.nearest_by_feature(h1 + shift, h2 + shift, metric="euclidean")
    np.testing.assert_array_equal(near[0], far[0])
    np.testing.assert_allclose(near[1], far[1], rtol=1e-3)


def test_a_permutation_is_found():
    h = random(0, 2, 9, 16)
    order = np.random.default_rng(3).permutation(9)
    ids, distances = ops.nearest_by_feature(h, h[:, order])
    np.testing.assert_array_equal(order[np.asarray(ids)], np.tile(np.arange(9), (2, 1)))
    np.testing.assert_allclose(distances, 0, atol=1e-6)


def test_best_matches_match_loops():
    distances, ids = np.abs(random(0, 3, 7)), np.random.default_rng(1).integers(0, 5, (3, 7))
    found = jax.jit(ops.best_matches, static_argnums=2)(ids, distances, 3)
    for n in range(3):
        best = sorted(np.argsort(distances[n], kind="stable")[:3])
        np.testing.assert_array_equal(found.ids1[n], best)
        np.testing.assert_array_equal(found.ids2[n], ids[n][best])
        np.testing.assert_array_equal(found.distances[n], distances[n][best])
    every = ops.best_matches(ids, distances, 7)
    np.testing.assert_array_equal(every.ids1, np.tile(np.arange(7), (3, 1)))
    np.testing.assert_array_equal(every.ids2, ids)
    maps = random(2, 3, 5, 4)
    np.testing.assert_array_equal(ops.take_places(maps, found.ids2)[1, 2], maps[1, found.ids2[1, 2]])


def test_no_gradient_flows_through_a_choice():
    def total(h1, h2):
        ids, distances = ops.nearest_by_feature(h1, h2)
        by_position = ops.nearest_by_position(h1, h2)
        return jnp.sum(ops.best_matches(ids, distances, 2).distances) + jnp.sum(by_position[1])

    for gradient in jax.jit(jax.grad(total, argnums=(0, 1)))(random(0, 2, 4, 2), random(1, 2, 3, 2)):
        assert not np.any(gradient)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"boxes must be \[N, 4\] as \(y0, x0, height, width\)"):
        ops.patch_centres(np.ones((2, 3), np.float32), np.zeros(2, bool), (2, 2))
    with pytest.raises(TypeError, match="flips must be bool"):
        ops.patch_centres(np.ones((2, 4), np.float32), np.zeros(2), (2, 2))
    with pytest.raises(ValueError, match=r"flips must be bool \[N\] with N = 2"):
        ops.patch_centres(np.ones((2, 4), np.float32), np.zeros(3, bool), (2, 2))
    with pytest.raises(ValueError, match=r"grid\[1\]=.*: must be at least 1"):
        ops.patch_centres(np.ones((2, 4), np.float32), np.zeros(2, bool), (2, 0))
    with pytest.raises(ValueError, match="metric='dot'"):
        ops.nearest_by_feature(random(0, 2, 3, 4), random(0, 2, 3, 4), metric="dot")
    with pytest.raises(ValueError, match=r"h1 and h2 must be \[N, L, D\]"):
        ops.nearest_by_feature(random(0, 2, 3, 4), random(0, 2, 3, 5))
    with pytest.raises(ValueError, match="num=4: must be at most 3"):
        ops.best_matches(np.zeros((2, 3), int), np.zeros((2, 3)), 4)
    with pytest.raises(ValueError, match="ids must be int"):
        ops.best_matches(np.zeros((2, 2), int), np.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match=r"maps must be \[N, L, D\]"):
        ops.take_places(np.zeros((2, 3)), np.zeros((2, 3), int))
