"""Gradients and flow against what is known of moved pictures."""

import numpy as np
import pytest

from jaxssl.evaluators.floors.video import flow, gradients, gradients_and_flow, votes


def waves(shift, frames=3, size=40):
    """Smooth clips [1, T, H, W] that move by `shift` = (right, down) pixels a frame."""
    y, x = np.mgrid[:size, :size].astype(float)
    made = []
    for t in range(frames):
        u, v = x - t * shift[0], y - t * shift[1]
        made.append(np.sin(0.4 * u) + np.cos(0.35 * v) + np.sin(0.25 * (u + v)))
    return np.stack(made)[None].astype(np.float32)


@pytest.mark.parametrize("shift", [(0.6, 0.0), (0.0, -0.5), (-0.4, 0.4), (0.0, 0.0)])
def test_flow_is_the_shift(shift):
    u, v = flow(*gradients(waves(shift)), window=3)
    inside = (0, slice(None), slice(6, -6), slice(6, -6))
    assert np.abs(np.median(u[inside]) - shift[0]) < 0.05 and np.abs(np.median(v[inside]) - shift[1]) < 0.05


def test_gradients_of_a_ramp():
    y, x = np.mgrid[:6, :8].astype(np.float32)
    clip = np.stack([2 * x + 3 * y + 5 * t for t in range(3)])[None]
    gy, gx, gt = gradients(clip)
    np.testing.assert_allclose([gy.mean(), gx.mean(), gt.mean()], [3, 2, 5], atol=1e-5)
    assert gy.shape == (1, 2, 6, 8)


def test_votes_go_to_the_bin_of_their_direction():
    angle = np.deg2rad([0, 44, 46, 90, 180, 269, 350])
    found = votes(np.sin(angle), np.cos(angle), np.full(7, 2.0), 4)
    np.testing.assert_array_equal(found.argmax(-1), [0, 0, 1, 1, 2, 3, 0])
    np.testing.assert_array_equal(found.sum(-1), 2)


def run(x, **options):
    predict = gradients_and_flow(None, lambda key, batch: batch, **options)
    return predict(None, None, {"x": x[..., None]})["features"]


def test_features_tell_direction_and_nothing_of_brightness():
    right, left, still = (run(waves(s)) for s in ((0.6, 0), (-0.6, 0), (0, 0)))
    assert right.shape == (1, 2 * 4 * 17) and right.dtype == np.float32
    np.testing.assert_allclose(run(3 * waves((0.6, 0)) + 7), right, atol=0.02)
    # In the order of the kinds: gradients of 8 cells, then flows of 8 cells with 9 bins, the last one for rest.
    of_flow = [row[0, 64:].reshape(8, 9) for row in (right, left, still)]
    assert (of_flow[0].argmax(1) == 0).all() and (of_flow[1].argmax(1) == 4).all() and (of_flow[2].argmax(1) == 8).all()


def test_empty_clips_are_finite_and_rows_are_on_their_own():
    x = np.concatenate([waves((0.6, 0)), np.zeros((1, 3, 40, 40), np.float32)])
    found = run(x)
    assert np.isfinite(found).all() and (found[1] == 0).all()
    np.testing.assert_allclose(run(x[:1])[0], found[0], atol=1e-6)


def test_bad_options_are_named():
    for name, value in (("cells", 0), ("times", 0), ("bins", 2.0), ("window", -1)):
        with pytest.raises(ValueError, match=name):
            gradients_and_flow(None, None, **{name: value})
    with pytest.raises(ValueError, match="times=2: needs clips of more than 2 frames"):
        run(waves((0, 0), frames=2))
