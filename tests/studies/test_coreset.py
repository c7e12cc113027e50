"""Greedy coresets against loops that compute everything anew, their bounds, and what they refuse."""

import itertools

import numpy as np
import pytest

from jaxssl.studies.coreset import covering, facility_location, k_center, random_rows


def points(seed, n=40, d=5):
    return np.random.default_rng(seed).normal(size=(n, d))


def naive_k_center(x, budget):
    distance = lambda a, b: sum((p - q) ** 2 for p, q in zip(a, b))
    mean = [sum(column) / len(x) for column in x.T]
    chosen = [min(range(len(x)), key=lambda i: (distance(x[i], mean), i))]
    while len(chosen) < budget:
        rest = [i for i in range(len(x)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (min(distance(x[i], x[j]) for j in chosen), -i)))
    return chosen


def value(x, chosen):
    """f(S) of facility location."""
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    return sum(max((1 + float(z[i] @ z[j]) for j in chosen), default=0.0) for i in range(len(x)))


def naive_facility_location(x, budget):
    chosen = []
    while len(chosen) < budget:
        rest = [i for i in range(len(x)) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (round(value(x, [*chosen, i]), 9), -i)))
    return chosen


@pytest.mark.parametrize("seed", range(3))
def test_k_center_matches_loops(seed):
    x = points(seed)
    assert k_center(x, 12).tolist() == naive_k_center(x, 12)


@pytest.mark.parametrize("block", [1, 7, 256])
@pytest.mark.parametrize("seed", range(3))
def test_facility_location_matches_loops_whatever_the_block(seed, block):
    x = points(seed)
    assert facility_location(x, 12, block=block).tolist() == naive_facility_location(x, 12)


@pytest.mark.parametrize("seed", range(5))
def test_greedy_keeps_its_bounds(seed):
    """At most twice the least radius; at least 1 - 1/e of the largest value."""
    x, budget = points(seed, n=11, d=2), 3
    sets = [np.array(s) for s in itertools.combinations(range(11), budget)]
    best = min(covering(x, s)["radius"] for s in sets)
    assert covering(x, k_center(x, budget))["radius"] <= 2 * best + 1e-9
    largest = max(value(x, s) for s in sets)
    assert value(x, facility_location(x, budget)) >= (1 - 1 / np.e) * largest


def test_separate_clusters_each_get_a_centre():
    centres = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [-9, 0, 0]], float)
    cluster = np.repeat(np.arange(4), [50, 20, 5, 2])
    x = centres[cluster] + 0.1 * points(1, n=len(cluster), d=3)
    for select in (k_center, facility_location):
        assert set(cluster[select(x, 4)]) == {0, 1, 2, 3}


def test_covering_against_loops():
    x, chosen = points(0), np.array([3, 17, 20])
    distance = [min(np.linalg.norm(a - x[j]) for j in chosen) for a in x]
    cosine = [max(a @ x[j] / np.linalg.norm(a) / np.linalg.norm(x[j]) for j in chosen) for a in x]
    found = covering(x, chosen, block=7)
    assert found["radius"] == pytest.approx(max(distance)) and found["distance"] == pytest.approx(np.mean(distance))
    assert found["similarity"] == pytest.approx(np.mean(cosine))


@pytest.mark.parametrize("select", [k_center, facility_location])
def test_choices_are_different_and_a_smaller_budget_has_the_first_of_them(select):
    for x in (points(0), np.repeat(points(0, n=4), 5, axis=0), np.zeros((6, 2))):
        everything = select(x, len(x))
        assert sorted(everything) == list(range(len(x))) and everything.dtype == np.int64
        np.testing.assert_array_equal(select(x, 3), everything[:3])


def test_scale_and_rotation_change_no_choice():
    x = points(0)
    turned = 7 * x @ np.linalg.qr(points(1, n=5))[0]
    for select in (k_center, facility_location):
        np.testing.assert_array_equal(select(turned, 10), select(x, 10))


def test_random_rows_are_nested_and_fixed_by_the_seed():
    assert random_rows(50, 50, seed=3)[:7].tolist() == random_rows(50, 7, seed=3).tolist()
    assert sorted(random_rows(50, 50)) == list(range(50))
    assert random_rows(50, 7, seed=4).tolist() != random_rows(50, 7, seed=3).tolist()


def test_what_is_refused():
    x = points(0)
    for select in (k_center, facility_location):
        for budget in (0, 41):
            with pytest.raises(ValueError, match=f"budget={budget}: must be at least 1 and at most 40"):
                select(x, budget)
        with pytest.raises(ValueError, match="must be floats"):
            select(x[0], 1)
        with pytest.raises(ValueError, match="2 rows are not finite, the first is 5"):
            select(np.where(np.isin(np.arange(40), (5, 9))[:, None], np.nan, x), 1)
    with pytest.raises(ValueError, match="budget=51"):
        random_rows(50, 51)
