"""Chamfer distance and the agreement of tokens hidden twice: loops, values by hand, gradients, extremes."""

import jax
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, cosine, normal

from jaxssl.losses import chamfer, comasked_consistency


def naive_chamfer(pred, target, masked, kind):
    def one(p, t):
        distance = np.array([[np.linalg.norm(a - b) for b in t] for a in p])
        power = 2 if kind == "l2" else 1
        return (np.mean(distance.min(1) ** power) + np.mean(distance.min(0) ** power)) / (3 - power)

    return np.mean([one(p, t) for p, t, m in zip(pred, target, masked) if m])


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_chamfer_matches_loops_and_stops_at_the_target(kind):
    masked = np.array([True, False, True])
    check_value_and_gradients(
        lambda p, t: chamfer(p, t, masked=masked, kind=kind),
        lambda p, t: naive_chamfer(p, t, masked, kind),
        (normal(0, 3, 4, 3), normal(1, 3, 6, 3)),
        {0},
    )


def test_chamfer_known_values():
    x = np.float32(normal(0, 2, 5, 3))
    assert chamfer(x, x) == 0
    assert chamfer(x, x[:, ::-1]) == 0, "sets have no order"
    point, shifted = np.zeros((1, 1, 3), np.float32), np.float32([[[1, 0, 0]]])
    assert chamfer(point, shifted) == pytest.approx(2.0)
    assert chamfer(point, shifted, kind="l1") == pytest.approx(1.0)
    # One point against two at distances 1 and 3: 1 there, (1 + 9) / 2 back.
    two = np.float32([[1, 0, 0], [0, 3, 0]])
    assert chamfer(point[0], two) == pytest.approx(6.0)
    assert chamfer(2 * x, 2 * x[::-1]) == pytest.approx(4 * float(chamfer(x, x[::-1])), rel=1e-5)


@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_chamfer_of_equal_points_and_of_nothing_hidden(kind):
    x = np.float32(normal(0, 2, 4, 3))
    ties = np.zeros((2, 4, 3), np.float32)
    for pred, target, masked in ((x, x, [1, 1]), (ties, ties, [1, 1]), (ties, x, [0, 0]), (x[:, :1], ties, [1, 0])):
        value, gradient = jax.value_and_grad(chamfer)(pred, target, masked=np.array(masked, bool), kind=kind)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        if not any(masked):
            assert value == 0 and not np.any(gradient)


def naive_consistency(z1, z2, both, pairing):
    errors = []
    for n, l in np.argwhere(both):
        others = [l] if pairing == "diagonal" else range(both.shape[1])
        errors += [1 - cosine(z1[n, l], z2[n, k]) for k in others]
    return np.mean(errors)


@pytest.mark.parametrize("pairing", ["diagonal", "row"])
def test_consistency_matches_loops_and_pulls_both_sides(pairing):
    random = np.random.default_rng(0)
    mask1, mask2 = random.random((3, 4)) < 0.6, random.random((3, 4)) < 0.7
    assert 0 < (mask1 & mask2).sum() < 12
    check_value_and_gradients(
        lambda a, b: comasked_consistency(a, b, mask1, mask2, pairing=pairing),
        lambda a, b: naive_consistency(a, b, mask1 & mask2, pairing),
        (normal(1, 3, 4, 5), normal(2, 3, 4, 5)),
        {0, 1},
    )


def test_consistency_known_values():
    x, mask = np.float32(normal(0, 2, 3, 4)), np.ones((2, 3), bool)
    assert comasked_consistency(x, 3 * x, mask, mask) == pytest.approx(0, abs=1e-6)
    assert comasked_consistency(x, -x, mask, mask) == pytest.approx(2, rel=1e-6)
    # Orthogonal tokens: each agrees with its twin, and with one in three of all.
    basis = np.tile(np.eye(3, dtype=np.float32), (2, 1, 1))
    assert comasked_consistency(basis, basis, mask, mask) == pytest.approx(0, abs=1e-6)
    assert comasked_consistency(basis, basis, mask, mask, pairing="row") == pytest.approx(2 / 3, rel=1e-6)


@pytest.mark.parametrize("pairing", ["diagonal", "row"])
def test_only_what_both_hide_counts(pairing):
    z1, z2 = np.float32(normal(0, 2, 4, 3)), np.float32(normal(1, 2, 4, 3))
    mask1 = np.array([[1, 1, 0, 0], [0, 1, 0, 1]], bool)
    mask2 = np.array([[0, 1, 1, 0], [1, 1, 0, 0]], bool)
    value, (g1, _) = jax.value_and_grad(comasked_consistency, (0, 1))(z1, z2, mask1, mask2, pairing=pairing)
    assert np.isfinite(value)
    assert not g1[~(mask1 & mask2)].any() and np.abs(g1[mask1 & mask2]).max() > 0
    for one, two in ((z1, z2), (np.zeros_like(z1), z2)):
        value, gradients = jax.value_and_grad(comasked_consistency, (0, 1))(one, two, mask1, ~mask1, pairing=pairing)
        assert value == 0 and not np.any(gradients[0]) and not np.any(gradients[1])
    zero = jax.grad(comasked_consistency)(np.zeros_like(z1), z2, mask1, mask1, pairing=pairing)
    assert not zero.any()


def test_what_does_not_fit_is_refused():
    x, z, mask = np.ones((2, 4, 3), np.float32), np.ones((2, 4, 5), np.float32), np.ones((2, 4), bool)
    with pytest.raises(ValueError, match="do not fit"):
        chamfer(x, x[:1])
    with pytest.raises(ValueError, match="kind"):
        chamfer(x, x, kind="l3")
    with pytest.raises(ValueError, match="masked must be"):
        chamfer(x, x, masked=mask)
    with pytest.raises(TypeError, match="floating"):
        chamfer(x.astype(int), x)
    with pytest.raises(ValueError, match="same shape"):
        comasked_consistency(x, z, mask, mask)
    with pytest.raises(ValueError, match="masked2 must be"):
        comasked_consistency(z, z, mask, mask[:1])
    with pytest.raises(ValueError, match="pairing"):
        comasked_consistency(z, z, mask, mask, pairing="diag")
