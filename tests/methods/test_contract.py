"""The contract that every method keeps, checked over the configs of the project in their quick form.

In full for one config of each method that has a loss of its own, and for one of each skeleton of joint embeddings:
one experiment a config, one compilation for one device, one for eight, shared by all checks of that config. A method that
is an objective on such a skeleton is traced with its config, and compiled with an encoder of one matrix. With --slow
everything is checked in full.

A config file names with `RESTING = r"..."` the parameters that get no gradient in the first step.
"""

import ast
import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxssl.build import build
from jaxssl.checkpoint import Checkpoints
from jaxssl.config import load_config, options
from jaxssl.config_files import config_files, import_config
from jaxssl.core import State, init_state, make_update
from jaxssl.experiment import load_splits, make_method, resident_feed, setup
from jaxssl.index import PUBLISHED, contract
from jaxssl.monitor import split
from jaxssl.optim import path_name
from jaxssl.sharding import batch_sharding, make_mesh

STEPS = 30
SHARDED_STEPS = 10
# Of the batch that an objective is checked on.
ROWS = 32
# A ConvNet or ViT that has collapsed in 30 steps shows an effective rank near 1.
RANK_FLOOR = 2.0


class Recorded(NamedTuple):
    """Gradients of the last step, kept beside the optimiser's state."""

    grads: optax.Updates
    inner: optax.OptState


def record(tx: optax.GradientTransformation) -> optax.GradientTransformation:
    def init(params):
        return Recorded(jax.tree.map(jnp.zeros_like, params), tx.init(params))

    def update(grads, state, params):
        updates, inner = tx.update(grads, state.inner, params)
        return updates, Recorded(grads, inner)

    return optax.GradientTransformation(init, update)


class Run(NamedTuple):
    file: Path
    config: object
    experiment: object
    states: list  # before each of the first SHARDED_STEPS steps and after them, on the host
    last: State
    rows: list  # scalars of every step
    ranks: list  # effective rank of the features after the first and the last step
    first_grads: dict
    compilations: int


def rank(features):
    """Effective rank: exp of the entropy of the singular values as shares."""
    share = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    share = share[share > 0] / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def to_host(tree):
    return jax.tree.map(np.asarray, tree)


def configs():
    """Every config, with the mark `slow` where its contract is not checked in full in every run."""
    marked = [(c, [] if level == "full" else [pytest.mark.slow]) for c, level in contract().items() if level != "data"]
    return [pytest.param(c, id=c.stem, marks=marks) for c, marks in marked]


def check_gradients(gradients, file):
    """A dead head or a doubled stop-gradient shows here. Normalisation cancels biases ahead of it: none may exist."""
    resting, rested = getattr(import_config(file), "RESTING", ""), False
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        name = path_name(path)
        assert np.isfinite(gradient).all(), name
        if resting and re.search(resting, name):
            rested = True
            assert not np.abs(gradient).any(), f"{name} gets a gradient, {file.name} says that it rests"
        else:
            assert np.abs(gradient).max() > 0, f"{name} gets no gradient"
    assert rested or not resting, f"RESTING of {file.name} matches no parameter"


SHORT = [pytest.param(c, id=c.stem) for c, level in contract().items() if level == "short"]


@pytest.mark.parametrize("file", SHORT)
def test_an_update_can_be_traced(file):
    """In its quick form, without compiling or computing anything."""
    experiment = setup(load_config(f"{file}:quick"), devices=jax.devices()[:1])
    state, metrics = jax.eval_shape(experiment.update, experiment.abstract, experiment.feed_shapes())
    assert jax.tree.map(_type, state) == jax.tree.map(_type, experiment.abstract)
    assert metrics["loss"].shape == () and metrics["loss"].dtype == jnp.float32


def _type(x):
    return x.shape, x.dtype


class Linear(nn.Module):
    """An encoder that compiles in no time."""

    dtype: str = "float32"

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(12, use_bias=False)(x)


def linear_update(config, method, batch, num_devices):
    """(first state, update) of a method on one batch; the update keeps its gradients as `record` does."""
    mesh = make_mesh(num_devices, 1, jax.devices()[:num_devices])
    tx, root, same = record(optax.sgd(0.1)), jax.random.key(config.seed), lambda key, batch: batch
    step = make_update(method, same, tx, root)
    here = NamedSharding(mesh, PartitionSpec())
    initial = jax.jit(lambda: init_state(method, same, tx, root, jax.tree.map(jnp.zeros_like, batch)))

    @jax.jit
    def update(state):
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(state, jax.lax.with_sharding_constraint(batch, batch_sharding(mesh)))

    return jax.device_put(initial(), here), lambda state: update(jax.device_put(state, here))


@pytest.mark.parametrize("file", [p for p in SHORT if p.values[0].parent.name != PUBLISHED])
def test_an_objective_on_an_encoder_of_one_matrix(file):
    """What the method adds to its skeleton: loss, gradients and memory, the same on one device and on eight."""
    config = load_config(f"{file}:quick")
    source = load_splits(config).train
    method, example = make_method(config, Linear(), source), source.fetch(np.arange(ROWS))
    views = jax.eval_shape(build(options(config.augment)), jax.random.key(0), example)["views"]
    keys = jax.random.split(jax.random.key(1), len(views))
    shared = jax.random.normal(jax.random.key(2), (ROWS, 16))
    batch = {"views": tuple(shared + 0.3 * jax.random.normal(key, shared.shape) for key in keys)}

    state, update = linear_update(config, method, batch, 1)
    states, losses = [to_host(state)], []
    for _ in range(3):
        state, metrics = update(state)
        states.append(to_host(state))
        losses.append(float(metrics["loss"]))
    assert np.isfinite(losses).all() and metrics["loss"].dtype == jnp.float32
    assert jax.tree.map(_type, states[0]) == jax.tree.map(_type, states[-1])
    check_gradients(states[1].opt_state.grads, file)
    features = method.predict(state.params, state.memory, {"x": shared})["features"]
    assert features.shape == (ROWS, 12)

    _, update = linear_update(config, method, batch, 8)
    for before, after, loss in zip(states, states[1:], losses):
        state, metrics = update(before)
        assert math.isclose(float(metrics["loss"]), loss, rel_tol=1e-4, abs_tol=1e-6)
        assert distance(state.opt_state.grads, after.opt_state.grads) < 1e-3
        assert distance(state.memory, after.memory) < 1e-4


@pytest.fixture(scope="module", params=configs())
def run(request):
    config = load_config(f"{request.param}:quick")
    experiment = setup(config, devices=jax.devices()[:1], wrap_tx=record)
    state = experiment.initial()
    feed = resident_feed(experiment)
    states, rows, ranks = [], [], []
    for step in range(STEPS):
        if step <= SHARDED_STEPS:
            states.append(to_host(state))
        state, metrics = experiment.update(state, feed)
        scalars, watched = split(metrics)
        rows.append(jax.device_get(scalars))
        if step in (0, STEPS - 1):
            ranks.append(rank(watched["features"][0]))
        if step == 0:
            grads = to_host(state.opt_state.grads)
    return Run(request.param, config, experiment, states, state, rows, ranks, grads, experiment.update._cache_size())


def test_loss_is_a_finite_float32_scalar(run):
    losses = [row["loss"] for row in run.rows]
    assert all(loss.dtype == np.float32 and loss.shape == () for loss in losses)
    assert np.isfinite(losses).all()


def test_every_parameter_gets_a_gradient(run):
    check_gradients(run.first_grads, run.file)


def test_memory_keeps_structure_shapes_and_dtypes(run):
    assert jax.tree.structure(run.states[0]) == jax.tree.structure(to_host(run.last))
    for before, after in zip(jax.tree.leaves(run.states[0]), jax.tree.leaves(run.last)):
        assert (before.shape, before.dtype) == (after.shape, after.dtype)


def test_parameters_are_float32(run):
    assert {x.dtype for x in jax.tree.leaves(run.states[0].params)} == {np.dtype("float32")}


def test_compiles_once(run):
    assert run.compilations == 1


def test_loss_falls_and_features_do_not_collapse(run):
    """Against the third step: queues and centres that start empty are filled by then."""
    losses = np.array([row["loss"] for row in run.rows])
    assert losses[-5:].mean() < losses[2:7].mean()
    assert run.ranks[-1] > RANK_FLOOR


def test_step_counts_updates(run):
    assert int(run.last.step) == STEPS


def test_a_step_repeats_exactly_from_a_restored_state(run, tmp_path):
    """Saved and restored at step 10, the run gives the same metrics bit for bit."""
    experiment = run.experiment
    state = jax.device_put(run.states[10], jax.tree.map(lambda x: x.sharding, experiment.abstract))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state, 10)
    checkpoints.wait()
    state = checkpoints.restore(experiment.like())
    checkpoints.close()
    assert jax.tree.structure(to_host(state)) == jax.tree.structure(run.states[10])
    feed = resident_feed(experiment)
    for row in run.rows[10:15]:
        state, metrics = experiment.update(state, feed)
        again = jax.device_get(split(metrics)[0])
        assert {k: float(v) for k, v in again.items()} == {k: float(v) for k, v in row.items()}


def test_predict_gives_features_that_depend_on_no_other_row(run):
    source, last = run.experiment.splits.test, run.last
    found, other = (
        run.experiment.predict(last.params, last.memory, source.fetch(np.array(ids)))["features"]
        for ids in ((0, 1, 2), (0, 3, 4))
    )
    assert found.shape[0] == 3 and found.ndim == 2 and found.dtype == jnp.float32
    np.testing.assert_allclose(found[0], other[0], rtol=1e-4, atol=1e-5)
    assert not np.allclose(found[1], other[1], rtol=1e-3)


def distance(tree, reference):
    """||tree - reference|| / ||reference|| over all leaves."""
    pairs = list(zip(jax.tree.leaves(to_host(tree)), jax.tree.leaves(to_host(reference)), strict=True))
    square = sum(np.square(a.astype(np.float64) - b).sum() for a, b in pairs)
    return math.sqrt(square / max(sum(np.square(b.astype(np.float64)).sum() for _, b in pairs), 1e-30))


def test_eight_devices_give_the_losses_and_gradients_of_one(run):
    """Losses and methods see the global batch, so that the number of devices is no option of the method.

    Every step starts where the run on one device stood: where the input of a ReLU is zero but for rounding, a gradient
    of a network this small jumps by per cents, and left to themselves the two runs would part on one machine or
    another. Hence also the median for the gradients.
    """
    experiment = setup(run.config, devices=jax.devices()[:8], wrap_tx=record)
    sharding = jax.tree.map(lambda x: x.sharding, experiment.abstract)
    feed, grads = resident_feed(experiment), []
    for before, after, row in zip(run.states[:SHARDED_STEPS], run.states[1:], run.rows):
        state, metrics = experiment.update(jax.device_put(before, sharding), feed)
        assert math.isclose(float(metrics["loss"]), float(row["loss"]), rel_tol=1e-4, abs_tol=1e-6)
        grads.append(distance(state.opt_state.grads, after.opt_state.grads))
        assert distance(state.memory, after.memory) < 1e-4
    assert np.median(grads) < 1e-3


def test_config_has_the_common_sections_and_a_documented_source(request):
    from jaxssl.config import base

    for file in config_files().values():
        doc = ast.get_docstring(ast.parse(file.read_text()))
        assert "arXiv:" in doc and f"configs/{file.parent.name}/{file.name}" in doc, (
            f"{file.name}: docstring lacks paper or command"
        )
        config = load_config(str(file))
        assert set(config) == set(base()), file.name
        json.loads(config.to_json_best_effort())
