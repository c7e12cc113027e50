"""Names and options: what is known is set, what is not is refused with the nearest known one, before any compilation."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.build import build, options_of, resolve
from jaxssl.cli import main, split_overrides
from jaxssl.config import base, load_config
from jaxssl.optim import OPTIMIZERS, check_patterns, make_optimizer, path_mask, warmup_cosine

SIMCLR = "configs/simclr_fashion_mnist_12k.py"


def test_build_calls_the_factory_that_a_name_means():
    assert resolve("methods.simclr").__module__ == "jaxssl.methods.simclr"
    assert resolve("augment.image.simclr").__module__ == "jaxssl.augment.image"
    assert resolve("json.dumps") is json.dumps, "one's own modules are found as they stand"
    assert "temperature" in options_of(resolve("methods.simclr"))


@pytest.mark.parametrize(
    "spec, error, words",
    [
        (dict(name="methods.simclr", temprature=0.1), TypeError, ["methods.simclr", "'temperature'"]),
        (dict(name="methods.simclrr"), ValueError, ["methods.simclrr", "'simclr'"]),
        (dict(name="augment.image.simcl"), ValueError, ["'simclr'"]),
        (dict(name="simclr"), ValueError, ["two parts"]),
        (dict(name="augment.image.simclr"), TypeError, ["size", "mean", "std"]),
    ],
)
def test_build_refuses_with_the_nearest_known_name(spec, error, words):
    with pytest.raises(error) as caught:
        build(spec, None) if "methods" in spec["name"] else build(spec)
    assert all(word in str(caught.value) for word in words), caught.value


def test_overrides_keep_the_type_of_what_they_replace():
    changes = {
        "seed": "3",
        "optim.learning_rate": "1",
        "optim.name": "lars",
        "log.tensorboard": "false",
        "encoder.widths": "(8, 8)",
        "method.temperature": "0.5",
        "augment.flip_probability": "0.1",
    }
    config = load_config(SIMCLR, changes)
    assert config.seed == 3 and config.optim.learning_rate == 1.0 and isinstance(config.optim.learning_rate, float)
    assert config.optim.name == "lars" and config.log.tensorboard is False and config.encoder.widths == (8, 8)
    assert config.augment.flip_probability == 0.1, "options that the file does not mention can be set too"


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("method.temprature", "0.1", ["'temperature'", "method"]),
        ("optim.learnig_rate", "0.1", ["'learning_rate'"]),
        ("optm.learning_rate", "0.1", ["'optim'"]),
        ("total_step", "10", ["'total_steps'"]),
        ("total_steps", "many", ["expected a int", "many"]),
        ("total_steps", "0", ["at least 1"]),
        ("log.monitor", "3", ["expected a bool"]),
        ("log", "3", ["section"]),
        ("seed.a", "3", ["not a section"]),
        ("data.mode", "stram", ["resident", "stream"]),
        ("evaluate.evaluators.knn.kk", "3", ["'k'"]),
    ],
)
def test_overrides_that_cannot_be_are_refused(name, value, words):
    with pytest.raises(ValueError) as caught:
        load_config(SIMCLR, {name: value})
    assert all(word in str(caught.value) for word in words), caught.value


def test_schedules_that_refer_to_total_steps_follow_an_override():
    config = load_config("configs/byol_fashion_mnist_12k.py", {"total_steps": "77"})
    assert config.method.momentum_steps == 77


def test_missing_config_names_the_nearest_file():
    with pytest.raises(ValueError, match="simclr_fashion_mnist_12k.py"):
        load_config("configs/simclr_fashion_mnist_12.py")


def test_a_run_s_config_reads_back_as_it_was(tmp_path):
    config = load_config(SIMCLR)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert load_config(str(tmp_path / "config.json")).to_dict() == config.to_dict()


def test_split_overrides():
    rest, changes = split_overrides(["train", "a.py", "--config.a.b=1=2", "--config.c", "3", "--workdir", "w"])
    assert rest == ["train", "a.py", "--workdir", "w"] and changes == {"a.b": "1=2", "c": "3"}
    with pytest.raises(ValueError, match="give a value"):
        split_overrides(["--config.c"])


@pytest.mark.parametrize(
    "argv, words",
    [
        (["train", "configs/none.py", "--workdir", "w"], ["configs/none.py", "does not exist"]),
        (["train", SIMCLR, "--workdir", "w", "--config.method.temprature=1"], ["'temperature'"]),
        (["train", SIMCLR, "--workdir", "w", "--config.batch_size=30"], ["batch_size=30", "8 devices"]),
        (["train", SIMCLR, "--workdir", "w", "--mesh", "16"], ["mesh.data=16", "8 devices"]),
        (["train", SIMCLR, "--workdir", "w", "--coordinator", "localhost:1"], ["go together"]),
        (["train", SIMCLR, "--workdir", "w", "--config.augment.crop_scale=(2,1)"], ["crop_scale"]),
        (["train", SIMCLR, "--workdir", "w", "--config.optim.b2=0.9", "--config.optim.name=sgd"], ["optim.b2", "sgd"]),
        (["train", SIMCLR, "--workdir", "w", "--config.optim.frozen=patch"], ["matches no parameter"]),
        (["train", SIMCLR, "--workdir", "w", "--data", "x"], ["no option 'path'"]),
        (["evaluate", "nowhere"], ["nowhere", "config.json"]),
        (["embed", "nowhere", "--out", "a.csv"], [".npz or .parquet"]),
        (["export", "nowhere", "--out", "a.pt"], [".safetensors"]),
    ],
)
def test_command_line_says_what_is_wrong_in_one_line(argv, words, capsys, tmp_path):
    argv = [str(tmp_path / "run") if word == "w" else word for word in argv]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxssl: ") and len(said.strip().splitlines()) == 1
    assert all(word in said for word in words), said


PARAMS = {
    "encoder": {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3), "scale": jnp.ones(3)},
    "head": {"kernel": jnp.ones((3, 2))},
}
FIXED = dict(learning_rate=0.1, total_steps=10, batch_size=8, schedule="constant")


def one_update(grads=None, **options):
    tx = make_optimizer(**{**FIXED, **options})
    grads = jax.tree.map(jnp.ones_like, PARAMS) if grads is None else grads
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    return updates


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_reaches_the_minimum_of_a_parabola(name):
    rate = {"lamb": 0.3, "muon": 0.05, "lion": 0.02}.get(name, 0.1)
    own = dict(trust_coefficient=0.5) if name == "lars" else {}
    tx = make_optimizer(name=name, learning_rate=rate, total_steps=300, batch_size=1, **own)
    params = {"kernel": jnp.array([[2.0, -1.0], [0.5, 3.0]]), "bias": jnp.array([1.0, -1.0])}
    target = jax.tree.map(lambda x: x * 0 + 0.3, params)
    loss = lambda p: sum(jnp.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(p), jax.tree.leaves(target)))

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), loss(params)

    (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), length=300)
    assert loss(params) < 0.02 * losses[0], losses[::50]


def test_weight_decay_and_trust_ratio_spare_excluded_paths():
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    updates = one_update(zero, name="adamw", weight_decay=0.5)
    np.testing.assert_allclose(updates["encoder"]["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates["encoder"]["bias"], 0)
    np.testing.assert_allclose(updates["encoder"]["scale"], 0)
    updates = one_update(name="lars", momentum=0.0)
    np.testing.assert_allclose(updates["encoder"]["bias"], -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates["encoder"]["kernel"], -1e-4, rtol=1e-5)


def test_frozen_multipliers_clipping_and_batch_scaling():
    plain = dict(name="sgd", momentum=0.0)
    updates = one_update(**plain, frozen="^/head", multipliers=(("encoder/kernel", 0.5), ("encoder", 0.1)))
    np.testing.assert_allclose(updates["head"]["kernel"], 0)
    np.testing.assert_allclose(updates["encoder"]["kernel"], -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates["encoder"]["bias"], -0.01, rtol=1e-6)
    assert np.isclose(optax.global_norm(one_update(**plain, clip_norm=0.5)), 0.05)
    np.testing.assert_allclose(one_update(**plain, scale_batch=4)["head"]["kernel"], -0.2, rtol=1e-6)


def test_weight_decay_follows_half_a_cosine():
    tx = make_optimizer(**FIXED, name="adamw", weight_decay=0.04, weight_decay_end=0.4)
    zero, state, seen = jax.tree.map(jnp.zeros_like, PARAMS), tx.init(PARAMS), []
    for _ in range(11):
        updates, state = tx.update(zero, state, PARAMS)
        seen.append(float(-updates["head"]["kernel"][0, 0]) / 0.1)
    np.testing.assert_allclose([seen[0], seen[5], seen[10]], [0.04, 0.22, 0.4], rtol=1e-5)


def test_warmup_cosine_by_hand():
    rate = warmup_cosine(2.0, 110, 10, final_fraction=0.1)
    np.testing.assert_allclose([rate(0), rate(9), rate(10), rate(60), rate(110)], [0.2, 2.0, 2.0, 1.1, 0.2], rtol=1e-5)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(name="adm"), "'adamw'|'lamb'"),
        (dict(name="sgd", b1=0.9), "sgd has no such option"),
        (dict(name="sgd", learning_rate=0.0), "must be positive"),
        (dict(name="sgd", warmup_steps=20), "warmup_steps=20"),
        (dict(name="sgd", schedule="linear"), "'cosine' or 'constant'"),
        (dict(name="muon", weight_decay_end=0.1), "constant weight decay"),
    ],
)
def test_optimizer_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make_optimizer(**{**FIXED, **options})


def test_patterns_must_match_something():
    check_patterns(PARAMS, frozen="head", multipliers=(("kernel", 0.1),))
    with pytest.raises(ValueError, match="patch_embed"):
        check_patterns(PARAMS, frozen="patch_embed")
    assert path_mask("^/head")(PARAMS)["head"]["kernel"] is True


def test_default_exclusion_covers_what_has_no_use_for_decay():
    import re

    exclude = base().optim.exclude
    for path in ("/encoder/norm/scale", "/encoder/conv/bias", "/encoder/cls_token", "/encoder/pos_embed", "/decoder/mask_token",
                 "/encoder/reg_token", "/encoder/block0/ls1"):  # fmt: skip
        assert re.search(exclude, path), path
    assert not re.search(exclude, "/encoder/conv/kernel")
