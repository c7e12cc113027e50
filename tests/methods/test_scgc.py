"""SCGC: influences in a graph, and what the method does with them; the contract of the method is elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.config import load_config
from jaxssl.data.readers.influence import adjacency_power, influence
from jaxssl.data.sets.digits_influence import digits_influence
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup
from jaxssl.losses import dec, neighbor_contrast
from jaxssl.methods.scgc import scgc
from jaxssl.models.mlp import mlp
from jaxssl.models.module import forward
from jaxssl.ops import kmeans, student_t_assignment
from jaxssl.ops.graph import influence_matrix

EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (1, 3)])


def dense(power, cumulative=False):
    adjacency = np.eye(6)
    adjacency[EDGES[:, 0], EDGES[:, 1]] = adjacency[EDGES[:, 1], EDGES[:, 0]] = 1
    adjacency /= adjacency.sum(1, keepdims=True)
    powers = [np.linalg.matrix_power(adjacency, r) for r in range(1, power + 1)]
    return sum(powers) if cumulative else powers[-1]


@pytest.mark.parametrize("cumulative", [False, True])
def test_powers_of_the_adjacency(cumulative):
    found = adjacency_power(EDGES, 6, 3, cumulative=cumulative).toarray()
    np.testing.assert_allclose(found, dense(3, cumulative), rtol=1e-12)


def test_influences_of_a_graph_and_of_a_batch_are_those_of_the_matrix(tmp_path):
    path = tmp_path / "g.npz"
    features = np.random.default_rng(0).normal(size=(6, 3))
    # With fewer than 20 edges none is held out.
    np.savez(path, features=features, edges=EDGES)
    train, test = influence(path=str(path), power=2, test_fraction=0.0)
    assert test is None and train.arrays["neighbors"].shape == (6, 6)
    batch = {k: jnp.asarray(v[[4, 0, 2, 3]]) for k, v in train.arrays.items()}
    found = jax.jit(influence_matrix)(batch["node"], batch["neighbors"], batch["weights"])
    np.testing.assert_allclose(found, dense(2)[np.ix_([4, 0, 2, 3], [4, 0, 2, 3])], rtol=1e-6)
    few = influence(path=str(path), power=2, test_fraction=0.0, num_neighbors=2).train.arrays
    np.testing.assert_allclose(few["weights"], np.sort(dense(2), axis=1)[:, :-3:-1], rtol=1e-6)
    alone = influence(path=str(path), power=0, test_fraction=0.0).train.arrays
    np.testing.assert_array_equal(alone["neighbors"][:, 0], alone["node"])
    assert (alone["weights"] == np.eye(6)[0]).all()
    with pytest.raises(ValueError, match="data.power=-1: must be at least 0"):
        influence(power=-1)


def test_digits_are_joined_to_their_nearest():
    train, test = digits_influence(limit=100)
    assert (train.size, test.size, train.num_classes) == (100, 25, 10)
    assert train.arrays["features"].shape == (100, 64) and train.arrays["features"].max() == 1.0
    # Rows of A + ... + A^4 sum to 4, of which little is left out.
    assert 3.5 < train.arrays["weights"].sum(1).mean() <= 4.0 + 1e-4
    assert not set(train.extra["train_nodes"]) & set(test.extra["test_nodes"])


@pytest.fixture(scope="module")
def small():
    """(method, params, memory, batch, loss under jit) of a small network that pretrains for 5 steps."""
    train, _ = digits_influence(limit=64)
    batch = {k: jnp.asarray(v) for k, v in train.arrays.items()}
    batch["views"] = (batch.pop("features"),)
    method = scgc(mlp(hidden_dims=(8,), out_dim=4), num_clusters=3, pretrain_steps=5, reconstruction_weight=0.0)
    params, memory = jax.jit(method.init)(jax.random.key(0), batch)
    value = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    return method, params, memory, batch, lambda *state, step: value(*state, batch, jax.random.key(1), step)


def test_first_only_the_reconstruction_counts_then_all_but_it(small):
    _, params, memory, batch, value = small
    (loss, (after, metrics, _)), gradients = value(params, memory, step=0)
    assert loss == metrics["reconstruction"] and (after["start"] == 0).all()
    assert (gradients["centers"] == 0).all() and np.abs(gradients["decoder"]["linear0"]["kernel"]).max() > 0
    (loss, (after, metrics, _)), gradients = value(params, memory, step=5)
    z, _ = forward(mlp(hidden_dims=(8,), out_dim=4), params["encoder"], {}, batch["views"][0])
    found = jax.jit(lambda z: kmeans(jax.random.key(1), z, 3, restarts=20))(z)
    np.testing.assert_allclose(after["start"], found, rtol=1e-4, atol=1e-5)
    matrix = influence_matrix(batch["node"], batch["neighbors"], batch["weights"])
    expected = neighbor_contrast(z, matrix, scale=0.25) + 0.1 * dec(student_t_assignment(z, after["start"]))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert all((g == 0).all() for g in jax.tree.leaves(gradients["decoder"]))
    assert np.abs(gradients["centers"]).max() > 0


def test_the_start_of_the_centres_stays_once_it_is_set(small):
    _, params, memory, _, value = small
    (_, (set_once, *_)), _ = value(params, memory, step=5)
    (_, (later, *_)), _ = value(params, set_once, step=6)
    np.testing.assert_array_equal(later["start"], set_once["start"])


def test_of_the_whole_graph_the_loss_is_that_of_all_nodes_whatever_the_batch(small):
    """With the matrix in the context; the reference has every node in one batch of the sampled form."""
    train, test = digits_influence(limit=64, whole=True)
    context = {name: jnp.asarray(value) for name, value in train.context.items()}
    assert context["influence"].shape == (80, 80) and (train.size, test.size) == (64, 16)
    # Rows of A + ... + A^4; the graph is cut to the nodes nearest to the largest hub.
    np.testing.assert_allclose(context["influence"].sum(1), 4, rtol=1e-5)
    encoder = mlp(hidden_dims=(8,), out_dim=4)
    method = scgc(encoder, num_clusters=3, clustering_weight=0.5, pretrain_steps=1)
    batches = [
        {"views": (context["features"][rows],), "node": rows}
        for rows in (jnp.arange(8), jnp.array([70, 3, 5, 9, 11, 2, 1, 0]))
    ]
    params, memory = method.init(jax.random.key(0), {**batches[0], "context": context})
    memory = {**memory, "context": context, "start": jax.random.normal(jax.random.key(2), (3, 4))}
    loss = jax.jit(method.loss)
    found = [loss(params, memory, batch, jax.random.key(1), 2) for batch in batches]
    z, _ = forward(encoder, params["encoder"], {}, context["features"])
    hidden = jax.nn.relu(z @ params["decoder"]["linear0"]["kernel"] + params["decoder"]["linear0"]["bias"])
    pred = hidden @ params["decoder"]["linear1"]["kernel"] + params["decoder"]["linear1"]["bias"]
    q = student_t_assignment(z, memory["start"])
    expected = (
        jnp.mean(jnp.square(pred - context["features"]))
        + neighbor_contrast(z, context["influence"], scale=0.25)
        + 0.5 * dec(q)
    )
    for (value, out), batch in zip(found, batches):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(out.watch.features[0], z[batch["node"]], rtol=1e-5, atol=1e-6)
    first = [loss(params, memory, batch, jax.random.key(1), 0)[0] for batch in batches]
    assert first[0] != first[1], "the pretraining is on the batch"


def test_scgc_says_what_does_not_fit(small):
    with pytest.raises(TypeError, match="models.mlp"):
        scgc(object(), num_clusters=3)
    with pytest.raises(ValueError, match="num_clusters=1"):
        scgc(mlp(), num_clusters=1)
    with pytest.raises(ValueError, match="no more than the 64 nodes"):
        scgc(mlp(hidden_dims=(8,), out_dim=4), num_clusters=65).init(jax.random.key(0), small[3])


@pytest.mark.slow
def test_clusters_of_digits_over_three_seeds():
    """Own clusters 5 points above k-means on the pretrained autoencoder; k-means on z not below that on pixels."""
    own, on_z, autoencoder = [], [], []
    for seed in range(3):
        config = load_config("configs/graph/scgc_digits.py")
        with config.unlocked():
            config.seed = seed
            config.evaluate.evaluators = dict(clustering=dict(name="evaluators.clustering", own="assignments"))
        experiment = setup(config, devices=jax.devices()[:1])
        evaluation, state, feed = Evaluation(experiment), experiment.initial(), resident_feed(experiment)
        for step in range(config.total_steps):
            if step == config.method.pretrain_steps:
                autoencoder.append(evaluation.run(state)["clustering/accuracy"])
            state, _ = experiment.update(state, feed)
        found = evaluation.run(state)
        own.append(found["clustering/own_accuracy"])
        on_z.append(found["clustering/accuracy"])
    pixels = 0.79
    print(f"own {own}, k-means on z {on_z}, on the autoencoder {autoencoder}")
    assert np.mean(own) >= np.mean(autoencoder) + 0.05
    assert np.mean(on_z) >= pixels
