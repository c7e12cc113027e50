"""Graphs: message passing, surroundings, own data, floors and evaluators; the contract of the method is elsewhere."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jaxssl.augment.graph import ego, plain
from jaxssl.cli import main
from jaxssl.data.readers.graph import _neighbors as neighbors_of
from jaxssl.data.readers.graph import graph, surroundings
from jaxssl.evaluators.clustering import clustering, matched_accuracy
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.floors.graph import propagated, spectral
from jaxssl.evaluators.links import links
from jaxssl.models.gnn import gcn
from jaxssl.models.module import forward, setup
from jaxssl.ops.graph import masked_nodes, propagate

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3)])
STATE = SimpleNamespace(params={}, memory={}, step=jnp.int32(0))


def both_ways(edges):
    return np.concatenate([edges[:, 0], edges[:, 1]]), np.concatenate([edges[:, 1], edges[:, 0]])


def test_propagate_is_the_normalised_matrix_and_padding_changes_nothing():
    h = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    dense = np.eye(5)
    dense[EDGES[:, 0], EDGES[:, 1]] = dense[EDGES[:, 1], EDGES[:, 0]] = 1
    scale = np.diag(dense.sum(1) ** -0.5)
    senders, receivers = both_ways(EDGES)
    found = propagate(h, senders, receivers, np.ones(12, bool))
    np.testing.assert_allclose(found, scale @ dense @ scale @ h, rtol=1e-5)
    wide = propagate(
        np.pad(h, ((0, 4), (0, 0))), np.pad(senders, (0, 9)), np.pad(receivers, (0, 9)), np.arange(21) < 12
    )
    np.testing.assert_array_equal(wide[:5], found)


def test_exactly_the_floor_of_the_share_is_hidden_and_never_padding():
    node_mask = np.arange(10)[None] < np.array([[10], [7], [1], [0]])
    for ratio, counts in ((0.5, (5, 3, 0, 0)), (0.7, (7, 4, 0, 0))):
        masked = masked_nodes(jax.random.key(0), node_mask, ratio)
        assert tuple(masked.sum(1)) == counts and not (masked & ~node_mask).any()
    many = jax.vmap(lambda k: masked_nodes(k, node_mask[:1], 0.5))(jax.random.split(jax.random.key(1), 2000))
    np.testing.assert_allclose(many.mean((0, 1)), 0.5, atol=0.05)


def test_surroundings_are_the_nodes_near_with_all_edges_between_them():
    around = neighbors_of(EDGES, 6)
    nodes, senders, receivers = surroundings(0, around, 6, 20, seed=3)
    assert nodes[0] == 0 and set(nodes[1:3]) == {1, 4} and set(nodes) == {0, 1, 2, 3, 4}
    found = {tuple(sorted((nodes[s], nodes[r]))) for s, r in zip(senders, receivers)}
    assert found == {tuple(e) for e in EDGES.tolist()} and len(senders) == 12
    assert surroundings(0, around, 6, 20, seed=3) == (nodes, senders, receivers)
    assert surroundings(5, around, 6, 20, seed=3) == ([5], [], [])
    few, senders, _ = surroundings(0, around, 3, 2, seed=0)
    assert len(few) == 3 and few[0] == 0 and len(senders) == 2


@pytest.fixture(scope="module")
def small():
    return graph(num_nodes=8, num_edges=16, limit=200)


def test_the_bundled_graph(small):
    train, test = small
    assert (train.size, test.size, train.num_classes) == (200, 50, 12)
    assert train.arrays["features"].shape == (200, 8, 128)
    roots = train.arrays["features"][:, 0]
    np.testing.assert_allclose(np.linalg.norm(roots, axis=1)[np.abs(roots).any(1)], 1, rtol=1e-5)
    assert not set(train.extra["train_nodes"]) & set(test.extra["test_nodes"])
    assert not {tuple(e) for e in train.extra["held_out_edges"]} & {tuple(e) for e in train.extra["edges"]}
    assert train.names(np.array([0]))[0]


def test_more_padding_gives_the_same_features(small):
    encoder = gcn(widths=(16, 8))
    batch = {k: jnp.asarray(v[:4]) for k, v in small.train.arrays.items()}
    x = plain()(None, batch)["x"]
    params, _ = setup(encoder, jax.random.key(0), x)
    wide = {name: jnp.pad(v, ((0, 0), (0, 5)) + ((0, 0),) * (v.ndim - 2)) for name, v in x.items()}
    one, _ = forward(encoder, params, {}, x)
    two, _ = forward(encoder, params, {}, wide)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_edges_are_dropped_in_both_directions_at_the_rate_asked_for(small):
    batch = {k: jnp.asarray(v) for k, v in small.train.arrays.items()}
    out = jax.jit(ego(drop_edge_rate=0.3, num_views=2))(jax.random.key(0), batch)
    one, two = (view["edge_mask"] for view in out["views"])
    kept = one.sum() / batch["edge_mask"].sum()
    assert 0.6 < kept < 0.8 and (one != two).any() and not (one & ~batch["edge_mask"]).any()
    for row in range(20):
        ends = {(int(s), int(r)) for s, r, m in zip(batch["senders"][row], batch["receivers"][row], one[row]) if m}
        assert ends == {(r, s) for s, r in ends}
    same = ego()(jax.random.key(0), batch)["views"][0]
    np.testing.assert_array_equal(same["edge_mask"], batch["edge_mask"])


def evaluation(splits, size=64):
    def passes(source):
        def iterate():
            for start in range(0, source.size, size):
                yield source.fetch(np.arange(start, min(start + size, source.size)))

        return iterate

    train, test = splits
    extra = {**train.extra, **test.extra}
    return EvaluationData(passes(train), passes(test), num_classes=train.num_classes, extra=extra)


def test_floors(small):
    data = evaluation(small)
    own = propagated(data, plain(), num_steps=0)
    np.testing.assert_array_equal(data.features(own, STATE).train_x, small.train.arrays["features"][:, 0])
    twice = data.features(propagated(data, plain()), STATE).train_x
    assert twice.shape == (200, 128) and not np.allclose(twice, small.train.arrays["features"][:, 0])
    place = data.features(spectral(data, plain(), dim=8), STATE)
    assert place.train_x.shape == (200, 8)


def test_links_and_clusters_against_scikit_learn():
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    labels = np.arange(40) % 2
    x[:, 0] += np.where(labels == 1, 20, -20)
    nodes = np.random.default_rng(1).permutation(40)
    pairs = np.random.default_rng(2).integers(0, 40, (2, 30, 2))
    extra = dict(train_nodes=nodes[:30], test_nodes=nodes[30:], held_out_edges=pairs[0], non_edges=pairs[1])
    batches = lambda rows: lambda: iter([{"x": x[nodes[rows]], "label": labels[nodes[rows]]}])
    data = EvaluationData(batches(slice(30)), batches(slice(30, 40)), num_classes=2, extra=extra)
    predict = lambda params, memory, batch: {"features": jnp.asarray(batch["x"])}
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    scores = (unit[pairs[..., 0]] * unit[pairs[..., 1]]).sum(-1).ravel()
    expected = roc_auc_score(np.repeat([1, 0], 30), scores)
    assert links(data)(predict, STATE)["links/auroc"] == pytest.approx(expected)
    found = clustering(data)(predict, STATE)
    assert found["clustering/accuracy"] == found["clustering/nmi"] == found["clustering/ari"] == 1.0
    found = clustering(data, own="assignments")(predict, STATE)
    assert found["clustering/own_accuracy"] == found["clustering/accuracy"], "k-means, where a row has no own clusters"
    assert matched_accuracy(np.array([0, 0, 1, 1, 2]), np.array([2, 2, 0, 1, 1])) == 0.8
    with pytest.raises(NotApplicable, match="no held_out_edges"):
        links(dataclasses.replace(data, extra={}))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    lines = [f"n{i},{random.normal():.3f},{random.normal() + i % 2:.3f},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "nodes.csv").write_text("\n".join(["id,height,width,label", *lines]) + "\n")
    ends = [f"n{i},n{(i + 2) % 60}" for i in range(60)] + [f"n{i},n{(i + 4) % 60}" for i in range(60)]
    (tmp_path / "edges.csv").write_text("\n".join(["source,target", *ends]) + "\n")
    return tmp_path


@pytest.mark.parametrize("config", ["graphmae_debian", "graphmae_debian_ego"])
def test_own_graph_trains_and_embeds(folder, tmp_path, config):
    run, out = tmp_path / "run", tmp_path / "features.npz"
    shrink = ["total_steps=3", "batch_size=8", "log.tensorboard=false", "evaluate.final=false", "data.limit=60"]
    options = [f"--config.{option}" for option in shrink]
    assert not main(["train", f"{config}:quick", "--data", str(folder), "--workdir", str(run), *options])
    assert not main(["embed", str(run), "--out", str(out)])
    with np.load(out) as file:
        assert len(file["features"]) == 60 and set(file["name"]) == {f"n{i}" for i in range(60)}


@pytest.mark.parametrize(
    "file, text, message",
    [
        ("edges.csv", "source,target\nn0,n99\n", r"edges.csv, row 2: target 'n99' is no id of nodes.csv"),
        ("edges.csv", "from,to\nn0,n1\n", r"edges.csv has the columns .*`source` must be among them"),
        ("nodes.csv", "id,height\nn0,1\nn0,2\n", r"nodes.csv, row 3: the id 'n0' is there twice"),
        ("nodes.csv", "id,height\nn0,tall\n", r"nodes.csv, row 2: column 'height' is 'tall', not a number"),
        ("nodes.csv", "id,label\nn0,a\n", r"nodes.csv has no column of features"),
        ("nodes.csv", "id,height\n", r"nodes.csv holds no rows"),
    ],
)
def test_bad_folders_name_file_and_row(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        graph(path=str(folder))


def test_bad_arrays_name_the_row(tmp_path):
    path = tmp_path / "g.npz"
    np.savez(path, features=np.ones((4, 2)), edges=np.array([[0, 1], [2, 9]]))
    with pytest.raises(ValueError, match=r"row 1 of `edges` is \[2, 9\], but nodes are 0 .. 3"):
        graph(path=str(path))
    np.savez(path, features=np.ones((4, 2)))
    with pytest.raises(ValueError, match="`features` and `edges` must be among them"):
        graph(path=str(path))
    with pytest.raises(FileNotFoundError, match="a .npz file or a folder"):
        graph(path=str(tmp_path / "none"))
