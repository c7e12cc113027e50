"""A whole graph in the context of the data: all its nodes and edges once, and what is cut from it."""

import numpy as np
import pytest

from jaxssl.data.readers.graph import graph
from jaxssl.data.readers.influence import adjacency_power, influence
from jaxssl.data.whole_graph import check_matrix, nearest_to_hub, renumbered

# A star of 0 .. 3, a path from it, and a pair apart.
EDGES = np.array([(0, 1), (0, 2), (0, 3), (3, 4), (4, 5), (6, 7)])


@pytest.fixture
def path(tmp_path):
    random = np.random.default_rng(0)
    np.savez(tmp_path / "g.npz", features=random.normal(size=(8, 3)), edges=EDGES, label=np.arange(8) % 2)
    return str(tmp_path / "g.npz")


def test_the_context_holds_the_graph_and_examples_are_its_nodes(path):
    train, test = graph(path=path, whole=True, test_fraction=0.25)
    assert (train.size, test.size, train.num_classes) == (6, 2, 2)
    context = train.context
    # With fewer than 20 edges none is held out.
    found = {(int(s), int(r)) for s, r in zip(context["senders"], context["receivers"])}
    assert found == {(i, j) for i, j in EDGES.tolist()} | {(j, i) for i, j in EDGES.tolist()}
    assert len(context["senders"]) == 12 and (np.diff(context["receivers"]) >= 0).all()
    for part in (train, test):
        np.testing.assert_array_equal(part.arrays["features"], context["features"][part.arrays["node"]])
    nodes = np.concatenate([train.arrays["node"], test.arrays["node"]])
    assert sorted(nodes) == list(range(8)) and set(test.extra["test_nodes"]) == set(test.arrays["node"])


def test_a_cut_keeps_what_is_nearest_to_the_largest_hub(path):
    kept = nearest_to_hub(EDGES, 8, 5)
    assert list(kept) == [0, 1, 2, 3, 4] and list(nearest_to_hub(EDGES, 8, 7)) == [0, 1, 2, 3, 4, 5, 6]
    assert renumbered(EDGES, np.array([0, 3, 4, 6]), 8).tolist() == [[0, 1], [1, 2]]
    train, test = graph(path=path, whole=True, test_fraction=0.25, limit=3)
    assert (train.size, test.size) == (3, 1) and len(train.context["features"]) == 4


def test_influences_of_all_nodes(path):
    train, _ = influence(path=path, whole=True, power=2)
    expected = adjacency_power(EDGES, 8, 2).toarray()
    np.testing.assert_allclose(train.context["influence"], expected, rtol=1e-6)
    alone = influence(path=path, whole=True, power=0).train.context["influence"]
    np.testing.assert_array_equal(alone, np.eye(8))
    check_matrix(20_000)
    with pytest.raises(ValueError, match="data.whole=True: the influences of 100000 nodes .*data.whole=False"):
        check_matrix(100_000)
