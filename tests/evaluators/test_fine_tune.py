"""Fine-tuning on a few labels: what is trained, on which rows, and with what outcome."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.evaluators.few_labels import draw_rows
from jaxssl.evaluators.fine_tune import Network, _trainer, fine_tune
from jaxssl.evaluators.floors.flat import flat


def passes(x, y, index, size=100):
    def iterate():
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            pad = size - len(x[rows])
            yield {
                # Padding is poison: it must never be read.
                "x": np.pad(x[rows], ((0, pad), (0, 0)), constant_values=np.nan),
                "label": np.pad(y[rows], (0, pad), constant_values=3),
                "index": np.pad(index[rows], (0, pad)),
                "_mask": np.arange(size) < size - pad,
            }

    return iterate


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    return x[order].astype(np.float32) / 16, y[order].astype(np.int32)


@pytest.fixture(scope="module")
def data(digits):
    x, y = digits
    y = np.where(np.arange(len(y)) % 7 == 0, -1, y)
    # Ids in an order of their own: rows are found by id, not by place.
    index = np.random.default_rng(1).permutation(950)
    return EvaluationData(passes(x[:950], y[:950], index), passes(x[950:1500], y[950:1500], np.arange(550)), 10)


@pytest.fixture(scope="module")
def state():
    w = np.random.default_rng(2).normal(size=(64, 32)).astype(np.float32) / 8
    memory = {"teacher": {"w": jnp.asarray(w)}, "stats": {"mean": jnp.zeros(64)}, "queue": jnp.arange(3)}
    return SimpleNamespace(params={"w": jnp.asarray(w)}, memory=memory, step=jnp.int32(5))


def network(params, memory, batch):
    return {"features": jax.nn.relu((batch["x"] - memory["stats"]["mean"]) @ params["w"])}


def teacher(params, memory, batch):
    return network(memory["teacher"], memory, batch)


@pytest.mark.parametrize("predict", [network, teacher])
def test_labels_train_what_computes_the_features(data, state, predict):
    before = jax.tree.map(np.array, (state.params, state.memory))
    options = dict(per_class=(10,), draws=2, learning_rate=3e-3, batch_size=40)
    few = fine_tune(data, steps=2, **options)(jax.jit(predict), state)
    many = fine_tune(data, steps=150, **options)(jax.jit(predict), state)
    assert set(many) == {"fine_tune/10_mean", "fine_tune/10_std"}
    # Logistic regression on 10 labels a class of the raw pixels gives 0.87.
    assert many["fine_tune/10_mean"] > 0.82 > few["fine_tune/10_mean"] + 0.1
    jax.tree.map(np.testing.assert_array_equal, before, (state.params, state.memory))


def test_the_steps_are_adam_on_rows_in_turn(digits, state):
    """Against a plain loop, with steps that hold a part of the rows; statistics are not trained."""
    x, y = digits[0][:7], digits[1][:7]
    tx, size, steps = optax.adam(1e-2), 3, 5
    parts = Network(network, state)
    assert len(parts.leaves) == 2, "both kernels; neither statistics nor counters"
    leaves, weight, bias = _trainer(parts, tx, steps, size, 10)({"x": x}, y)
    params = {"w": state.params["w"], "head": jnp.zeros((32, 10)), "bias": jnp.zeros(10)}
    scale = np.linalg.norm(network(state.params, state.memory, {"x": x[:size]})["features"], axis=1).mean()

    def loss(params, rows):
        logits = network(params, state.memory, {"x": x[rows]})["features"] / scale @ params["head"] + params["bias"]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(size), y[rows]])

    opt_state = tx.init(params)
    for step in range(steps):
        rows = (size * step + np.arange(size)) % 7
        updates, opt_state = tx.update(jax.grad(loss)(params, rows), opt_state)
        params = optax.apply_updates(params, updates)
    after = parts.state(leaves)
    np.testing.assert_allclose(after.params["w"], params["w"], atol=1e-5)
    np.testing.assert_allclose(weight, params["head"] / scale, atol=1e-5)
    np.testing.assert_allclose(bias, params["bias"], atol=1e-5)
    np.testing.assert_array_equal(after.memory["teacher"]["w"], state.memory["teacher"]["w"])


def test_the_rows_are_those_of_few_labels():
    """Every example has a row of the kernel to itself, so that the rows that move tell which were trained on."""
    x = np.eye(40, dtype=np.float32)
    y = np.arange(40, dtype=np.int32) % 4
    index = np.random.default_rng(0).permutation(40)
    by_id = y[np.argsort(index)]
    data = EvaluationData(passes(x, y, index, size=16), passes(x, y, index, size=16), 4)
    state = SimpleNamespace(params={"w": jnp.eye(40)}, memory={"stats": {}}, step=jnp.int32(0))
    predict = lambda params, memory, batch: {"features": batch["x"] @ params["w"]}
    rows = draw_rows(by_id, 2, num_classes=4, draws=1, seed=3)[0]
    seen = []

    def watched(params, memory, batch):
        if not isinstance(params["w"], jax.core.Tracer):
            seen.append(np.asarray(params["w"]))
        return predict(params, memory, batch)

    fine_tune(data, per_class=(2,), draws=1, seed=3, steps=5)(watched, state)
    moved = np.flatnonzero(np.abs(seen[-1] - np.eye(40)).max(1) > 1e-6)
    ids = np.sort(index[moved])
    np.testing.assert_array_equal(ids, np.sort(rows))


def test_rows_without_a_network_are_left_out(data, state):
    run = fine_tune(data, steps=1)
    with pytest.raises(NotApplicable, match="nothing that can be trained"):
        run(flat(None, lambda key, batch: batch), state)
    with pytest.raises(NotApplicable, match="not computed by a network"):
        run(lambda params, memory, batch: {"features": np.asarray(params["w"])[:1] * np.ones((1, 32))}, state)


def test_bad_options_are_refused(data, digits, state):
    for options, said in (
        (dict(per_class=()), "per_class"),
        (dict(draws=0), "draws"),
        (dict(steps=1.5), "steps"),
        (dict(batch_size=0), "batch_size"),
        (dict(learning_rate=0.0), "learning_rate"),
    ):
        with pytest.raises(ValueError, match=said):
            fine_tune(data, **options)
    with pytest.raises(LabelsNeeded, match="fine_tune: per_class asks for 900"):
        fine_tune(data, per_class=(900,))(network, state)
    x, y = digits
    unlabelled = EvaluationData(passes(x[:20], -np.ones(20, np.int32), np.arange(20)), data.test_batches, 10)
    with pytest.raises(LabelsNeeded, match="no example of the training set"):
        fine_tune(unlabelled)(network, state)
