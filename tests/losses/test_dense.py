import jax
import jax.numpy as jnp
import loss_reference as reference
import numpy as np
import pytest
from loss_reference import check_value_and_gradients, normal, x64

from jaxssl import losses, ops

MATCHES = np.array([[0, 3, 3], [2, 0, 1]])


def naive_dense_info_nce(query, key, negatives, matches, temperature):
    total = 0.0
    for n, place in np.ndindex(matches.shape):
        scores = [reference.cosine(query[n, place], other) / temperature for other in negatives]
        positive = reference.cosine(query[n, place], key[n, matches[n, place]]) / temperature
        total -= positive - np.log(np.exp(positive) + np.exp(scores).sum())
    return total / matches.size


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_dense_info_nce_matches_loops_and_stops_at_keys_and_queue(temperature):
    check_value_and_gradients(
        lambda q, k, c: losses.dense_info_nce(q, k, c, MATCHES, temperature=temperature),
        lambda q, k, c: naive_dense_info_nce(q, k, c, MATCHES, temperature),
        (normal(0, 2, 3, 4), normal(1, 2, 5, 4), normal(2, 6, 4)),
        {0},
    )


def test_dense_info_nce_of_maps_of_one_place_is_info_nce():
    query, key, queue = normal(0, 5, 4), normal(1, 5, 4), normal(2, 7, 4)
    with x64():
        one = losses.dense_info_nce(query[:, None], key[:, None], queue, np.zeros((5, 1), int))
        np.testing.assert_allclose(one, losses.info_nce(query, key, queue), rtol=1e-12)


def test_dense_info_nce_closed_form():
    """Keys equal to their queries, negatives orthogonal to all: log(1 + K exp(-1 / T)), whatever the order of places."""
    places = np.eye(8)[None, :4] * 3
    order = np.array([2, 0, 3, 1])
    matches = np.argsort(order)[None]
    with x64():
        value = losses.dense_info_nce(places, places[:, order], np.eye(8)[4:], matches, temperature=0.5)
        np.testing.assert_allclose(value, np.log(1 + 4 * np.exp(-2)), rtol=1e-12)
        found, _ = ops.nearest_by_feature(places, places[:, order])
        np.testing.assert_array_equal(found, matches)


def test_dense_info_nce_refuses_what_does_not_fit():
    query, key, queue = (np.float32(x) for x in (normal(0, 2, 3, 4), normal(1, 2, 5, 4), normal(2, 6, 4)))
    with pytest.raises(TypeError, match=r"matches must be int \[N, L\], got float"):
        losses.dense_info_nce(query, key, queue, MATCHES * 1.0)
    with pytest.raises(ValueError, match=r"matches must be int \[N, L\] = \(2, 3\)"):
        losses.dense_info_nce(query, key, queue, MATCHES[:, :2])
    with pytest.raises(ValueError, match=r"negatives must be \[K, D\] with D = 4"):
        losses.dense_info_nce(query, key, queue[:, :3], MATCHES)
    with pytest.raises(ValueError, match="query and key must be"):
        losses.dense_info_nce(query, key[:1], queue, MATCHES)


def naive_nearest(a, b):
    """(place of b, distance) of every place of a [L, D]."""
    found = []
    for x in a:
        distances = [np.sqrt(((x - y) ** 2).sum()) for y in b]
        found.append((int(np.argmin(distances)), min(distances)))
    return found


def naive_criterion(x, y, invariance_weight, variance_weight, covariance_weight):
    total = invariance_weight * np.mean((x - y) ** 2)
    for k in range(x.shape[1]):
        for z in (x[:, k], y[:, k]):
            part = variance_weight * reference.vicreg_variance(z) + covariance_weight * reference.vicreg_covariance(z)
            total += part / 2 / x.shape[1]
    return total


def naive_vicreg_local(z1, z2, centres1, centres2, position_matches, feature_matches, weights):
    total = 0.0
    for a, b, at_a, at_b, side in ((z1, z2, centres1, centres2, 0), (z2, z1, centres2, centres1, 1)):
        for num, near_a, near_b in ((position_matches[side], at_a, at_b), (feature_matches[side], a, b)):
            if num == 0:
                continue
            x, y = np.zeros((2, len(a), num, a.shape[2]))
            for n in range(len(a)):
                found = naive_nearest(near_a[n], near_b[n])
                best = sorted(np.argsort([distance for _, distance in found], kind="stable")[:num])
                x[n] = [a[n, place] for place in best]
                y[n] = [b[n, found[place][0]] for place in best]
            total += naive_criterion(x, y, *weights) / 2
    return total


def views(grid1=(2, 3), grid2=(2, 2), n=4, dim=3):
    """Maps of two views and where their places lie."""
    random = np.random.default_rng(0)
    boxes = [np.concatenate([random.uniform(0, 8, (n, 2)), random.uniform(8, 20, (n, 2))], axis=1) for _ in range(2)]
    flips = [np.arange(n) % 2 == 0, np.arange(n) % 3 == 0]
    with x64():
        centres = [np.asarray(ops.patch_centres(*args)) for args in zip(boxes, flips, (grid1, grid2))]
    scale = [0.3, 1.0, 3.0][:dim]  # on both sides of the hinge
    return normal(0, n, grid1[0] * grid1[1], dim) * scale, normal(1, n, grid2[0] * grid2[1], dim) * scale, *centres


@pytest.mark.parametrize("by", [((3, 2), (4, 3)), ((6, 4), (0, 0)), ((0, 0), (2, 4))])
@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (3.0, 0.5, 7.0)])
def test_vicreg_local_matches_loops(by, weights):
    names = "invariance_weight", "variance_weight", "covariance_weight"
    check_value_and_gradients(
        lambda *a: losses.vicreg_local(*a, position_matches=by[0], feature_matches=by[1], **dict(zip(names, weights))),
        lambda *a: naive_vicreg_local(*a, *by, weights),
        views(),
        {0, 1},
    )


def test_vicreg_local_of_maps_of_one_place():
    """Both kinds of matching then give the pair itself, twice; the covariances are averaged, not summed."""
    z1, z2 = 0.4 * normal(0, 5, 3), normal(1, 5, 3)
    centres = np.zeros((5, 1, 2))
    with x64():
        found = losses.vicreg_local(
            z1[:, None], z2[:, None], centres, centres, position_matches=(1, 1), feature_matches=(1, 1)
        )
        np.testing.assert_allclose(found, 2 * losses.vicreg(z1, z2, covariance_weight=0.5), rtol=1e-12)


def test_vicreg_local_is_symmetric_and_blind_to_a_flip():
    z1, z2, centres1, centres2 = views(grid1=(2, 2))
    local = lambda *a: losses.vicreg_local(*a, position_matches=(3, 3), feature_matches=(2, 2))
    with x64():
        value = local(z1, z2, centres1, centres2)
        np.testing.assert_allclose(local(z2, z1, centres2, centres1), value, rtol=1e-12)
        # A view mirrored with its map: the same places, in another order of the columns.
        order = [1, 0, 3, 2]
        both = lambda *a: losses.vicreg_local(*a, position_matches=(4, 4), feature_matches=(4, 4), variance_weight=0.0)
        mirrored = both(z1[:, order], z2, centres1[:, order], centres2)
        np.testing.assert_allclose(mirrored, both(z1, z2, centres1, centres2), rtol=1e-12)


def test_statistics_are_of_one_place_over_the_batch():
    """Places that differ from each other but not between examples have collapsed: the hinge says so."""
    z = np.repeat(np.array([[[10.0], [-10.0], [30.0]]]), 4, axis=0)
    centres = np.repeat(np.arange(6.0).reshape(1, 3, 2), 4, axis=0)
    with x64():
        value = losses.vicreg_local(z, z, centres, centres, position_matches=(3, 3), feature_matches=(0, 0))
        np.testing.assert_allclose(value, 25 * 0.99, rtol=1e-12)


def test_positions_match_what_features_do_not():
    """Two equal crops: by position every place meets itself, so that only variance and covariance remain."""
    z1, _, centres1, _ = views()
    terms = dict(variance_weight=0.0, covariance_weight=0.0)
    with x64():
        for by in (dict(feature_matches=(0, 0)), dict(position_matches=(0, 0))):
            options = {"position_matches": (6, 6), "feature_matches": (6, 6)} | by
            assert losses.vicreg_local(z1, z1, centres1, centres1, **options, **terms) == 0
        mirrored = centres1[:, [2, 1, 0, 5, 4, 3]]
        options = dict(position_matches=(6, 6), feature_matches=(0, 0))
        value = losses.vicreg_local(z1, z1, centres1, mirrored, **options, **terms)
        expected = 25 * np.mean((z1 - z1[:, [2, 1, 0, 5, 4, 3]]) ** 2)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_vicreg_local_refuses_what_does_not_fit():
    z1, z2, centres1, centres2 = (np.float32(x) for x in views())
    with pytest.raises(ValueError, match=r"position_matches\[1\]=5: must be at most 4, the places of view 2"):
        losses.vicreg_local(z1, z2, centres1, centres2, position_matches=(6, 5), feature_matches=(1, 1))
    with pytest.raises(ValueError, match=r"feature_matches\[0\]=.*: must be at least 0"):
        losses.vicreg_local(z1, z2, centres1, centres2, position_matches=(1, 1), feature_matches=(-1, 1))
    with pytest.raises(ValueError, match=r"centres2 must be \[N, L, 2\] = \(4, 4, 2\)"):
        losses.vicreg_local(z1, z2, centres1, centres1, position_matches=(1, 1), feature_matches=(1, 1))
    with pytest.raises(ValueError, match="N >= 2"):
        one = [x[:1] for x in (z1, z2, centres1, centres2)]
        losses.vicreg_local(*one, position_matches=(1, 1), feature_matches=(1, 1))


def test_padding_may_hold_matches_of_no_place():
    query, key, queue = (np.float32(x) for x in (normal(0, 2, 3, 4), normal(1, 2, 5, 4), normal(2, 6, 4)))
    matches, where = MATCHES.copy(), np.array([True, False])
    matches[1] = 99
    loss = lambda q: losses.dense_info_nce(q, key, queue, matches, where=where)
    value, gradient = jax.value_and_grad(loss)(jnp.asarray(query))
    assert value == losses.dense_info_nce(query[:1], key[:1], queue, MATCHES[:1]) and np.isfinite(gradient).all()
