"""The contract between methods and the library: batches lead with N, memory stays whole, what never changes is no constant."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import get_config

from jaxssl.augment.image import simclr as simclr_views
from jaxssl.build import build, checked
from jaxssl.checkpoint import Checkpoints
from jaxssl.chunks import chunked_value_and_grad
from jaxssl.core import (
    Method,
    Out,
    Split,
    Watch,
    init_state,
    make_update,
    replace_encoder,
    split_method,
    trainable,
    without_frozen,
)
from jaxssl.experiment import resident_feed, setup
from jaxssl.losses import nt_xent
from jaxssl.skeletons.siamese import siamese
from jaxssl.train import train

KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 1), dtype=np.uint8)
VIEWS = dict(size=8, mean=(0.5,), std=(0.25,), jitter_probability=0.0, blur_probability=0.0, return_boxes=True)


def linear(key, batch):
    """`init` of a method of one matrix; memory holds a queue beside."""
    x = batch["views"][0]
    return {"kernel": 0.1 * jax.random.normal(key, (x[0].size, 4))}, {"queue": jnp.ones((3, 4))}


def embed(params, memory, batch, key, step):
    z = [x.reshape(len(x), -1) @ params["kernel"] for x in batch["views"]]
    return {"z": jnp.stack(z, axis=1)}, memory


def by_boxes(params, memory, embeddings, batch, key, step):
    """Views that cover the same place attract."""
    z, boxes = embeddings["z"], jnp.stack(batch["boxes"], axis=1)
    weight = jnp.exp(-jnp.mean(jnp.abs(boxes[:, 0] - boxes[:, 1]), axis=-1) / 4)
    value = jnp.mean(weight * jnp.sum(jnp.square(z[:, 0] - z[:, 1]), axis=-1)) + jnp.mean(memory["queue"])
    return value, Out({**memory, "queue": memory["queue"] + 1}, watch=Watch(z.swapaxes(0, 1)))


BOXES = split_method(linear, Split(embed, by_boxes), lambda p, m, b: {"features": b["x"]})


def batch_of(method):
    batch = simclr_views(**VIEWS)(KEY, {"image": IMAGES})
    return batch, *method.init(KEY, batch)


@pytest.mark.parametrize("num_chunks", [2, 4])
def test_chunks_cut_every_leaf_of_a_batch_along_its_examples(num_chunks):
    """Boxes led with V: with two views and two chunks the loss was another one, in silence."""
    batch, params, memory = batch_of(BOXES)
    assert all(len(x) == len(IMAGES) for x in jax.tree.leaves(batch))
    key = jax.random.key(1)
    (loss, out), gradient = jax.value_and_grad(BOXES.loss, has_aux=True)(params, memory, batch, key, 0)
    (chunked, same), other = chunked_value_and_grad(BOXES.split, num_chunks)(params, memory, batch, key, 0)
    np.testing.assert_allclose(loss, chunked, rtol=1e-6)
    np.testing.assert_allclose(gradient["kernel"], other["kernel"], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(out.memory["queue"], same.memory["queue"])


def test_a_split_method_keeps_all_of_its_memory():
    """`embed` of the siamese chain gave the statistics alone: a queue was lost on the whole batch, not in chunks."""
    config = get_config("simclr")
    config.augment.return_boxes = True
    encoder = build(config.encoder.to_dict())
    plain = siamese({"encoder": encoder}, lambda out: nt_xent(*out["encoder"], temperature=0.2))

    def init(key, batch):
        params, memory = plain.init(key, batch)
        return params, {**memory, "queue": jnp.ones((5, 2))}

    def objective(params, memory, embeddings, batch, key, step):
        value, out = plain.split.objective(params, memory, embeddings, batch, key, step)
        return value + jnp.mean(memory["queue"]), out

    method = split_method(init, Split(plain.split.embed, objective), plain.predict)
    batch, params, memory = batch_of(method)
    value, out = method.loss(params, memory, batch, KEY, 0)
    assert np.isfinite(value) and set(out.memory) == {"stats", "queue"}


def test_simclr_with_boxes_runs_in_chunks():
    """It died in a bare reshape: boxes and flips led with V."""
    config = get_config("simclr")
    config.encoder = dict(name="models.convnet", widths=(8,), strides=(2,), norm="group")
    config.method.norm = False
    config.augment.update(return_boxes=True)
    losses = []
    for chunks in (1, 4):
        config.gradient_chunks = chunks
        experiment = setup(config, devices=jax.devices()[:1])
        state, metrics = experiment.update(experiment.initial(), resident_feed(experiment))
        losses.append(float(metrics["loss"]))
    assert np.isclose(*losses, rtol=1e-5)


# Names in memory


def test_statistics_and_frozen_networks_are_nothing_to_fine_tune():
    assert trainable(("teacher", "encoder", "kernel")) and trainable(("center",))
    assert not any(trainable((name, "encoder", "kernel")) for name in ("stats", "teacher_stats", "frozen", "context"))


def with_teacher(name):
    """A method that evaluates a teacher which lies in the memory under `name`."""

    def init(key, batch):
        params, _ = linear(key, batch)
        return {"encoder": params}, {name: {"encoder": params}}

    networks = lambda params, memory: (memory[name], {})
    method = Method(init, None, None, networks=networks)
    batch = {"views": (jnp.zeros((2, 3)),)}
    return method, init_state(method, lambda key, batch: batch, optax.sgd(0.1), KEY, batch)


def test_weights_that_would_not_reach_the_evaluated_network_are_refused():
    """A teacher under another name kept its random weights, and was evaluated."""
    new = {"kernel": jnp.ones((3, 4))}
    method, state = with_teacher("teacher")
    state = replace_encoder(method, state, new, {})
    assert state.params["encoder"] is new and state.memory["teacher"]["encoder"] is new
    with pytest.raises(ValueError, match=r"would not reach the network.*keep a teacher under that name"):
        replace_encoder(*with_teacher("momentum_encoder"), new, {})


# Frozen networks

BIG = np.random.default_rng(1).normal(size=(64, 128, 16)).astype(np.float32)


def frozen_toy(encoder, *, calls: list | None = None, forget: bool = False) -> Method:
    """A linear map that learns what a frozen one says."""

    def frozen():
        if calls is not None:
            calls.append("frozen")
        return {"big": BIG}

    def init(key, batch):
        assert set(batch["frozen"]) == {"big"}
        return {"kernel": jnp.zeros((batch["x"][0].size, 16))}, {"count": jnp.zeros((), jnp.int32)}

    def loss(params, memory, batch, key, step):
        h = batch["x"].reshape(len(batch["x"]), -1)
        target = h @ memory["frozen"]["big"].reshape(-1, 16)[: h.shape[1]]
        left = {"count": memory["count"] + 1}
        return jnp.mean(jnp.square(h @ params["kernel"] - target)), Out(left if forget else {**memory, **left})

    return Method(
        init, loss, lambda p, m, b: {"features": b["x"].reshape(len(b["x"]), -1) @ p["kernel"]}, frozen=frozen
    )


@pytest.fixture(scope="module")
def frozen_run():
    config = get_config()
    config.method = dict(name="test_core.frozen_toy", forget=True)
    return setup(config)


def constants(text):
    """The sizes of the constants of a program in StableHLO text, in characters."""
    return max((len(line) for line in text.splitlines() if "constant" in line), default=0)


def test_frozen_networks_are_arguments_of_the_program(frozen_run):
    """A file that `init` reads became a constant: 85 MB of weights were 170 MB of program."""
    lowered = frozen_run.update.lower(frozen_run.abstract, resident_feed(frozen_run)).as_text()
    assert constants(lowered) < 64 * 1024
    assert constants(frozen_run.initial.func.lower(*frozen_run.initial.args).as_text()) < 64 * 1024


def test_frozen_networks_outlive_donated_states_and_stay_out_of_checkpoints(frozen_run, tmp_path):
    state, feed = frozen_run.initial(), resident_feed(frozen_run)
    for _ in range(3):
        state, metrics = frozen_run.update(state, feed)
    np.testing.assert_array_equal(state.memory["frozen"]["big"], BIG)
    assert int(state.memory["count"]) == 3 and set(without_frozen(state.memory)) == {"count"}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state, 3)
    checkpoints.wait()
    assert sum(p.stat().st_size for p in (tmp_path / "checkpoints").rglob("*") if p.is_file()) < BIG.nbytes / 4
    restored = checkpoints.restore(frozen_run.like())
    checkpoints.close()
    np.testing.assert_array_equal(restored.memory["frozen"]["big"], BIG)
    np.testing.assert_array_equal(restored.params["kernel"], state.params["kernel"])
    again, _ = frozen_run.update(restored, feed)
    assert int(again.memory["count"]) == 4


def test_frozen_networks_are_read_once(monkeypatch):
    import test_core

    calls = []
    original = test_core.frozen_toy

    def counted(encoder, *, forget: bool = False) -> Method:
        return original(encoder, calls=calls, forget=forget)

    monkeypatch.setattr(test_core, "counted", counted, raising=False)
    config = get_config()
    config.method = dict(name="test_core.counted")
    experiment = setup(config)
    experiment.initial(), experiment.like(), experiment.check_update()
    assert calls == ["frozen"]


# What a loss returns


def odd(encoder, *, how: str) -> Method:
    """A method whose loss returns what it must not."""

    def loss(params, memory, batch, key, step):
        h = batch["x"].reshape(len(batch["x"]), -1) @ params["kernel"]
        value = jnp.mean(jnp.square(h))
        returned = dict(
            array=Out(memory, {"feature": h}),
            taken=Out(memory, {"features": value}),
            loss=Out(memory, {"loss": value}),
            tuple=(memory, {}),
            watch=Out(memory, {}, {"features": h}),
        )
        return value, returned[how]

    init = lambda key, batch: ({"kernel": jnp.ones((batch["x"][0].size, 2))}, {})
    return Method(init, loss, lambda params, memory, batch: {"features": batch["x"].reshape(len(batch["x"]), -1)})


@pytest.mark.parametrize(
    "how, words",
    [
        (
            "array",
            r"metric 'feature': an array of shape \(.*\); .*fields of Out.watch: features, projections, assignments",
        ),
        ("taken", "metric 'features': a name that is taken"),
        ("loss", "metric 'loss': a name that is taken"),
        ("tuple", r"returns \(scalar, Out\(memory, metrics, Watch\)\), not tuple"),
        ("watch", r"returns \(scalar, Out\(memory, metrics, Watch\)\)"),
    ],
)
def test_what_a_loss_must_not_return_is_refused_before_anything_is_compiled(how, words, tmp_path, caplog):
    """A metric called `feature` for `features` killed the run at its first log step."""
    config = get_config()
    config.method = dict(name="test_core.odd", how=how)
    with jax.log_compiles(), caplog.at_level(logging.WARNING), pytest.raises((TypeError, ValueError), match=words):
        train(config, tmp_path / "run")
    assert not [r for r in caplog.records if "Compiling jit(update)" in r.getMessage()]
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_update_in_a_program_of_ones_own():
    method, augment = BOXES, simclr_views(**VIEWS)
    update = make_update(method, augment, optax.sgd(0.1), KEY)
    state = init_state(method, augment, optax.sgd(0.1), KEY, {"image": IMAGES})
    state, metrics = update(state, {"image": IMAGES})
    assert int(state.step) == 1 and set(metrics) == {"loss", "grad_norm", "features"}


# Sections in sections


def inner(*, size: int = 3) -> np.ndarray:
    """A factory that another's option names."""
    return np.ones(size)


def outer(*, part: np.ndarray | None = None, left: dict | None = None) -> tuple:
    """A factory that gets what its option describes."""
    return part, left


def test_a_section_in_a_section_is_built_first():
    spec = dict(name="test_core.outer", part=dict(name="test_core.inner", size=2), left=dict(name="test_core.inner"))
    part, left = build(spec)
    assert part.shape == (2,) and left == dict(name="test_core.inner")
    with pytest.raises(
        TypeError, match="test_core.outer.part.sized: test_core.inner has no such option. Did you mean 'size'"
    ):
        build(dict(name="test_core.outer", part=dict(name="test_core.inner", sized=2)))
    assert checked(spec, outer, "o")["part"] == dict(name="test_core.inner", size=2)
