"""Graph attention against a dense NumPy reference, and what dropout, padding and bad options do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.gnn import bridge, gat
from jaxssl.ops.graph import replacements, segment_softmax

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3)])
SENDERS, RECEIVERS = np.concatenate([EDGES, EDGES[:, ::-1]]).T
FEATURES = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def graph(padding=0):
    """The graph with nodes and edges of padding, as a batch of one."""
    wide = lambda x: np.pad(x, (0, 2 * padding))
    return {
        "features": jnp.asarray(np.pad(FEATURES, ((0, padding), (0, 0))))[None],
        "node_mask": jnp.arange(5 + padding)[None] < 5,
        "senders": jnp.asarray(wide(SENDERS))[None],
        "receivers": jnp.asarray(wide(RECEIVERS))[None],
        "edge_mask": jnp.arange(12 + 2 * padding)[None] < 12,
    }


def dense_layer(h, p, heads, norm):
    """In float64, node by node and head by head."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), p)
    linked = np.eye(5, dtype=bool)
    linked[RECEIVERS, SENDERS] = True
    value, out = (h @ p["linear"]["kernel"]).reshape(5, heads, -1), []
    for k in range(heads):
        v = value[:, k]
        logits = (v @ p["receiver"][k])[:, None] + (v @ p["sender"][k])[None]
        logits = np.where(logits > 0, logits, 0.2 * logits)
        weight = np.where(linked, np.exp(logits), 0)
        out.append(weight / weight.sum(1, keepdims=True) @ v)
    out = np.concatenate(out, axis=1) + p["bias"]
    out = out + (h @ p["skip"]["kernel"] if "skip" in p else h)
    if norm:
        out = (out - out.mean(1, keepdims=True)) / np.sqrt(out.var(1, keepdims=True) + 1e-5)
    return out


@pytest.fixture(scope="module")
def made():
    """An encoder with skips, norms and dropout, and its parameters, none of them at a special place."""
    encoder = gat(widths=(6, 6), num_heads=2, feature_dropout=0.3, attention_dropout=0.3, residual=True, norm="layer")
    params, stats = setup(encoder, jax.random.key(0), graph())
    assert not stats
    moved = lambda x: x + 0.1 * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    params = jax.tree_util.tree_map_with_path(lambda p, x: x if "norm" in str(p) else moved(x), params)
    return encoder, params


def test_attention_is_that_of_a_dense_reference(made):
    encoder, params = made
    h = FEATURES.astype(np.float64)
    for i in range(2):
        h = dense_layer(h, params[f"layer{i}"], 2, True)
        h = np.where(h > 0, h, np.asarray(params[f"act{i}"]["slope"], np.float64) * h)
    found, _ = forward(encoder, params, {}, graph(), method="encode")
    np.testing.assert_allclose(found.patches[0], h, rtol=1e-4, atol=1e-5)
    rows, _ = forward(encoder, params, {}, {**graph(), "rows": jnp.array([3, 0, 3])})
    np.testing.assert_allclose(rows, h[[3, 0, 3]], rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing(made):
    encoder, params = made
    one, _ = forward(encoder, params, {}, graph(), method="encode")
    two, _ = forward(encoder, params, {}, graph(padding=4), method="encode")
    np.testing.assert_allclose(two.patches[0, :5], one.patches[0], rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training_alone(made):
    encoder, params = made
    run = lambda key, train: forward(
        encoder, params, {}, graph(), train=train, key=jax.random.key(key), method="encode"
    )
    same, first, second = run(0, False), run(0, True), run(1, True)
    np.testing.assert_array_equal(same[0].h, run(1, False)[0].h)
    assert not np.allclose(first[0].h, same[0].h) and not np.allclose(first[0].h, second[0].h)


def test_starts_are_those_of_the_release():
    layer = gat(widths=(128,), num_heads=4).decoder(200)
    params, _ = setup(layer, jax.random.key(0), jnp.zeros((1, 5, 100)), graph())
    assert params["linear"]["kernel"].shape == (100, 200) and params["sender"].shape == (1, 200)
    assert np.std(params["linear"]["kernel"]) == pytest.approx(np.sqrt(4 / 300), rel=0.05)
    both = np.concatenate([params["sender"], params["receiver"]])
    assert np.std(both) == pytest.approx(np.sqrt(4 / 400), rel=0.2) and not params["bias"].any()
    kernel = np.asarray(setup(bridge(64), jax.random.key(1), jnp.zeros((1, 100)))[0]["linear0"]["kernel"])
    assert 0.09 < np.abs(kernel).max() <= 0.1 and np.std(kernel) == pytest.approx(0.1 / np.sqrt(3), rel=0.05)


def test_softmax_over_segments():
    logits = np.array([[1.0], [2.0], [500.0], [501.0], [7.0], [np.nan]], np.float32)
    segments, mask = np.array([0, 0, 2, 2, 1, 1]), np.array([1, 1, 1, 1, 0, 0], bool)
    found = segment_softmax(logits, segments, 3, mask)[:, 0]
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(found, [share, 1 - share, share, 1 - share, 0, 0], rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.square(segment_softmax(x, segments, 3, mask)).sum())(logits)
    assert np.isfinite(gradient[:5]).all()


def test_replacements_are_distinct_nodes_of_all_graphs():
    node_mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    replaced = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 0]], bool)
    draws = jax.vmap(lambda key: replacements(key, replaced, node_mask))(jax.random.split(jax.random.key(0), 4000))
    drawn = np.asarray(draws)[:, replaced]
    assert all(len(set(row)) == 5 for row in drawn[:50].tolist())
    count = np.bincount(drawn.ravel(), minlength=12)
    assert (count[~node_mask.ravel()] == 0).all()
    np.testing.assert_allclose(count[node_mask.ravel()] / count.sum(), 1 / 8, rtol=0.1)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(widths=(6, 7), num_heads=2), "encoder.num_heads=2: must divide the widths"),
        (dict(widths=()), "widths"),
        (dict(feature_dropout=1.0), r"encoder.feature_dropout=1.0: must lie in \[0, 1\)"),
        (dict(norm="batch"), "encoder.norm='batch': must be None or 'layer'"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        gat(**options)
