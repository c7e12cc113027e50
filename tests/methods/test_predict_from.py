"""Whose features are evaluated, embedded and exported: one option, one answer."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxssl import cli
from jaxssl.build import build
from jaxssl.core import State, statistics
from jaxssl.evaluators.fine_tune import Network
from jaxssl.experiment import with_encoder
from jaxssl.models.module import forward, setup
from jaxssl.models.weights import import_timm
from jaxssl.ops import cosine_momentum, ema_init, ema_update, linear_momentum

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.normal(size=(2, 4, 8, 8, 1)), jnp.float32)
SERIES = jnp.asarray(RNG.normal(size=(1, 4, 24, 2)), jnp.float32)
ROWS = {"numbers": IMAGES[0, :, :6, 0, 0], "categories": jnp.asarray([[0], [1], [2], [1]])}
CONVNET = dict(name="models.convnet", widths=(4,), strides=(2,))
SMALL = dict(embed_dim=8, depth=1, num_heads=2)
JEPA = dict(predictor_dim=8, predictor_depth=1, predictor_heads=2)
HEADS = dict(hidden_dims=(6,), dim=4)
COSINE, LINE = (dict(momentum=0.9, momentum_end=1.0, momentum_steps=10) for _ in range(2))

# Encoder, method, views, the published default, the schedules of its metrics.
METHODS = {
    "byol": (CONVNET, dict(HEADS, predictor_dim=6, **COSINE), IMAGES, "student", dict(momentum=cosine_momentum)),
    "moco": (CONVNET, dict(HEADS, queue_size=8, momentum=0.9), IMAGES, "student", dict(momentum=None)),
    "moco_v3": (CONVNET, dict(HEADS, predictor_dim=6, **COSINE), IMAGES, "student", dict(momentum=cosine_momentum)),
    "dino": (
        CONVNET,
        dict(hidden_dim=6, bottleneck_dim=4, num_prototypes=5, head_norm=True, teacher_temperature=0.02,
             teacher_temperature_end=0.08, teacher_temperature_steps=6, **COSINE),
        IMAGES,
        "teacher",
        dict(momentum=cosine_momentum, teacher_temperature=lambda *_: lambda step: 0.02 + 0.06 * min(step / 6, 1)),
    ),
    "ecg_jepa": (
        dict(name="models.series.vit", patch_size=4, **SMALL),
        dict(keep_ratio=0.5, min_block=1, **JEPA, **LINE),
        SERIES,
        "teacher",
        dict(momentum=linear_momentum),
    ),
    "t_jepa": (
        dict(name="models.tabular.table_transformer", pool="mean", max_categories=4, **SMALL),
        dict(**JEPA, **LINE),
        (ROWS,),
        "teacher",
        dict(momentum=linear_momentum),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=METHODS)
def found(request):
    """A method whose teacher has gone another way than its student."""
    encoder, options, views, default, schedules = METHODS[request.param]
    module = build(encoder)
    spec = dict(name=f"methods.{request.param}", **options)
    method = build(spec, module)
    params, memory = jax.jit(method.init)(jax.random.key(0), {"views": views})
    elsewhere = lambda tree: jax.tree.map(lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size)).reshape(x.shape), tree)
    memory = {**memory, "teacher": elsewhere(memory["teacher"])}
    if "teacher_stats" in memory:
        memory["teacher_stats"] = jax.tree.map(lambda x: 1.5 * x + 0.1, memory["teacher_stats"])
    x = views[0]
    return SimpleNamespace(
        encoder=encoder, module=module, spec=spec, method=method, params=params, memory=memory, default=default,
        views=views, x=x, schedules=schedules, options=options,
    )  # fmt: skip


def features(method, found, memory=None):
    memory = found.memory if memory is None else memory
    return jax.jit(method.predict)(found.params, memory, {"x": found.x})["features"]


def test_the_features_are_those_of_the_exported_encoder(found, tmp_path, monkeypatch, capsys):
    both = {}
    for value in ("teacher", "student"):
        method = build({**found.spec, "predict_from": value}, found.module)
        experiment = SimpleNamespace(config=ConfigDict(dict(encoder=found.encoder)), method=method)
        state = State(jnp.int32(3), found.params, (), found.memory)
        monkeypatch.setattr(cli, "open_run", lambda *_, **__: (experiment, state))
        file = tmp_path / f"{value}.safetensors"
        assert cli.main(["export", "run", "--out", str(file)]) == 0
        params, stats = jax.jit(lambda: setup(found.module, jax.random.key(1), found.x))()
        params, stats = import_timm(str(file), found.module, params, stats)
        h, _ = jax.jit(lambda p, s, x: forward(found.module, p, s, x))(params, stats, found.x)
        both[value] = features(method, found)
        np.testing.assert_allclose(both[value], h, rtol=1e-5, atol=1e-6)
    assert not np.allclose(both["teacher"], both["student"], atol=1e-3)
    np.testing.assert_array_equal(features(found.method, found), both[found.default])


@pytest.mark.parametrize("value", ["Teacher", "", "both", None, 1, ("student",)])
def test_another_word_is_refused(found, value):
    with pytest.raises(ValueError, match="predict_from=.*must be 'teacher' or 'student'"):
        build({**found.spec, "predict_from": value}, found.module)


@pytest.mark.parametrize("value", ["teacher", "student"])
def test_fine_tuning_trains_what_predicts_and_no_statistics(found, value):
    method = build({**found.spec, "predict_from": value}, found.module)
    network = Network(method.predict, State(jnp.int32(3), found.params, (), found.memory))
    total = lambda leaves: jnp.sum(network(leaves, {"x": found.x}) ** 2)
    after = network.state(jax.jit(jax.grad(total))(network.leaves))
    moved = lambda tree: any(np.any(leaf) for leaf in jax.tree.leaves(tree))
    teacher, student = moved(after.memory["teacher"]), moved(after.params)
    assert (teacher, student) == (value == "teacher", value == "student")
    for name in ("stats", "teacher_stats"):
        if name in found.memory:
            jax.tree.map(np.testing.assert_array_equal, after.memory[name], found.memory[name])


def test_an_imported_encoder_is_that_of_student_and_teacher(found):
    params = jax.tree.map(lambda x: 2 * x, found.params["encoder"])
    stats = jax.tree.map(lambda x: x + 1, statistics(found.memory).get("encoder", {}))
    state = State(jnp.int32(0), found.params, (), found.memory)
    experiment = SimpleNamespace(abstract=jax.device_put(state, jax.devices()[0]), method=found.method)
    state = with_encoder(experiment, state, params, stats)
    for value in ("teacher", "student"):
        own_params, own_stats = build({**found.spec, "predict_from": value}, found.module).networks(*state[1::2])
        jax.tree.map(np.testing.assert_array_equal, own_params["encoder"], params)
        jax.tree.map(np.testing.assert_array_equal, own_stats.get("encoder", {}), stats)


def test_momentum_and_temperature_of_the_step_are_in_the_metrics(found):
    """The values that the step itself uses."""

    @jax.jit
    def logged(step):
        _, (_, metrics, _) = found.method.loss(
            found.params, found.memory, {"views": found.views}, jax.random.key(1), step
        )
        return {name: metrics[name] for name in found.schedules}

    own = found.options
    for step in (0, 3, 10, 20):
        for name, value in logged(jnp.int32(step)).items():
            schedule = found.schedules[name]
            expected = 0.9 if schedule is None else schedule(0.9, 1.0, own.get("momentum_steps"))(step)
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            assert value.dtype == jnp.float32 and value.shape == ()
    other = jax.tree.map(lambda x: x + 1, found.params)
    moved = jax.jit(found.method.after)(other, found.memory, jnp.int32(3))["teacher"]
    m = logged(jnp.int32(3))["momentum"]
    for new, old, value in zip(*map(jax.tree.leaves, (moved, found.memory["teacher"], shared(other, moved)))):
        np.testing.assert_allclose(new, m * old + (1 - m) * value, rtol=1e-5, atol=1e-6)


def shared(params, teacher):
    return {name: params[name] for name in teacher}


def test_a_teacher_is_kept_in_float32(found):
    """In half precision the steps of a slow average, 0.001 of the way, would be rounded away."""
    narrow = lambda tree: jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree)
    before, after = ema_init(narrow(found.params)), narrow(jax.tree.map(lambda x: x + 1, found.params))
    moved = ema_update(before, after, 0.999)
    for new, old in zip(jax.tree.leaves(moved), jax.tree.leaves(before)):
        assert new.dtype == jnp.float32
        np.testing.assert_allclose(new - old, 1e-3, rtol=0.02)
    assert {x.dtype for x in jax.tree.leaves(found.memory["teacher"])} == {jnp.dtype("float32")}
