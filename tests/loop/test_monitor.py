"""The collapse monitor without any training: figures against NumPy, alarms at collapses made on purpose."""

import math

import jax
import numpy as np
import pytest

from jaxssl.monitor import ALARMS, Monitor, all_finite, digest, first_non_finite, sizes, split

V, N, D, K = 2, 64, 16, 32
AFTER_WARMUP = 100
look = jax.jit(digest)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


def healthy():
    """Two views that are alike but not equal, of rows that point everywhere; assignments that are sharp and varied."""
    features, projections = normal(0, V, N, D), normal(1, V, N, D)
    projections[1] = projections[0] + 0.3 * projections[1]
    return {"features": features, "projections": projections, "assignments": softmax(5 * normal(2, N, K))}


def sentences(watched, monitor=None, step=AFTER_WARMUP, **scalars):
    """{metric: sentence} that a monitor says of watched arrays."""
    values = {k: float(v) for k, v in look(watched).items()} | scalars
    said = (Monitor() if monitor is None else monitor).check(step, values, sizes(watched))
    # Which alarm said a sentence is known by its words after the first figure.
    tails = {a.metric: a.sentence.split("}")[-1] for a in ALARMS}
    found = {metric: s for s in said for metric, tail in tails.items() if s.endswith(tail)}
    assert len(found) == len(said)
    return found


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def rank_by_numpy(x):
    p = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    p = p / p.sum()
    return math.exp(-np.sum(p * np.log(p)))


def test_digest_against_numpy():
    watched = healthy()
    found = look(watched)
    h, (z1, z2), p = watched["features"][0], watched["projections"], watched["assignments"].astype(np.float64)
    np.testing.assert_allclose(found["feature_rank"], rank_by_numpy(h), rtol=1e-4)
    np.testing.assert_allclose(found["projection_rank"], rank_by_numpy(z1), rtol=1e-4)
    np.testing.assert_allclose(found["feature_std"], unit(h).std(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["projection_std"], unit(z1).std(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["alignment"], np.square(unit(z1) - unit(z2)).sum(1).mean(), rtol=1e-4)
    u = unit(z1.astype(np.float64))
    potentials = [math.exp(-2 * np.square(u[i] - u[j]).sum()) for i in range(N) for j in range(N) if i != j]
    np.testing.assert_allclose(found["uniformity"], math.log(np.mean(potentials)), rtol=1e-4)
    np.testing.assert_allclose(found["assignment_entropy"], -(p * np.log(p)).sum(1).mean() / math.log(K), rtol=1e-4)
    mean = p.mean(0)
    np.testing.assert_allclose(found["assignment_usage"], math.exp(-(mean * np.log(mean)).sum()), rtol=1e-4)


def test_digest_takes_what_there_is():
    """A method with one view has no pairs; one with neither embeddings nor assignments has features only."""
    one_view = {"features": normal(0, 1, N, D), "projections": normal(1, 1, N, D)}
    assert set(look(one_view)) == {"feature_rank", "feature_std", "projection_rank", "projection_std"}
    assert set(look({"features": normal(0, 1, N, D)})) == {"feature_rank", "feature_std"}
    assert look({}) == {}


def test_digest_computes_in_float32():
    low = {k: jax.numpy.bfloat16(v) for k, v in healthy().items()}
    assert {str(v.dtype) for v in look(low).values()} == {"float32"}


def test_split_keeps_arrays_from_scalars():
    scalars, watched = split({"loss": 1.0, "features": 2, "projections": 3, "assignments": 4, "norm": 5})
    assert set(scalars) == {"loss", "norm"} and set(watched) == {"features", "projections", "assignments"}


def test_sizes_are_the_scales_of_the_metrics():
    assert sizes(healthy()) == dict(
        feature_rank=D, feature_std=D**-0.5, projection_rank=D, projection_std=D**-0.5, assignment_usage=K
    )
    few = {"features": normal(0, 1, 4, D), "assignments": softmax(normal(0, 4, K))}
    assert sizes(few)["feature_rank"] == 4 and sizes(few)["assignment_usage"] == 4


def test_healthy_data_raises_no_alarm():
    assert sentences(healthy(), teacher_distance=0.3) == {}
    orthogonal = np.linalg.qr(normal(3, N, D))[0][None]
    assert sentences({"features": orthogonal}) == {}


def collapsed(name):
    """(watched arrays, further metrics) of one kind of collapse."""
    watched, further = healthy(), {}
    if name == "all rows equal":
        watched["features"] = np.broadcast_to(normal(5, D), (V, N, D)).copy()
    if name == "one direction":
        watched["features"] = normal(5, V, N, 1) * normal(6, D)
    if name == "projections constant":
        watched["projections"] = np.broadcast_to(normal(5, D), (V, N, D)) + 1e-4 * normal(6, V, N, D)
    if name == "one prototype":
        watched["assignments"] = softmax(20 * np.eye(K, dtype=np.float32)[np.zeros(N, int)])
    if name == "uniform assignments":
        watched["assignments"] = softmax(1e-2 * normal(5, N, K))
    if name == "teacher far away":
        further = {"teacher_distance": 1.7}
    return watched, further


@pytest.mark.parametrize(
    "name, expected",
    [
        (
            "all rows equal",
            {"feature_rank": "effective rank 1.0 of 16", "feature_std": "where 0.25 is healthy"},
        ),
        ("one direction", {"feature_rank": "effective rank 1.0 of 16: dimensional collapse"}),
        (
            "projections constant",
            {"projection_std": "where 0.25 is healthy: the loss compares constants", "uniformity": "0.000, at most 0"},
        ),
        ("one prototype", {"assignment_usage": "1.0 of 32 prototypes in use"}),
        ("uniform assignments", {"assignment_entropy": "entropy 1.000 of 1"}),
        ("teacher far away", {"teacher_distance": "1.70 student norms away"}),
    ],
)
def test_each_collapse_raises_its_own_alarms(name, expected):
    watched, further = collapsed(name)
    said = sentences(watched, **further)
    assert set(said) == set(expected)
    for metric, words in expected.items():
        assert words in said[metric]


def test_every_alarm_says_figures_and_a_remedy_or_cause():
    for alarm in ALARMS:
        said = alarm.sentence.format(v=0.5, size=16.0)
        assert "{" not in said and any(c.isdigit() for c in said) and said.endswith("."), alarm.metric


def test_an_alarm_is_said_once_and_again_only_after_it_was_clear():
    monitor, (bad, _) = Monitor(), collapsed("one direction")
    assert set(sentences(bad, monitor, 100)) == {"feature_rank"}
    assert sentences(bad, monitor, 120) == {}, "said twice"
    assert set(sentences(bad, monitor, 140, teacher_distance=2.0)) == {"teacher_distance"}, "another one is new"
    assert sentences(healthy(), monitor, 160) == {}
    assert set(sentences(bad, monitor, 180)) == {"feature_rank"}


def test_silent_in_the_warmup_and_then_not():
    monitor, (bad, _) = Monitor(warmup_steps=50), collapsed("all rows equal")
    assert sentences(bad, monitor, 49) == {}
    assert set(sentences(bad, monitor, 50)) == {"feature_rank", "feature_std"}


def test_first_non_finite_names_the_first_step_and_the_cause_before_its_effects():
    fine = {"grad_norm": 1.0, "loss": 2.0, "invariance": 3.0, "variance": 4.0}
    assert first_non_finite([], []) is None
    assert first_non_finite([1, 2], [fine, fine]) is None
    part = fine | {"loss": math.nan, "grad_norm": math.nan, "variance": math.inf}
    assert first_non_finite([6, 7, 8], [fine, part, fine | {"loss": math.nan}]) == (7, "variance")
    assert first_non_finite([3], [fine | {"loss": np.float32("nan"), "grad_norm": math.nan}]) == (3, "loss")
    assert first_non_finite([3], [fine | {"grad_norm": -math.inf}]) == (3, "grad_norm")


def test_all_finite_sees_every_leaf():
    tree = {"a": normal(0, 3, 2), "b": [np.ones(()), normal(1, 5)]}
    assert all_finite(tree)
    for bad in (math.nan, math.inf, -math.inf):
        tree["b"][1][3] = bad
        assert not all_finite(tree)
