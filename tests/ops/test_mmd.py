import jax
import numpy as np
import pytest

from jaxssl.ops import mmd, pairwise_mmd, select_sensors
from jaxssl.ops.mmd import WIDTHS


def naive(x, y):
    kernel = lambda a, b: sum(np.exp(-np.sum((a - b) ** 2) / (2 * s)) for s in WIDTHS)
    mean = lambda u, v: np.mean([[kernel(a, b) for b in v] for a in u])
    return max(0.0, mean(x, x) + mean(y, y) - 2 * mean(x, y))


def test_value_matches_loops():
    random = np.random.default_rng(0)
    x, y = random.normal(size=(6, 3)), random.normal(0.5, 1, size=(9, 3))
    with jax.enable_x64(True):
        np.testing.assert_allclose(mmd(x, y), naive(x, y), rtol=1e-9)
    np.testing.assert_allclose(mmd(np.float32(x), np.float32(y)), naive(x, y), rtol=1e-4)


def test_zero_for_equal_samples_and_grows_with_the_distance():
    x = np.random.default_rng(1).normal(size=(32, 4)).astype(np.float32)
    assert mmd(x, x) == pytest.approx(0, abs=1e-6)
    values = [float(mmd(x, x + shift)) for shift in (0.2, 1.0, 5.0)]
    assert 0 < values[0] < values[1] < values[2] <= 2 * len(WIDTHS)


def test_pairs_are_those_of_mmd():
    x = (
        np.random.default_rng(2).normal(size=(3, 8, 5)).astype(np.float32)
        * np.array([1, 2, 3], np.float32)[:, None, None]
    )
    table = np.asarray(jax.jit(pairwise_mmd)(x))
    np.testing.assert_array_equal(np.diag(table), 0)
    for i in range(3):
        for j in range(3):
            np.testing.assert_allclose(table[i, j], mmd(x[i], x[j]), atol=2e-6)


def test_bad_arguments():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"\[M, D\]"):
        mmd(x, x[:, :2])
    with pytest.raises(ValueError, match="widths"):
        mmd(x, x, widths=(1.0, 0.0))


def test_selection_follows_the_distances():
    distances, chosen = np.array([0.0, 3.0, 1.0, 4.0, 2.0], np.float32), lambda flags: set(np.flatnonzero(flags))
    for policy, negatives in (
        ("closest_pos_all_neg", {1, 2, 3, 4}),
        ("closest_pos_next_two_neg", {1, 4}),
        ("closest_only", {2}),
    ):
        positive, negative = jax.jit(lambda d, p=policy: select_sensors(d, 0, policy=p))(distances)
        assert (chosen(positive), chosen(negative)) == ({2}, negatives)
    assert chosen(select_sensors(distances, 2)[0]) == {0}, "the anchor itself is never chosen, whatever its distance"
    assert [chosen(flags) for flags in select_sensors(distances[:2], 0, policy="closest_pos_next_two_neg")] == [
        {1},
        {1},
    ]
    seen = [select_sensors(distances, 1, policy="random", key=jax.random.key(k)) for k in range(40)]
    for part in zip(*seen):
        assert all(np.sum(flags) == 1 for flags in part) and set().union(*map(chosen, part)) == {0, 2, 3, 4}
    with pytest.raises(ValueError, match="policy"):
        select_sensors(distances, 0, policy="nearest")
    with pytest.raises(ValueError, match="key"):
        select_sensors(distances, 0, policy="random")
    with pytest.raises(ValueError, match="anchor"):
        select_sensors(distances, 5)


def test_order_of_virtual_sensors_is_found_in_nearly_every_batch():
    """Five sensors see one activity through rotations of their own, ever farther gains and ever more noise."""
    random = np.random.default_rng(0)
    rotation = [np.linalg.qr(random.normal(size=(3, 3)))[0] for _ in range(5)]
    found = jax.jit(lambda traces: jax.numpy.stack([mmd(traces[0], traces[v]) for v in range(5)]))
    right, batches = 0, 40
    for _ in range(batches):
        phase, speed = random.uniform(0, 6.28, (64, 1, 3)), random.uniform(0.1, 0.4, (64, 1, 1))
        activity = np.sin(speed * np.arange(50)[None, :, None] + phase) * random.uniform(0.5, 1.5, (64, 1, 3))
        sensors = [
            (1 + 0.25 * v) * activity @ rotation[v] + (0.02 + 0.1 * v) * random.normal(size=activity.shape)
            for v in range(5)
        ]
        distances = found(np.linalg.norm(sensors, axis=-1).astype(np.float32))
        right += np.array_equal(np.argsort(distances), np.arange(5))
    assert right >= 0.95 * batches
