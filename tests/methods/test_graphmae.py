"""GraphMAE on the whole graph and on graphs around nodes, against NumPy; its contract is elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment.graph import plain
from jaxssl.data.readers.graph import graph
from jaxssl.methods.graphmae import graphmae
from jaxssl.models.gnn import gcn
from jaxssl.ops.graph import masked_nodes

SIZE, WIDTH = 12, 5


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    random = np.random.default_rng(0)
    edges = np.array([(i, (i + step) % SIZE) for i in range(SIZE) for step in (1, 5)])[:19]  # below 20 none is held out
    file = tmp_path_factory.mktemp("graph") / "g.npz"
    np.savez(file, features=random.normal(size=(SIZE, WIDTH)), edges=edges, label=np.arange(SIZE) % 2)
    return str(file)


def started(method, splits, rows):
    """(params, memory, batch) of a method on the whole graph, the parameters moved from their special places."""
    context = {name: jnp.asarray(x) for name, x in splits.train.context.items()}
    batch = {"node": jnp.asarray(rows), "views": (context["features"][jnp.asarray(rows)],)}
    params, memory = jax.jit(method.init)(jax.random.key(0), {**batch, "context": context})
    assert memory == {}
    random = np.random.default_rng(1)
    params = jax.tree.map(lambda x: x + 0.1 * random.normal(size=x.shape).astype(np.float32), params)
    return params, {"context": context}, batch


def propagation(context, linked=True):
    """D^-1/2 (A + I) D^-1/2 of a context's graph, or of it without its edges."""
    dense = np.eye(SIZE)
    if linked:
        dense[context["receivers"], context["senders"]] = 1
    scale = dense.sum(1) ** -0.5
    return scale[:, None] * dense * scale


def reference(params, context, key, *, linked, ratio, squared=False, alpha=2.0):
    """The loss by hand; `linked`: whether the encoder sees the edges."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    x = np.asarray(context["features"], np.float64)
    key_hide = jax.random.split(key, 4)[0]
    hidden = np.asarray(masked_nodes(jax.random.split(key_hide, 3)[0], np.ones((1, SIZE), bool), ratio))[0]
    assert hidden.sum() == int(ratio * SIZE)
    h = np.where(hidden[:, None], p["mask_token"], x)
    h = propagation(context, linked) @ h @ p["encoder"]["layer0"]["linear"]["kernel"] + p["encoder"]["layer0"]["bias"]
    h = np.where(h > 0, h, p["encoder"]["act0"]["slope"] * h)
    z = np.where(hidden[:, None], 0, h @ p["bridge"]["linear0"]["kernel"])
    pred = propagation(context) @ z @ p["decoder"]["linear"]["kernel"] + p["decoder"]["bias"]
    if squared:
        return np.mean(np.square(pred - x)[hidden])
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)
    return np.mean((1 - (unit(pred) * unit(x)).sum(1))[hidden] ** alpha)


@pytest.mark.parametrize("error", ["scaled_cosine", "squared"])
def test_the_loss_of_the_whole_graph_by_hand_whatever_the_batch(path, error):
    splits, key = graph(path=path, whole=True), jax.random.key(3)
    method = graphmae(gcn(widths=(4,)), replace_rate=0.0, masking_ratio=0.6, alpha=2.0, error=error)
    params, memory, batch = started(method, splits, [3, 1])
    loss = jax.jit(method.loss)
    value, out = loss(params, memory, batch, key, 0)
    expected = reference(params, memory["context"], key, linked=True, ratio=0.6, squared=error == "squared")
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    again, _ = loss(params, memory, {**batch, "node": jnp.array([0, 7])}, key, 0)
    assert value == again and out.watch.features.shape == (1, 2, 4)


def test_the_decoder_sees_the_edges_that_the_encoder_does_not(path):
    """Whether the method drops them or the view has: nearly all are dropped, and the encoder sees none."""
    splits, key = graph(path=path, whole=True), jax.random.key(3)
    method = graphmae(gcn(widths=(4,)), replace_rate=0.0, alpha=2.0, drop_edge_rate=1 - 1e-7)
    params, memory, batch = started(method, splits, [3, 1])
    expected = reference(params, memory["context"], key, linked=False, ratio=0.5)
    np.testing.assert_allclose(jax.jit(method.loss)(params, memory, batch, key, 0)[0], expected, rtol=1e-5)
    context, edges = memory["context"], jnp.ones((1, len(memory["context"]["senders"])), bool)
    view = {name: context[name][None] for name in ("features", "senders", "receivers")}
    view |= {"node_mask": jnp.ones((1, SIZE), bool), "edge_mask": ~edges, "all_edges": edges}
    method = graphmae(gcn(widths=(4,)), replace_rate=0.0, alpha=2.0)
    np.testing.assert_allclose(jax.jit(method.loss)(params, {}, {"views": (view,)}, key, 0)[0], expected, rtol=1e-5)


def test_features_of_a_node_are_those_of_the_graph_around_it(path):
    # One layer: a graph around a node ends after two steps, and its last nodes lack edges.
    method = graphmae(gcn(widths=(4,)))
    whole = graph(path=path, whole=True)
    params, memory, _ = started(method, whole, [0, 1])
    around = graph(path=path, num_nodes=SIZE, num_edges=4 * SIZE)
    for one, other in ((whole.train, around.train), (whole.test, around.test)):
        np.testing.assert_array_equal(one.arrays["node"], other.arrays["node"])
        batch = {"node": jnp.asarray(one.arrays["node"]), "x": jnp.asarray(one.arrays["features"])}
        found = jax.jit(method.predict)(params, memory, batch)["features"]
        x = plain()(None, {k: jnp.asarray(v) for k, v in other.arrays.items()})["x"]
        expected = jax.jit(method.predict)(params, {}, {"x": x})["features"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(path):
    with pytest.raises(ValueError, match="method.error='cosine'"):
        graphmae(gcn(), error="cosine")
    with pytest.raises(ValueError, match="method.drop_edge_rate=1"):
        graphmae(gcn(), drop_edge_rate=1)
    lone = {"views": (jnp.ones((2, 3)),)}
    with pytest.raises(ValueError, match=r"need graphs, got an array of shape \(2, 3\); data.whole=True"):
        graphmae(gcn()).init(jax.random.key(0), lone)
