"""Floors for clouds: by hand, and what they do not depend on."""

import numpy as np
import pytest

from jaxssl.evaluators.floors.points import describe, shape_distribution, sorted_coordinates

X = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 20, 3)).astype(np.float32)
PREPROCESS = lambda key, batch: {"x": batch["points"]}


def features(floor, x, **options):
    return floor(None, PREPROCESS, **options)({}, {}, {"points": x})["features"]


def test_sorted_coordinates_rise_in_height_whatever_the_order():
    found = features(sorted_coordinates, X)
    assert found.shape == (3, 60) and (np.diff(found.reshape(3, 20, 3)[:, :, 2], axis=1) >= 0).all()
    np.testing.assert_array_equal(found, features(sorted_coordinates, X[:, ::-1]))


def test_three_points_by_hand():
    """Distances 1, 1 and sqrt 2 in four intervals of 0.5; heights all 0; covariance in the plane."""
    found = describe(np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), 4, True)
    np.testing.assert_allclose(found[:4], [0, 0, 1, 0])
    np.testing.assert_allclose(found[4:7], np.sqrt([1 / 3, 1 / 9, 0]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[7:], [0, 0, 1, 0, 0])
    assert describe(np.float32([[0, 0, 0]]), 4, False).shape == (7,)


def test_turning_about_the_vertical_axis_changes_nothing_and_tilting_only_the_heights():
    turn, tilt = (
        np.float32([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]]),
        np.float32([[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]]),
    )
    whole = features(shape_distribution, X, bins=8)
    assert whole.shape == (3, 20) and np.isfinite(whole).all()
    np.testing.assert_allclose(features(shape_distribution, X @ turn.T, bins=8), whole, atol=0.011)
    np.testing.assert_allclose(features(shape_distribution, X @ tilt.T, bins=8)[:, :11], whole[:, :11], atol=0.011)
    np.testing.assert_array_equal(features(shape_distribution, X, bins=8, heights=False), whole[:, :11])
    with pytest.raises(ValueError, match="bins"):
        shape_distribution(None, PREPROCESS, bins=0)
