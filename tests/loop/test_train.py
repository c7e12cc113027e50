"""The loop, in this process: what a run leaves behind, how it ends, and how it goes on."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from runs import ROOT, metrics

from jaxssl.cli import main
from jaxssl.config import load_config
from jaxssl.monitor import NonFinite
from jaxssl.runlog import read_metrics
from jaxssl.train import train

TOY = str(ROOT / "tests" / "toy.py")
# Orbax leaves coroutines behind when a checkpoint does not fit.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SIMCLR = f"{TOY}:simclr"
STEPS = 30
WHOLE = {"evaluate.every": "20", "evaluate.final": "True", "log.tensorboard": "True"}


def toy(workdir, **changes):
    """Trains the toy in this process."""
    return train(load_config(TOY, {k: str(v) for k, v in changes.items()}), workdir)


def toy_command(workdir, **changes):
    """`jaxssl train` with the toy: the exit status."""
    changes = [f"--config.{k.replace('__', '.')}={v}" for k, v in changes.items()]
    return main(["train", TOY, "--workdir", str(workdir), *changes])


def steps_saved(workdir):
    return sorted(int(p.name) for p in (Path(workdir) / "checkpoints").iterdir() if p.name.isdigit())


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run of SimCLR on eight devices, with an evaluation in the middle."""
    workdir = tmp_path_factory.mktemp("finished")
    train(load_config(SIMCLR, WHOLE), workdir)
    return workdir


def test_run_folder_holds_all_that_is_promised(finished):
    assert load_config(str(finished / "config.json")).to_dict() == load_config(SIMCLR, WHOLE).to_dict()
    assert (finished / "metrics.jsonl").is_file() and (finished / "summary.json").is_file()
    assert steps_saved(finished) == [20, 30], "the newest two"
    assert not list(finished.rglob("*.tmp")), "half-written files"


def test_metrics_have_flat_names_at_every_log_step(finished):
    rows = [row for row in read_metrics(finished / "metrics.jsonl") if "train/loss" in row]
    assert [row["step"] for row in rows] == list(range(5, STEPS + 1, 5))
    expected = {"loss", "grad_norm", "feature_rank", "feature_std", "projection_rank", "projection_std", "alignment"}
    for row in rows:
        assert {f"train/{name}" for name in expected} | {"train/uniformity"} <= set(row)
        assert all(np.isfinite(v) for v in row.values())
        assert all(re.fullmatch(r"step|(train|time)/\w+", name) for name in row)
    # The first log step has its compilation behind it: speed counts from there.
    assert all({"time/step_ms", "time/images_per_s"} <= set(row) for row in rows)
    for row in rows:
        assert row["time/images_per_s"] * row["time/step_ms"] == pytest.approx(1000 * 32, rel=1e-6)


def test_evaluation_during_training_writes_its_lines_and_the_last_step_is_left_to_the_final_one(finished):
    rows = [row for row in read_metrics(finished / "metrics.jsonl") if "knn/top1" in row]
    assert [row["step"] for row in rows] == [20]
    assert set(rows[0]) == {"step", "knn/top1", "rankme/rank", "rankme/feature_std"}
    assert 0 <= rows[0]["knn/top1"] <= 1 and rows[0]["rankme/rank"] > 1


def test_tensorboard_gets_the_same_figures(finished):
    from tensorboardX.proto.event_pb2 import Event

    (file,) = finished.glob("events.out.tfevents.*")
    data, seen = file.read_bytes(), {}
    while data:
        # A record is its length (8 bytes), a checksum (4), the event and a checksum (4).
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        seen.update({(event.step, value.tag): value.simple_value for value in event.summary.value})
        data = data[16 + length :]
    written = {
        (row["step"], name): value
        for row in read_metrics(finished / "metrics.jsonl")
        for name, value in row.items()
        if name != "step"
    }
    assert set(seen) == set(written)
    for key, value in written.items():
        assert seen[key] == pytest.approx(value, rel=1e-6)


def test_summary_holds_the_trained_encoder_beside_both_floors(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert list(summary["results"]) == ["raw pixels", "untrained encoder", "trained encoder"]
    assert summary["step"] == STEPS and summary["train_examples"] == 200 and summary["test_examples"] == 40
    assert summary["data"] == "data.sets.fashion_mnist_12k" and summary["device"]
    columns = [set(row) for row in summary["results"].values()]
    assert columns[0] == columns[1] == columns[2]
    assert columns[0] == {"knn/top1", "rankme/rank", "rankme/feature_std"}
    rows = list(summary["results"].values())
    assert rows[1] != rows[2] and rows[0] != rows[1]


def test_training_into_a_finished_folder_changes_nothing_and_shows_the_table(finished, tmp_path, capsys):
    workdir = shutil.copytree(finished, tmp_path / "again")
    before = (metrics(workdir), steps_saved(workdir), json.loads((workdir / "summary.json").read_text())["results"])
    train(load_config(str(workdir / "config.json")), workdir)
    assert (metrics(workdir), steps_saved(workdir)) == before[:2]
    shown = capsys.readouterr().out
    assert all(row in shown for row in ("raw pixels", "untrained encoder", "trained encoder", "k-NN"))
    after = json.loads((workdir / "summary.json").read_text())["results"]
    assert after == {row: pytest.approx(values, rel=1e-5) for row, values in before[2].items()}


def test_streaming_gives_the_losses_of_resident_arrays(tmp_path):
    """Both read the same index stream: the same examples in the same order."""
    changes = {"log.every": 1, "total_steps": 12}
    resident = toy(tmp_path / "resident", **changes)
    streamed = toy(tmp_path / "stream", **changes, **{"data.mode": "stream"})
    a, b = metrics(tmp_path / "resident"), metrics(tmp_path / "stream")
    assert len(a) == len(b) == 12 and len({row["train/loss"] for row in a}) == 12
    for one, other in zip(a, b):
        assert one == pytest.approx(other, rel=1e-6)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), resident.params, streamed.params)


def test_streaming_resumes_at_the_example_where_it_stopped(tmp_path):
    whole = toy(tmp_path / "whole", **{"data.mode": "stream", "optim.schedule": "constant"})
    for total in (7, STEPS):
        parts = toy(tmp_path / "parts", **{"data.mode": "stream", "optim.schedule": "constant", "total_steps": total})
    same(parts, whole)


def test_same_seed_same_run_and_another_seed_another(tmp_path):
    runs = [toy(tmp_path / str(i), seed=seed, total_steps=3) for i, seed in enumerate((0, 0, 1))]
    same(runs[0], runs[1])
    assert not np.array_equal(runs[0].params["kernel"], runs[2].params["kernel"])


def test_more_total_steps_go_on_from_the_end(tmp_path):
    changes = {"log.every": 1, "optim.schedule": "constant"}
    toy(tmp_path / "a", total_steps=7, **changes)
    assert steps_saved(tmp_path / "a") == [7], "the end is saved whatever checkpoint.every"
    longer = toy(tmp_path / "a", total_steps=20, **changes)
    assert int(longer.step) == 20
    assert json.loads((tmp_path / "a" / "config.json").read_text())["total_steps"] == 20
    same(longer, toy(tmp_path / "b", total_steps=20, **changes))
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")


def test_a_run_that_is_past_total_steps_is_refused_and_left_alone(tmp_path):
    toy(tmp_path, total_steps=12)
    before = (tmp_path / "config.json").read_text(), metrics(tmp_path), steps_saved(tmp_path)
    with pytest.raises(ValueError, match=f"total_steps=5: {tmp_path} is at step 12 already"):
        toy(tmp_path, total_steps=5)
    assert before == ((tmp_path / "config.json").read_text(), metrics(tmp_path), steps_saved(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [{"preprocess.size": 6, "augment.size": 6}, {"optim.name": "sgd"}],
    ids=["other shapes", "another optimiser"],
)
def test_checkpoint_that_does_not_fit_is_refused_and_left_alone(changes, tmp_path):
    toy(tmp_path, total_steps=20)
    before = (tmp_path / "config.json").read_text(), metrics(tmp_path), steps_saved(tmp_path)
    assert before[2] == [10, 20]
    with pytest.raises(ValueError) as caught:
        toy(tmp_path, **changes)
    said = str(caught.value)
    assert str(tmp_path / "checkpoints") in said and "steps [10, 20]" in said and "--workdir" in said
    assert len(said.splitlines()) == 1 and "strict" not in said, "advice that nobody can follow"
    assert before == ((tmp_path / "config.json").read_text(), metrics(tmp_path), steps_saved(tmp_path))
    assert int(toy(tmp_path, total_steps=22).step) == 22, "the right config still goes on"


def test_max_minutes_saves_evaluates_and_the_same_command_goes_on(tmp_path, capsys):
    assert toy_command(tmp_path, max_minutes=1e-4, evaluate__final=True) == 0
    said = (tmp_path / "log.txt").read_text()
    step = int(re.search(r"stopped at step (\d+): max_minutes is over", said).group(1))
    assert 0 < step < STEPS and steps_saved(tmp_path)[-1] == step
    assert json.loads((tmp_path / "summary.json").read_text())["step"] == step, "the time is over: that was the run"
    assert "trained encoder" in capsys.readouterr().out
    assert toy_command(tmp_path) == 0
    assert f"resumed from step {step}" in (tmp_path / "log.txt").read_text() and steps_saved(tmp_path)[-1] == STEPS
    toy(tmp_path / "whole")
    # The first part logged its last steps, or none; what both logged is equal.
    whole = {row["step"]: row for row in metrics(tmp_path / "whole")}
    assert [row for row in metrics(tmp_path) if row["step"] in whole] == list(whole.values())


def test_nan_in_the_loss_stops_with_the_step_and_the_metric(tmp_path, capsys):
    """The tenth step's checkpoint is good; step 13 is the first whose loss is not, known at the next log step."""
    assert toy_command(tmp_path, method__trouble="nan", method__at=12, log__every=5) == 1
    said = capsys.readouterr().err
    assert "'part' is not finite at step 13: stopped. The checkpoint of step 10 is kept." in said
    assert "learning rate" in said and "Traceback" not in said
    assert said.split("jaxssl: ")[1].strip() in (tmp_path / "log.txt").read_text()
    assert steps_saved(tmp_path) == [10]
    assert [row["step"] for row in metrics(tmp_path)] == [5, 10], "no row with NaN"


def test_nan_before_any_checkpoint(tmp_path):
    with pytest.raises(NonFinite, match=r"'part' is not finite at step 1: stopped. No checkpoint had been written yet"):
        toy(tmp_path, **{"method.trouble": "nan", "log.every": 30, "checkpoint.every": 10})
    assert steps_saved(tmp_path) == []


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_not_finite_is_never_saved(tmp_path):
    """A checkpoint due before the next log step, and an update that overflows although its loss was finite."""
    with pytest.raises(NonFinite, match="'part' is not finite at step 13.*step 10 is kept"):
        toy(tmp_path / "a", **{"method.trouble": "nan", "method.at": 12, "log.every": 30, "checkpoint.every": 5})
    assert steps_saved(tmp_path / "a") == [5, 10]
    absurd = {"optim.name": "sgd", "optim.learning_rate": 1e30, "optim.warmup_steps": 0, "total_steps": 5}
    absurd["optim.multipliers"] = "(('.*', 1e30),)"
    with pytest.raises(NonFinite, match="'params' is not finite at step 1: stopped. No checkpoint"):
        toy(tmp_path / "b", **absurd, **{"checkpoint.every": 1, "log.every": 5})
    assert steps_saved(tmp_path / "b") == []


def test_collapse_is_said_in_the_log_and_training_goes_on(tmp_path):
    assert toy_command(tmp_path, method__trouble="collapse", method__at=60, total_steps=80) == 0
    said = (tmp_path / "log.txt").read_text()
    assert "WARNING step 65: effective rank 1.0 of 8: dimensional collapse" in said
    assert said.count("effective rank") == 1 and "complete collapse" in said
    assert steps_saved(tmp_path)[-1] == 80


@pytest.mark.parametrize("after, saved", [(50, 40), (30, 20)])
def test_stop_on_collapse_stops(tmp_path, capsys, after, saved):
    changes = dict(log__stop_on_collapse=True) | (dict(log__monitor_after=after) if after != 50 else {})
    assert toy_command(tmp_path, method__trouble="collapse", total_steps=80, **changes) == 1
    assert f"step {after}: effective rank 1.0 of 8" in capsys.readouterr().err, "not in the warm-up"
    assert [row["step"] for row in metrics(tmp_path)][-1] == after
    assert steps_saved(tmp_path)[-1] == saved


def test_the_monitor_can_be_switched_off(tmp_path):
    changes = dict(method__trouble="collapse", total_steps=60, log__stop_on_collapse=True, log__monitor=False)
    assert toy_command(tmp_path, **changes) == 0
    assert not any("feature_rank" in name for row in metrics(tmp_path) for name in row)


def test_data_in_memory_instead_of_the_config_s(tmp_path):
    from jaxssl.data.source import Splits, from_arrays

    image = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    state = train(load_config(TOY, {"total_steps": "3"}), tmp_path, splits=Splits(from_arrays({"image": image})))
    assert int(state.step) == 3
