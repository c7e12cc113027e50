"""Schedules that are logged, layers that rest, multipliers with a schedule of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.checkpoint import Checkpoints
from jaxssl.config import load_config
from jaxssl.core import Method, Out, State, init_state, make_update
from jaxssl.experiment import make_method, setup
from jaxssl.optim import (
    OPTIMIZERS,
    check_patterns,
    make_optimizer,
    make_schedules,
    path_mask,
    path_name,
    warmup_cosine,
)

PARAMS = {
    "body": {"kernel": jnp.linspace(-1, 1, 12).reshape(4, 3), "bias": jnp.ones(3)},
    "head": {"kernel": jnp.linspace(0.5, 2, 6).reshape(3, 2)},
}
FIXED = dict(learning_rate=0.1, total_steps=40, batch_size=8, schedule="constant")
START, END = 7, 12
RESTS = (("^/head/", START),)


def gradients(step, resting):
    """Others every step; zero for the head while it rests, as a method with a stop-gradient has them."""
    rng = np.random.default_rng(step)
    grads = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), PARAMS)
    return {**grads, "head": jax.tree.map(jnp.zeros_like, grads["head"])} if resting else grads


def run(tx, steps, params=PARAMS, state=None, rest=0):
    """(updates of every step, params, state)."""
    state, seen, update = tx.init(params) if state is None else state, [], jax.jit(tx.update)
    for step in steps:
        updates, state = update(gradients(step, step < rest), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(updates)
    return seen, params, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_that_has_rested_is_optimised_as_if_new(name):
    """Decay, moments and count rest with it; all other layers are moved as without it."""
    options = dict(FIXED, name=name, weight_decay=0.1)
    seen, params, _ = run(make_optimizer(**options, rests=RESTS), range(END), rest=START)
    for updates in seen[:START]:
        np.testing.assert_array_equal(updates["head"]["kernel"], 0)
    plain, _, _ = run(make_optimizer(**options), range(END), rest=START)
    for found, expected in zip(seen, plain):
        # Exact but for muon, whose products the compiler orders anew.
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * (name == "muon") * np.abs(b).max())
        jax.tree.map(close, found["body"], expected["body"])
    head = {"head": PARAMS["head"]}
    tx = make_optimizer(**options)
    state = tx.init(head)
    for step in range(START, END):
        updates, state = jax.jit(tx.update)({"head": gradients(step, False)["head"]}, state, head)
        head = optax.apply_updates(head, updates)
        np.testing.assert_allclose(seen[step]["head"]["kernel"], updates["head"]["kernel"], rtol=1e-6, atol=1e-8)


def test_updates_after_a_long_rest_stay_within_the_rate():
    """A count that had gone on would divide young moments by old corrections: 6 times the rate after 2,502 steps."""
    start = 2502
    options = dict(FIXED, name="adamw", total_steps=5000)
    rested = make_optimizer(**options, rests=(("^/head/", start),))

    def largest(tx):
        def one(state, step):
            grads = {**PARAMS, "head": jax.tree.map(lambda x: jnp.where(step < start, 0, x), PARAMS["head"])}
            updates, state = tx.update(grads, state, PARAMS)
            return state, jnp.abs(updates["head"]["kernel"]).max()

        return jax.lax.scan(one, tx.init(PARAMS), jnp.arange(start + 100))[1].max()

    assert largest(rested) <= 0.1 * (1 + 1e-5)
    assert largest(make_optimizer(**options)) > 0.3


def test_a_layer_that_has_rested_follows_the_rates_of_the_step():
    options = dict(name="sgd", momentum=0.0, learning_rate=0.1, total_steps=20, batch_size=8, warmup_steps=3)
    seen, _, _ = run(make_optimizer(**options, rests=RESTS), range(END), rest=START)
    rate = make_schedules(**options)["learning_rate"]
    for step in range(START, END):
        expected = -rate(step) * gradients(step, False)["head"]["kernel"]
        np.testing.assert_allclose(seen[step]["head"]["kernel"], expected, rtol=1e-6)


def test_two_layers_rest_for_times_of_their_own():
    tx = make_optimizer(**FIXED, name="adamw", rests=(("^/head/", 2), ("bias", 4)))
    seen, _, _ = run(tx, range(6))
    moved = [[float(jnp.abs(u["head"]["kernel"]).max()) > 0, float(jnp.abs(u["body"]["bias"]).max()) > 0] for u in seen]
    assert moved == [[False, False]] * 2 + [[True, False]] * 2 + [[True, True]] * 2


@pytest.mark.parametrize("name", ["adamw", "lars", "muon"])
@pytest.mark.parametrize("at", [3, START, 9])
def test_a_run_with_a_resting_layer_resumes_exactly(name, at, tmp_path):
    tx = make_optimizer(**FIXED, name=name, weight_decay=0.1, rests=RESTS, multipliers=(("bias", 0.5),))
    seen, params, _ = run(tx, range(END), rest=START)
    _, middle, opt_state = run(tx, range(at), rest=START)
    state = jax.device_put(State(jnp.int32(at), middle, opt_state, {}), jax.devices()[0])
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state, at)
    checkpoints.wait()
    state = checkpoints.restore(state)
    checkpoints.close()
    again, after, _ = run(tx, range(at, END), state.params, state.opt_state, rest=START)
    jax.tree.map(np.testing.assert_array_equal, seen[at:], again)
    jax.tree.map(np.testing.assert_array_equal, params, after)


def test_the_state_is_the_same_with_and_without_rest():
    """Checkpoints stay readable."""
    options = dict(FIXED, name="adamw", weight_decay=0.1, clip_norm=1.0, frozen="bias")
    state, rested = (make_optimizer(**options, **more).init(PARAMS) for more in ({}, dict(rests=RESTS)))
    assert jax.tree.structure(state) == jax.tree.structure(rested)
    kinds = ["EmptyState", "ScaleByAdamState", "MaskedState", "ScaleByScheduleState", "MaskedState"]
    assert [type(part).__name__ for part in state] == kinds


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars", "lamb", "lion"])
def test_a_multiplier_may_keep_its_rate_constant(name):
    """After the warm-up; with its factor, and all others decay as before."""
    options = dict(name=name, learning_rate=0.1, total_steps=20, batch_size=8, warmup_steps=4)
    options |= dict(momentum=0.0) if name in ("sgd", "lars") else {}
    mixed = make_optimizer(**options, multipliers=(("^/head/", 0.5, "constant"), ("bias", 0.1)))
    seen, _, _ = run(mixed, range(20))
    decays, _, _ = run(make_optimizer(**options), range(20))
    stays, _, _ = run(make_optimizer(**options, schedule="constant"), range(20))
    if name == "lamb":  # its ratio depends on where the parameters have come to
        decays, stays, seen = decays[:1], stays[:1], seen[:1]
    for found, other, own in zip(seen, decays, stays):
        np.testing.assert_allclose(found["body"]["kernel"], other["body"]["kernel"], rtol=1e-5)
        np.testing.assert_allclose(found["body"]["bias"], 0.1 * other["body"]["bias"], rtol=1e-5)
        if name != "lars":
            np.testing.assert_allclose(found["head"]["kernel"], 0.5 * own["head"]["kernel"], rtol=1e-5)
    assert sorted(make_schedules(**options, multipliers=(("a", 1.0, "constant"),))) == [
        "learning_rate",
        "learning_rate_constant",
        "weight_decay",
    ]


@pytest.mark.parametrize(
    "entry, words",
    [
        (("head", 1.0, "flat"), "'flat'.*must be 'cosine' or 'constant'"),
        (("head", 1.0, "constant", 3), "must be .pattern, factor. or .pattern, factor, schedule."),
        (("head",), "must be .pattern, factor."),
        ("head", "must be .pattern, factor."),
        (0.1, "must be .pattern, factor."),
        (("head", "fast"), "factor must be a number"),
        (("head", True), "factor must be a number"),
        (("head", float("nan")), "factor must be a number"),
        (("head", -1.0), "factor must be a number"),
        ((1.0, "head"), "pattern must be a regular expression"),
    ],
)
def test_multipliers_that_cannot_be_are_refused(entry, words):
    with pytest.raises(ValueError, match=f"optim.multipliers: .*{words}"):
        make_optimizer(**FIXED, name="sgd", multipliers=(entry,))


def test_muon_refuses_a_schedule_of_its_own_and_patterns_must_match():
    own = (("head", 1.0, "constant"),)
    with pytest.raises(ValueError, match="muon takes one schedule"):
        make_optimizer(**FIXED, name="muon", multipliers=own)
    check_patterns(PARAMS, multipliers=own)
    with pytest.raises(ValueError, match="'tail' matches no parameter"):
        check_patterns(PARAMS, multipliers=(("tail", 1.0, "constant"),))


@pytest.mark.parametrize(
    "config, option, names",
    [
        ("dino_fashion_mnist_12k", "freeze_steps", {"head/last_layer"}),
        ("swav_fashion_mnist_12k", "freeze_steps", {"prototypes/kernel"}),
        ("scgc_digits", "pretrain_steps", {"centers"}),
    ],
)
def test_what_a_method_lets_rest_is_told_to_the_optimiser(config, option, names):
    config = load_config(f"{config}:quick", {f"method.{option}": "5"})
    experiment = setup(config, devices=jax.devices()[:1])
    ((pattern, steps),) = experiment.method.rests
    found = jax.tree_util.tree_leaves_with_path(path_mask(pattern)(experiment.abstract.params))
    assert {path_name(path) for path, rests in found if rests} == names and steps == 5
    with config.unlocked():
        config.method[option] = 0
    assert make_method(config).rests == ()


def test_the_loop_is_given_the_schedules_of_its_config():
    config = load_config("simsiam_imagenet:quick")
    experiment = setup(config, devices=jax.devices()[:1])
    _, metrics = jax.eval_shape(experiment.update, experiment.abstract, experiment.feed_shapes())
    for name in ("learning_rate", "learning_rate_constant", "weight_decay"):
        assert metrics[name].shape == () and metrics[name].dtype == jnp.float32


def test_every_schedule_of_the_optimiser_is_in_the_metrics_of_its_step():
    """What is logged is what the update of the same step used."""
    recipe = dict(
        name="adamw",
        learning_rate=0.02,
        total_steps=10,
        batch_size=8,
        scale_batch=4,
        warmup_steps=3,
        weight_decay=0.04,
        weight_decay_end=0.4,
        multipliers=(("bias", 0.5, "constant"),),
        exclude="bias",
    )
    method = Method(
        init=lambda key, batch: (PARAMS, {}),
        # No gradient: the update of a kernel is rate * decay * kernel.
        loss=lambda params, memory, batch, key, step: (jnp.zeros(()), Out(memory)),
        predict=lambda params, memory, batch: {},
    )
    augment, root, tx = (lambda key, batch: batch), jax.random.key(0), make_optimizer(**recipe)
    update = jax.jit(make_update(method, augment, tx, root, schedules=make_schedules(**recipe)))
    state, rate = init_state(method, augment, tx, root, {}), warmup_cosine(0.04, 10, 3)
    for step in range(10):
        before = state.params["body"]["kernel"]
        state, metrics = update(state, {})
        decay = 0.4 - 0.36 * 0.5 * (1 + np.cos(np.pi * step / 10))
        np.testing.assert_allclose(metrics["learning_rate"], rate(step), rtol=1e-5)
        np.testing.assert_allclose(metrics["learning_rate_constant"], 0.04 * min((step + 1) / 3, 1), rtol=1e-6)
        np.testing.assert_allclose(metrics["weight_decay"], decay, rtol=1e-6)
        share = metrics["learning_rate"] * metrics["weight_decay"]
        np.testing.assert_allclose(state.params["body"]["kernel"], before * (1 - share), rtol=1e-5)
    assert all(value.dtype == jnp.float32 and value.shape == () for value in metrics.values())
