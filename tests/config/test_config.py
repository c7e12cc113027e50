"""Names and options: what is known is set, what is not is refused with the nearest known one, before any compilation."""

import ast
import glob
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.build import build, options_of, resolve
from jaxssl.cli import main, split_overrides
from jaxssl.config import _base_kinds, base, load_config
from jaxssl.optim import OPTIMIZERS, check_patterns, make_optimizer, path_mask, warmup_cosine

SIMCLR = "configs/image/simclr_fashion_mnist_12k.py"


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
        ("total_steps", "many", ["must be an integer", "many"]),
        ("total_steps", "0", ["at least 1"]),
        ("log.monitor", "3", ["must be True or False"]),
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


WRONG = {
    "augment.crop_scale": ("0.2", "must be two numbers, as in (0."),
    "augment.crop_ratio": ("(1, 2, 3)", "must be two numbers"),
    "augment.size": ("big", "must be an integer or two integers"),
    "augment.flip_probability": ("none", "must be a number"),
    "augment.return_boxes": ("1", "must be True or False"),
    "augment.num_views": ("2.5", "must be an integer"),
    "preprocess.mean": ("(a, b)", "must be a number or a sequence of numbers"),
    "encoder.widths": ("8", "must be a sequence of integers, as in (8,)"),
    "encoder.strides": ("(2, 'a')", "must be"),
    "encoder.dtype": ("float31", "must be 'float32' or 'bfloat16' or 'float16'"),
    "encoder.remat": ("2", "must be True or False"),
    "encoder.batch_groups": ("1.5", "must be an integer"),
    "method.hidden_dims": ("512", "must be a sequence of integers, as in (512,)"),
    "method.temperature": ("nan", "number"),
    "method.dim": ("true", "must be an integer"),
    "data.limit": ("many", "must be an integer or none"),
    "data.mode": ("stram", "must be 'resident' or 'stream'"),
    "optim.exclude": ("(a", "must be a regular expression"),
    "optim.frozen": ("*b", "must be a regular expression"),
    "optim.multipliers": ("0.1", "must be a sequence of (text, a number)"),
    "optim.learning_rate": ("0", "must be above 0"),
    "optim.warmup_steps": ("-1", "must be at least 0"),
    "optim.weight_decay": ("-1", "must be at least 0"),
    "optim.final_fraction": ("2", "must be at least 0 and at most 1"),
    "optim.clip_norm": ("1e999", "must be a finite number"),
    "optim.b1": ("1.5", "must be at least 0 and at most 1"),
    "optim.nesterov": ("0.5", "must be True or False or none"),
    "mesh.rules": ("fsdp", "must be a sequence of (text, "),
    "mesh.data": ("0", "must be at least 1, or -1"),
    "mesh.model": ("0", "must be at least 1"),
    "mesh.fsdp_min_size": ("-1", "must be at least 0"),
    "log.every": ("0", "must be at least 1"),
    "log.monitor_after": ("-1", "must be at least 0"),
    "log.tensorboard": ("3", "must be True or False"),
    "checkpoint.keep": ("0", "must be at least 1"),
    "checkpoint.every": ("0", "must be at least 1"),
    "evaluate.every": ("-1", "must be at least 0"),
    "evaluate.batch_size": ("0", "must be at least 1"),
    "evaluate.during": ("knn", "must be a sequence of words, as in ('knn',)"),
    "evaluate.evaluators.knn.k": ("(1, 2)", "must be an integer"),
    "evaluate.evaluators.few_labels.per_class": ("1", "must be a sequence of integers, as in (1,)"),
    "seed": ("-1", "must be at least 0"),
    "total_steps": ("0", "must be at least 1"),
    "batch_size": ("2.5", "must be an integer"),
    "gradient_chunks": ("0", "must be at least 1"),
    "max_minutes": ("-1", "must be at least 0"),
}
# Further wrong values of options that are above already.
MORE = [
    ("optim.exclude", "(?i)bias", "must be a regular expression"),
    ("optim.exclude", "a)(b", "must be a regular expression"),
    ("optim.multipliers", "(('(', 0.1),)", "must be a regular expression"),
    ("optim.multipliers", "('head', 0.1)", "must be"),
    ("mesh.rules", "(('(', 'fsdp'),)", "must be a regular expression"),
    ("mesh.rules", "(('.*', 'fdsp'),)", "must have 'replicate', 'fsdp'"),
    ("mesh.rules", "(('.*', ('modle',)),)", "must have 'replicate', 'fsdp'"),
    ("mesh.rules", "('.*', 'fsdp')", "must be"),
    ("mesh.data", "-2", "must be at least 1, or -1"),
    ("max_minutes", "nan", "number"),
    ("max_minutes", "1e999", "must be a finite number"),
    ("seed", str(2**32), "at most 4294967295"),
    ("total_steps", "1e999", "must be an integer"),
]


@pytest.mark.parametrize("name, value, words", [(k, *v) for k, v in WRONG.items()] + MORE)
def test_wrong_values_are_refused_by_name_typed_and_written_alike(name, value, words, tmp_path):
    for load in (lambda: load_config(SIMCLR, {name: value}), lambda: load_config(stored(tmp_path, name, value), {})):
        with pytest.raises(ValueError) as caught:
            load()
        said = str(caught.value)
        assert said.startswith(f"{name}=") and words in said and said.endswith("."), said
        assert "\n" not in said


def stored(folder, name, text):
    """A config.json with one value as it would be written there."""
    config = load_config(SIMCLR).to_dict()
    *sections, option = name.split(".")
    node = config
    for section in sections:
        node = node[section]
    try:
        node[option] = ast.literal_eval({"none": "None", "true": "True"}.get(text, text))
    except (ValueError, SyntaxError):
        node[option] = float(text) if text == "nan" else text
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder / "config.json")


@pytest.mark.parametrize(
    "name, value, right",
    [
        ("data.limit", "none", None),
        ("data.limit", "300", 300),
        ("data.limit", "3e2", 300),
        ("optim.momentum", "0.9", 0.9),
        ("optim.weight_decay_end", "1", 1.0),
        ("optim.weight_decay_end", "none", None),
        ("augment.size", "(16, 20)", (16, 20)),
        ("augment.mean", "0.5", 0.5),
        ("augment.crop_scale", "[0.2, 1]", (0.2, 1.0)),
        ("encoder.strides", "none", None),
        ("evaluate.during", "('knn',)", ("knn",)),
        ("evaluate.during", "()", ()),
        ("optim.multipliers", "(('head', 2),)", (("head", 2.0),)),
        (
            "mesh.rules",
            "[['kernel', [None, 'model']], ['.*', 'replicate']]",
            (("kernel", (None, "model")), (".*", "replicate")),
        ),
    ],
)
def test_right_values_take_the_form_of_their_type(name, value, right, tmp_path):
    for config in (load_config(SIMCLR + ":quick", {name: value}), load_config(stored(tmp_path, name, value))):
        node = config
        for part in name.split("."):
            node = node[part]
        assert node == right, node


def test_text_stays_text_where_an_option_takes_nothing_else():
    config = load_config(SIMCLR, {"optim.frozen": "3", "evaluate.headline": "none", "encoder.pool": "'mean'"})
    assert (config.optim.frozen, config.evaluate.headline, config.encoder.pool) == ("3", "none", "mean")


def test_values_written_in_a_file_are_checked_as_typed_ones(tmp_path):
    def load(lines):
        file = tmp_path / "own.py"
        file.write_text(
            "from jaxssl.config import fashion_mnist_12k\n\n\ndef get_config(arg=None):\n"
            "    config = fashion_mnist_12k()\n"
            "    config.method = dict(name='methods.simclr', hidden_dims=(8,), dim=4)\n"
            f"    {lines}\n    return config\n"
        )
        return load_config(str(file))

    assert load("config.encoder.widths = [8, 8, 8, 8]").encoder.widths == (8, 8, 8, 8)
    for line, words in {
        "config.augment['crop_ratio'] = 0.2": "augment.crop_ratio=0.2: must be two numbers",
        "config.method = dict(name='methods.simclr', hidden_dims=8)": "method.hidden_dims=8: must be a sequence of integers",
        "config.method = dict(name='methods.simclr', temprature=8.0)": "method.temprature: methods.simclr has no such option",
        "config.method = dict(name='')": "method.name='': the section lacks its name",
        "config.method = dict(dim=4)": "method.name='': the section lacks its name",
        "config.method.name = 'methods.nothing'": "method.name='methods.nothing'",
        "config.encoder = dict(widths=(8,))": "encoder.name='': the section lacks its name",
        "config.evaluate.evaluators = dict(knn=dict(k=3))": "evaluate.evaluators.knn.name='': the section lacks",
        "config.evaluate.floors = dict(raw=dict(name=''))": "evaluate.floors.raw.name='': the section lacks",
        "config.evaluate.evaluators = dict(knn=3)": "evaluate.evaluators.knn: must be a section",
        "config.augment = dict(name='augment.image.simclr', size=8)": "augment: augment.image.simclr needs the options mean, std",
        "config.log.evry = 3": "log has no option 'evry'. Did you mean 'every'?",
        "config.total_step = 3": "config has no option 'total_step'. Did you mean 'total_steps'?",
        "config.optim.warmup_steps = 601": "optim.warmup_steps=601: must lie in 0 .. total_steps=600",
        "return {}": "get_config returned dict",
    }.items():
        with pytest.raises(ValueError) as caught:
            load(line)
        assert words in str(caught.value), caught.value


def test_names_of_sections_are_set_before_their_options():
    for order in (1, -1):
        changes = [("method.queue_size", "64"), ("method.name", "methods.moco"), ("method.dim", "8")][::order]
        config = load_config("configs/image/moco_fashion_mnist_12k.py", dict(changes))
        assert config.method.queue_size == 64


@pytest.mark.parametrize("file", sorted(f for f in glob.glob("configs/*/*.py") if "stages" not in f))
def test_schedules_that_end_with_the_run_follow_it_one_way(file, tmp_path):
    plain = load_config(file)
    for arg in ("", ":quick"):
        config = load_config(file + arg)
        for section in ("method", "optim", "augment", "encoder"):
            for name in plain[section]:
                if not name.endswith("_steps") or plain[section][name] != plain.total_steps:
                    continue
                path = f"{section}.{name}"
                assert config[section][name] == config.total_steps, f"{file}{arg}: {path}"
                more = str(plain.total_steps + 7)
                assert load_config(file + arg, {"total_steps": more})[section][name] == int(more), (
                    f"{file}{arg}: {path}"
                )
                for changes in (
                    [(path, "7")],
                    [(path, "7"), ("total_steps", more)],
                    [("total_steps", more), (path, "7")],
                ):
                    changed = load_config(file + arg, dict(changes))
                    total = int(more) if len(changes) > 1 else config.total_steps
                    assert (changed.total_steps, changed[section][name]) == (total, 7)
                written = json.loads(json.dumps(config.to_dict()))
                assert written[section][name] == written["total_steps"] == config.total_steps
                (tmp_path / "config.json").write_text(json.dumps(written))
                again = str(tmp_path / "config.json")
                assert load_config(again).to_dict() == config.to_dict()
                assert load_config(again, {"total_steps": more})[section][name] == int(more), "of a run folder too"
                assert load_config(again, {path: "7"}).total_steps == config.total_steps


def test_how_many_schedules_end_with_the_run():
    found = [f for f in glob.glob("configs/*/*.py") if "get_oneway_ref" in Path(f).read_text()]
    assert len(found) >= 10
    assert not [f for f in glob.glob("configs/*/*.py") if "get_ref(" in Path(f).read_text()], "a two-way reference"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"{", "is damaged"),
        (b"", "is damaged"),
        (b"\xff\xfe{}", "is damaged"),
        (b"[1, 2]", "not an object"),
        (b"null", "not an object"),
        (b"[" * 100_000, "is damaged"),
        (b"{}", "lacks the sections ['augment', 'data', 'encoder', 'method', 'preprocess']"),
        (b'{"optim": 3}', "'optim' is a int, not a section"),
        (b'{"method": []}', "'method' is a list, not a section"),
        (b'{"a.b": 1}', "is damaged"),
    ],
)
def test_a_damaged_config_json_is_named_in_one_sentence(content, words, tmp_path, capsys):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_config(str(file))
    said = str(caught.value)
    assert str(file) in said and words in said and len(said.splitlines()) == 1, said
    assert main(["evaluate", str(tmp_path)]) == 2
    assert str(file) in capsys.readouterr().err


def test_a_config_json_with_flipped_bytes_loads_or_is_refused_in_words(tmp_path):
    whole = json.dumps(load_config(SIMCLR).to_dict(), indent=1).encode()
    file, random, refused = tmp_path / "config.json", np.random.default_rng(0), 0
    for _ in range(120):
        damaged = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(len(damaged))] = random.integers(256)
        file.write_bytes(damaged[: random.integers(1, len(damaged))] if random.random() < 0.2 else damaged)
        try:
            load_config(str(file))
        except (ValueError, TypeError) as error:
            refused += len(str(error).splitlines()) == 1
            assert len(str(error).splitlines()) == 1, error
    assert refused > 60


def test_a_config_json_of_an_earlier_version_takes_what_it_lacks_from_base(tmp_path):
    whole = load_config(SIMCLR).to_dict()
    default, file = base().to_dict(), tmp_path / "config.json"
    for name, value in whole.items():
        if name in ("data", "augment", "preprocess", "encoder", "method"):
            continue
        file.write_text(json.dumps({k: v for k, v in whole.items() if k != name}))
        if name != "total_steps" or whole["optim"]["warmup_steps"] <= default["total_steps"]:
            assert load_config(str(file)).to_dict()[name] == default[name]
        for option in value if isinstance(value, dict) else ():
            if (name, option) in (("evaluate", "evaluators"), ("study", "name")):
                continue
            file.write_text(json.dumps({**whole, name: {k: v for k, v in value.items() if k != option}}))
            assert load_config(str(file)).to_dict()[name][option] == default[name][option], (name, option)


def test_every_option_of_base_has_a_type():
    for section in ("", *(k for k, v in base().items() if hasattr(v, "items"))):
        if section in ("data", "augment", "preprocess", "encoder", "method"):
            continue
        kinds = _base_kinds(section)
        assert set(kinds) == set(base()[section] if section else base())
        assert not [k for k, v in kinds.items() if v is Any], section


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
    own = dict(trust_coefficient=0.5) if name in ("lars", "larc") else {}
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


def test_a_project_s_config_is_found_by_its_name_and_by_the_path_it_had(tmp_path, monkeypatch):
    expected = load_config(SIMCLR + ":quick").to_dict()
    monkeypatch.chdir(tmp_path)
    for text in ("simclr_fashion_mnist_12k:quick", "configs/simclr_fashion_mnist_12k.py:quick"):
        assert load_config(text).to_dict() == expected
    with pytest.raises(ValueError, match="Did you mean 'simclr_fashion_mnist_12k'"):
        load_config("simclr_fashion_mnist_12")
    with pytest.raises(ValueError, match="elsewhere/simclr_fashion_mnist_12k.py' does not exist"):
        load_config("elsewhere/simclr_fashion_mnist_12k.py")


def test_no_two_configs_have_one_name():
    stems = [Path(file).stem for file in glob.glob("configs/*/*.py")]
    assert len(stems) == len(set(stems))


def test_recipes_are_still_found_where_they_stood():
    import jaxssl.config
    from jaxssl.recipes.image import fashion_mnist_12k, quick_images

    assert jaxssl.config.fashion_mnist_12k is fashion_mnist_12k and jaxssl.config.quick is quick_images
    for name in jaxssl.config.MOVED:
        assert callable(getattr(jaxssl.config, name))
    with pytest.raises(AttributeError, match="Did you mean 'quick_table'"):
        jaxssl.config.quick_tabel
