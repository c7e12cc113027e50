"""Begin from another run or a file: what is taken, resized, left fresh, and what is refused."""

import logging

import jax
import numpy as np
import pytest
from runs import ROOT, metrics
from toy import get_config

from jaxssl.cli import main
from jaxssl.config import load_config
from jaxssl.experiment import setup
from jaxssl.start import FRESH, LOADED, RESIZED, merge, resized, started
from jaxssl.stored import flat, read_networks
from jaxssl.train import train

TOY = str(ROOT / "tests" / "toy.py")


def config_of(arg=None, **changes):
    return load_config(f"{TOY}:{arg}" if arg else TOY, {k: str(v) for k, v in changes.items()})


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("toy") / "run"
    train(config_of(total_steps=20, **{"checkpoint.every": 10}), workdir)
    return workdir


@pytest.fixture(scope="module")
def simclr_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("simclr") / "run"
    train(config_of("simclr", total_steps=4, **{"mesh.data": 1}), workdir)
    return workdir


def test_without_a_start_the_state_is_the_initial_one():
    experiment = setup(get_config())
    for found, wanted in zip(
        jax.tree.leaves(started(experiment, experiment.config.start)), jax.tree.leaves(experiment.initial())
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_part_of_a_run_is_taken_and_the_optimiser_begins_anew(toy_run, caplog):
    caplog.set_level(logging.INFO, "jaxssl")
    experiment = setup(config_of())
    state = started(experiment, dict(run=str(toy_run), parts=("kernel",)))
    np.testing.assert_array_equal(state.params["kernel"], read_networks(toy_run, trust=True).params["kernel"])
    assert int(state.step) == 0
    assert not any(np.any(x) for x in jax.tree.leaves(jax.tree.map(np.asarray, state.opt_state)))
    assert "start: params/kernel: loaded" in caplog.text and "at step 20" in caplog.text
    earlier = started(experiment, dict(run=str(toy_run), parts=("kernel",), step=10))
    assert not np.array_equal(earlier.params["kernel"], state.params["kernel"])


def test_all_of_a_run_goes_on_at_its_step_as_if_it_had_never_ended(toy_run, tmp_path):
    whole, second = tmp_path / "whole", tmp_path / "second"
    steps = {"total_steps": 40, "optim.schedule": "constant", "checkpoint.every": 10}
    train(config_of(**{**steps, "total_steps": 40}), whole)
    first = tmp_path / "first"
    train(config_of(**{**steps, "total_steps": 20}), first)
    train(config_of(**steps, **{"start.run": first, "start.state": True}), second)
    assert metrics(second) == [row for row in metrics(whole) if row["step"] > 20]
    with pytest.raises(ValueError, match="total_steps=10: .* is at step 20 already"):
        train(config_of(total_steps=10, **{"start.run": first, "start.state": True}), tmp_path / "third")


def test_encoder_statistics_and_heads_of_a_run(simclr_run, caplog):
    caplog.set_level(logging.INFO, "jaxssl")
    experiment, there = setup(config_of("simclr", **{"mesh.data": 1, "seed": 1})), read_networks(simclr_run)
    state, fresh = started(experiment, dict(run=str(simclr_run))), experiment.initial()
    for found, wanted, own in (
        (state.params["encoder"], there.params["encoder"], True),
        (state.memory["stats"]["encoder"], there.stats["encoder"], True),
        (state.params["projector"], fresh.params["projector"], False),
    ):
        for x, y in zip(flat(found).values(), flat(wanted).values(), strict=True):
            np.testing.assert_array_equal(x, y)
    lines = [r.message for r in caplog.records if r.message.startswith("start: ")]
    arrays = {**{f"params/{p}": 1 for p in flat({"encoder": there.params["encoder"]})}}
    assert arrays.keys() <= {line.split(": ")[1] for line in lines if line.endswith(": loaded")}


def test_a_mapping_takes_a_part_to_another_name(simclr_run):
    experiment = setup(config_of("simclr", **{"mesh.data": 1, "seed": 1, "encoder.widths": "(16,)"}))
    there = read_networks(simclr_run)
    layer = next(iter(there.params["projector"]))
    state = started(experiment, dict(run=str(simclr_run), parts={f"projector/{layer}": f"projector/{layer}"}))
    for x, y in zip(
        jax.tree.leaves(state.params["projector"][layer]), jax.tree.leaves(there.params["projector"][layer])
    ):
        np.testing.assert_array_equal(x, y)


def test_what_does_not_fit_is_left_fresh_and_said(simclr_run, caplog):
    caplog.set_level(logging.INFO, "jaxssl")
    changes = {"mesh.data": 1, "method.dim": 8}
    experiment = setup(config_of("simclr", **changes))
    state = started(experiment, dict(run=str(simclr_run), parts=("encoder", "projector")))
    assert "params/projector/linear1/kernel: left fresh ([32, 16] there, [32, 8] here)" in caplog.text
    kernel = experiment.initial().params["projector"]["linear1"]["kernel"]
    np.testing.assert_array_equal(state.params["projector"]["linear1"]["kernel"], kernel)


def test_teacher_and_student_get_the_same(simclr_run):
    byol = config_of("simclr", **{"mesh.data": 1}).copy_and_resolve_references()
    byol.unlock()
    byol.method = dict(name="methods.byol", hidden_dims=(32,), dim=16, predictor_dim=16)
    experiment, there = setup(byol), read_networks(simclr_run)
    state = started(experiment, dict(run=str(simclr_run)))
    for tree, wanted in (
        (state.params["encoder"], there.params["encoder"]),
        (state.memory["teacher"]["encoder"], there.params["encoder"]),
        (state.memory["teacher_stats"]["encoder"], there.stats["encoder"]),
    ):
        for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_array_equal(x, y)


def test_init_on_the_command_line_takes_a_run_or_a_file(simclr_run, tmp_path, capsys):
    file = tmp_path / "encoder.safetensors"
    assert main(["export", str(simclr_run), "--out", str(file)]) == 0
    command = [
        "train",
        f"{TOY}:simclr",
        "--config.mesh.data=1",
        "--config.total_steps=1",
        "--config.seed=3",
        "--config.optim.warmup_steps=0",
    ]
    for i, origin in enumerate((simclr_run, file)):
        workdir = tmp_path / str(i)
        assert (
            main([*command, "--workdir", str(workdir), "--init", str(origin), "--config.optim.learning_rate=1e-12"])
            == 0
        )
        found = read_networks(workdir).params["encoder"]
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(read_networks(simclr_run).params["encoder"])):
            np.testing.assert_allclose(x, y, atol=1e-6)
        assert "loaded" in (workdir / "log.txt").read_text()
    assert main([*command, "--workdir", str(tmp_path / "x"), "--init", str(tmp_path / "nothing")]) == 2
    assert "--init" in capsys.readouterr().err


@pytest.mark.parametrize(
    "start, said",
    [
        (dict(run="nowhere"), "start.run='nowhere': nowhere is no run folder"),
        (dict(file="nowhere"), "start.file='nowhere': there is no such file"),
        (dict(run="a", file="b"), "one of them"),
        (dict(parts=("kernell",)), "start.parts: 'kernell' matches nothing in .* Did you mean 'kernel'"),
        (dict(parts={"kernell": "kernel"}), "start.parts: 'kernell' matches nothing in this config"),
        (dict(step=7), "holds no checkpoint of step 7"),
    ],
)
def test_what_is_refused(start, said, toy_run):
    with pytest.raises(ValueError, match=said):
        started(setup(config_of()), {**({} if {"run", "file"} & set(start) else {"run": str(toy_run)}), **start})


def test_a_part_of_which_no_array_fits_is_refused(toy_run):
    with pytest.raises(ValueError, match="no array of 'kernel' has name and shape"):
        started(
            setup(config_of(**{"preprocess.size": 10, "augment.size": 10})), dict(run=str(toy_run), parts=("kernel",))
        )


def test_positions_of_another_grid_are_resampled_and_extra_tokens_kept():
    table = np.random.default_rng(0).normal(size=(1 + 9, 4)).astype(np.float32)
    found = resized(table, (1 + 25, 4))
    np.testing.assert_array_equal(found[0], table[0])
    assert found.shape == (26, 4) and np.isfinite(found).all()
    flat_table = np.tile(np.arange(4, dtype=np.float32), (9, 1))
    np.testing.assert_allclose(resized(flat_table, (16, 4)), flat_table[:1].repeat(16, 0), atol=1e-5)
    assert resized(table, (27, 4)) is None and resized(table, (26, 5)) is None


def test_merge_reports_every_array():
    arrays = lambda fill, **shapes: {name: np.full(shape, fill, np.float32) for name, shape in shapes.items()}
    old, new = arrays(0, a=2, pos_embed=(4, 2), b=3, c=1), arrays(1, a=2, pos_embed=(9, 2), b=4, d=1)
    tree, report = merge(old, new)
    assert {path: what for path, (what, _) in report.items()} == {
        "a": LOADED,
        "b": FRESH,
        "c": FRESH,
        "pos_embed": RESIZED,
    }
    assert tree["a"].sum() == 2 and tree["b"].sum() == 0
    np.testing.assert_allclose(tree["pos_embed"], 1, atol=1e-5)


def test_an_older_config_without_the_sections_loads(toy_run, tmp_path):
    import json
    import shutil

    run = shutil.copytree(toy_run, tmp_path / "run")
    content = json.loads((run / "config.json").read_text())
    del content["start"], content["study"]
    (run / "config.json").write_text(json.dumps(content))
    config = load_config(str(run / "config.json"), trust=True)
    assert config.start.run == "" and config.study.name == ""
