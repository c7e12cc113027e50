"""Two processes on one machine give the run of one process: the same losses, checkpoints and evaluation."""

import json
import logging
import shutil

import pytest
from pod import STEPS, check_equal, command, run_two
from runs import metrics, run


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two processes with one device each, evaluated in the middle and at the end; (run folder, what was said)."""
    workdir = tmp_path_factory.mktemp("together")
    return workdir, run_two(*command(workdir, evaluate__every=6, evaluate__final=True, log__tensorboard=True))


def test_two_processes_give_the_losses_of_one(alone, together):
    rows = [row for row in metrics(together[0]) if "train/loss" in row]
    assert len(rows) == STEPS
    check_equal(rows, alone[1])


def test_only_the_first_process_writes_and_speaks(together):
    workdir, ((out, err), (other_out, other_err)) = together
    assert "step 5/12" in err and "trained encoder" in out
    assert "INFO" in err and "INFO" not in other_err
    assert "step 5/12" not in other_err and "trained encoder" not in other_out
    assert (workdir / "log.txt").is_file() and len(list(workdir.glob("events.out.tfevents.*"))) == 1


def test_evaluation_by_two_processes(together):
    workdir, _ = together
    assert [row["step"] for row in metrics(workdir) if "knn/top1" in row] == [6]
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary["step"] == STEPS and summary["train_examples"] == 200 and summary["test_examples"] == 40
    assert list(summary["results"]) == ["raw pixels", "untrained encoder", "trained encoder"]


def test_evaluation_by_two_processes_is_that_of_one(together):
    """One process reads the checkpoint that two wrote, and finds the same features."""
    from jaxssl.cli import open_run
    from jaxssl.evaluate import Evaluation

    logging.getLogger("jaxssl").handlers.clear()
    workdir, _ = together
    experiment, state = open_run(workdir, {"mesh.data": "1"})
    assert int(state.step) == STEPS
    found = Evaluation(experiment, ["knn", "rankme"]).run(state)
    expected = json.loads((workdir / "summary.json").read_text())["results"]["trained encoder"]
    assert found["knn/top1"] == pytest.approx(expected["knn/top1"], abs=1.5 / 40)
    assert found["rankme/rank"] == pytest.approx(expected["rankme/rank"], rel=1e-3)


def test_one_process_resumes_what_two_began(alone, together, tmp_path):
    """The number of processes may change: neither the stream of examples nor a checkpoint knows it."""
    begun = shutil.copytree(together[0], tmp_path / "begun")
    shutil.rmtree(begun / "checkpoints" / str(STEPS))
    done = run(*command(begun), devices=1)
    assert done.returncode == 0, done.stderr
    assert "resumed from step 8" in done.stderr
    check_equal([row for row in metrics(begun) if "train/loss" in row], alone[1])


@pytest.mark.slow
def test_two_processes_resume_what_one_began_each_streaming_its_half(alone, tmp_path):
    begun = shutil.copytree(alone[0], tmp_path / "begun")
    shutil.rmtree(begun / "checkpoints" / str(STEPS))
    (_, err), _ = run_two(*command(begun, data__mode="stream"))
    assert "resumed from step 8" in err
    check_equal(metrics(begun), alone[1])
