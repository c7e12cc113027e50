"""Two processes on one machine give the run of one process: the same losses, checkpoints and evaluation."""

import json
import logging
import math
import shutil
import socket
import subprocess

import pytest
from runs import metrics, run, start

SIMCLR = "tests/toy.py:simclr"
STEPS = 12
TIME_LIMIT = 300


def command(workdir, **changes):
    changes = dict(total_steps=STEPS, log__every=1, checkpoint__every=4) | changes
    overrides = [f"--config.{k.replace('__', '.')}={v}" for k, v in changes.items()]
    return ["train", SIMCLR, "--workdir", workdir, *overrides]


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def run_two(*args):
    """Runs `jaxssl ARGS` in two processes of one device each; what each said."""
    together = ["--coordinator", f"localhost:{free_port()}", "--num-processes", 2]
    processes = [start(*args, *together, "--process-id", i) for i in range(2)]
    try:
        said = [p.communicate(timeout=TIME_LIMIT) for p in processes]
    except subprocess.TimeoutExpired:
        for p in processes:
            p.kill()
        raise AssertionError([p.communicate() for p in processes]) from None
    assert [p.returncode for p in processes] == [0, 0], said
    return said


def check_equal(found, expected):
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for a, b in zip(found, expected):
        assert math.isclose(a["train/loss"], b["train/loss"], rel_tol=1e-4), a["step"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process with two devices, from arrays on the device; (run folder, rows)."""
    workdir = tmp_path_factory.mktemp("alone")
    done = run(*command(workdir), devices=2)
    assert done.returncode == 0, done.stderr
    return workdir, metrics(workdir)


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
