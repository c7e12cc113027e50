"""What every step may read of the data and none changes: `Source.context`, a whole graph or the features of all items."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from jaxssl.checkpoint import Checkpoints
from jaxssl.core import Method, Out
from jaxssl.data.source import Splits, from_arrays
from jaxssl.experiment import make_feed, resident_feed, setup

SIZE = 64
ITEMS = np.random.default_rng(0).normal(size=(20_000, 8)).astype(np.float32)  # 640 kB


def data(context=None):
    random = np.random.default_rng(0)
    made = from_arrays({"image": random.integers(0, 256, (SIZE, 8, 8, 1), np.uint8)})
    return Splits(dataclasses.replace(made, context={"items": ITEMS} if context is None else context))


def reader(encoder) -> Method:
    """Learns from the context and the batch; tries to change the context, in vain."""
    del encoder

    def init(key, batch):
        width = batch["context"]["items"].shape[1]
        return {"kernel": jax.random.normal(key, (width,))}, {"mean": jnp.zeros(width)}

    def loss(params, memory, batch, key, step):
        items = memory["context"]["items"]
        rows = items[batch["index"]] + jnp.mean(batch["x"], axis=(1, 2, 3))[:, None]
        value = jnp.mean(jnp.square(rows @ params["kernel"] - 1))
        return value, Out({**memory, "mean": items.mean(0), "context": {"items": items * 2}})

    def after(params, memory, step):
        return {**memory, "context": {"items": memory["context"]["items"] + 1}}

    def predict(params, memory, batch):
        return {"features": batch["x"].reshape(len(batch["x"]), -1) + memory["context"]["items"].mean()}

    return Method(init, loss, predict, after)


def config(mode="resident"):
    made = toy.get_config()
    made.method = dict(name="test_context.reader")
    made.batch_size, made.mesh.data, made.data.mode = 16, -1, mode
    return made


def trained(run, state, start, stop):
    losses = []
    for feed in itertools.islice(make_feed(run, start), stop - start):
        state, metrics = run.update(state, feed)
        losses.append(float(metrics["loss"]))
    return state, losses


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_a_method_reads_it_and_nothing_changes_it(mode):
    run = setup(config(mode), splits=data())
    state, losses = trained(run, run.initial(), 0, 5)
    np.testing.assert_array_equal(state.memory["context"]["items"], ITEMS)
    np.testing.assert_allclose(state.memory["mean"], ITEMS.mean(0), atol=1e-6)
    assert losses[-1] < losses[0]
    state, _ = trained(run, run.initial(), 0, 1)  # the first state's arrays were donated; the context is there again
    np.testing.assert_array_equal(state.memory["context"]["items"], ITEMS)


def test_no_program_holds_it_as_a_constant():
    run = setup(config(), splits=data())
    text = run.update.lower(run.abstract, resident_feed(run)).as_text()
    assert len(text) < 2**17
    small = setup(config(), splits=data({"items": ITEMS[:SIZE]}))
    assert abs(len(text) - len(small.update.lower(small.abstract, resident_feed(small)).as_text())) < 2**12


def test_one_device_is_eight_devices():
    found = []
    for count in (1, 8):
        run = setup(config(), splits=data(), devices=jax.devices()[:count])
        state, losses = trained(run, run.initial(), 0, 4)
        found.append((jax.tree.map(np.asarray, state.params), losses))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), *found)


def test_a_checkpoint_leaves_it_out_and_a_resumed_run_is_the_same(tmp_path):
    sizes = {}
    for name, context in (("large", {"items": ITEMS}), ("small", {"items": ITEMS[:SIZE]})):
        run = setup(config(), splits=data(context))
        state, _ = trained(run, run.initial(), 0, 3)
        with_checkpoints = Checkpoints(tmp_path / name, 1)
        with_checkpoints.save(state, 3)
        with_checkpoints.wait()
        sizes[name] = sum(file.stat().st_size for file in (tmp_path / name).rglob("*") if file.is_file())
        fresh = setup(config(), splits=data(context))
        restored = with_checkpoints.restore(fresh.like())
        with_checkpoints.close()
        one, two = trained(run, state, 3, 6)[0], trained(fresh, restored, 3, 6)[0]
        jax.tree.map(np.testing.assert_array_equal, one, two)
    assert abs(sizes["large"] - sizes["small"]) < 2**14
