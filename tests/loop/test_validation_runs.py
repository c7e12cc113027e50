"""Runs that are evaluated on a validation part: what is trained on, what is said, what is refused."""

import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import toy
from runs import ROOT

from jaxssl.cli import main, open_run
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.validation import validation_index
from jaxssl.evaluators.features import EvaluationData
from jaxssl.experiment import filled, load_splits

CONFIG = str(ROOT / "tests" / "toy.py")
SHORT = ("--config.total_steps=4", "--config.batch_size=16", "--config.evaluate.final=True")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{part: run folder} of the same run, evaluated on either part."""
    made = {part: tmp_path_factory.mktemp("validation") / part for part in ("test", "validation")}
    for part, folder in made.items():
        assert main(["train", CONFIG, "--workdir", str(folder), *SHORT, f"--config.evaluate.part={part}"]) == 0
    return made


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_summary_says_which_part_was_read(folders):
    whole, part = (summary(folders[name]) for name in ("test", "validation"))
    assert (whole["part"], whole["train_examples"], whole["test_examples"]) == ("test", 200, 40)
    assert (part["part"], part["train_examples"], part["test_examples"]) == ("validation", 180, 20)
    assert part["results"]["raw pixels"] != whole["results"]["raw pixels"]


def test_a_run_is_not_evaluated_on_what_it_was_trained_on(folders, capsys):
    assert main(["evaluate", str(folders["test"]), "--trust", "--config.evaluate.part=validation"]) == 2
    assert "evaluate.part='validation': this run was trained on the examples of that part" in capsys.readouterr().err
    assert main(["train", CONFIG, "--workdir", str(folders["test"]), *SHORT, "--config.evaluate.part=validation"]) == 2
    assert "evaluate.part=" in capsys.readouterr().err


def test_at_the_end_the_test_set_is_read_once(folders):
    experiment, _ = open_run(str(folders["validation"]), trust=True)
    assert experiment.splits.test.part == "validation" and experiment.splits.train.size == 180
    experiment, _ = open_run(str(folders["validation"]), {"evaluate.part": "test"}, trust=True)
    assert experiment.splits.test.part == "test" and experiment.splits.test.size == 40


def test_the_part_of_the_config_is_that_of_the_view():
    config = toy.get_config()
    whole = load_splits(config)
    config.evaluate.part = "validation"
    train, held = load_splits(config)
    of = {name: value for name, value in config.data.to_dict().items() if name != "mode"}
    config.evaluate.part, config.data = "test", dict(name="data.subset.validation", mode="resident", of=of)
    for source, expected in zip(load_splits(config), (train, held)):
        np.testing.assert_array_equal(source.arrays["index"], expected.arrays["index"])
    np.testing.assert_array_equal(np.sort(validation_index(whole.train)), held.arrays["index"])


def test_evaluators_ask_for_a_part_of_the_training_data():
    label = np.arange(60) % 3
    arrays = {"x": np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), "label": label}
    train, test = from_arrays(arrays), from_arrays({name: x[:9] for name, x in arrays.items()})
    state = SimpleNamespace(params={}, memory={}, step=0)
    predict = lambda params, memory, batch: {
        "features": jnp.asarray(batch["x"]),
        "score": jnp.asarray(batch["x"][:, :1]),
    }
    serve = lambda source: iter([source.fetch(np.arange(source.size))])
    for data in (
        EvaluationData(lambda: iter(()), serve=serve).of(Splits(train, test)),
        EvaluationData(lambda: serve(train), lambda: serve(test), num_classes=3),
    ):
        f, whole = data.validation(predict, state), data.features(predict, state)
        assert np.bincount(f.test_y).tolist() == [2, 2, 2] and len(f.train_y) == 54
        held = np.setdiff1d(np.arange(60), f.train_index)
        np.testing.assert_array_equal(f.test_x, whole.train_x[held])
        np.testing.assert_array_equal(f.train_x, whole.train_x[f.train_index])
        found = data.outputs(predict, state, ("score",), split="validation")
        np.testing.assert_array_equal(found["index"], held)
        np.testing.assert_array_equal(data.array("x", split="validation"), arrays["x"][held])
    data.serve, data.part = serve, "validation"
    other = data.of(Splits(train, test))  # other data are held out alike: their test set is left alone
    assert len(list(other.test_batches())[0]["label"]) == 6 and other.part == "validation"


def test_sizes_of_the_data_reach_sections_within_a_method():
    source = SimpleNamespace(num_ids=50, num_classes=7, num_targets=0)
    spec = dict(name="methods.distill", teacher=dict(name="methods.supervised", hidden_dims=(8,)))
    assert filled(spec, source) == {
        **spec,
        "num_classes": 7,
        "teacher": {**spec["teacher"], "num_classes": 7},
    }
    given = dict(name="methods.distill", num_classes=3, teacher=dict(name="methods.supervised", num_classes=4))
    assert filled(given, source) == given
