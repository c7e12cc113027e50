"""Whatever ends a run, the same command goes on from it, and the result is that of a run that was never interrupted."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from runs import metrics, run, start

STEPS = 60


def command(config, workdir, steps=STEPS):
    changes = dict(total_steps=steps, **{"checkpoint.every": 5, "log.every": 1, "evaluate.final": False})
    return ["train", f"{config}:quick", "--workdir", workdir, *(f"--config.{k}={v}" for k, v in changes.items())]


def wait_for_step(workdir, step, process):
    """Until the log has reached a step."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        log = Path(workdir) / "metrics.jsonl"
        if log.is_file() and log.read_text().count("\n") >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached: {process.communicate()}")


def finished_checkpoints(workdir):
    return sorted(int(p.name) for p in (Path(workdir) / "checkpoints").iterdir() if p.name.isdigit())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted")
    done = run(*command("configs/image/moco_fashion_mnist_12k.py", workdir))
    assert done.returncode == 0, done.stderr
    return metrics(workdir)


def check_kills(config, workdir, expected, kills):
    moments = random.Random(Path(config).stem)
    for _ in range(kills):
        process = start(*command(config, workdir))
        logged = len(metrics(workdir)) if (Path(workdir) / "metrics.jsonl").is_file() else 0
        # The save of step 10 waits for that of step 5: by row 11 there is a checkpoint.
        wait_for_step(workdir, max(min(logged + moments.randint(6, 14), STEPS - 2), 11), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert finished_checkpoints(workdir), "no checkpoint survived"
    done = run(*command(config, workdir))
    assert done.returncode == 0, done.stderr
    assert "resumed from step" in done.stderr
    assert metrics(workdir) == expected


def test_kill_at_any_moment_then_the_same_metrics_bit_for_bit(uninterrupted, tmp_path):
    check_kills("configs/image/moco_fashion_mnist_12k.py", tmp_path, uninterrupted, kills=3)


# Every modality; twenty kills in all.
KILLED = (
    "simclr_fashion_mnist_12k",
    "swav_fashion_mnist_12k",
    "dino_fashion_mnist_12k",
    "clan_flows",
    "t_jepa_sensors",
    "ecg_jepa_rhythms",
    "graphmae_debian",
    "mirror_bert_debian",
    "ssast_words",
    "point_cmae_solids",
)


@pytest.mark.slow
@pytest.mark.parametrize("config", KILLED)
def test_kills_at_random_moments_change_nothing(config, tmp_path):
    done = run(*command(config, tmp_path / "whole"))
    assert done.returncode == 0, done.stderr
    check_kills(config, tmp_path / "killed", metrics(tmp_path / "whole"), kills=2)


def test_sigterm_saves_and_says_by_its_status_that_it_can_be_resumed(uninterrupted, tmp_path):
    process = start(*command("configs/image/moco_fashion_mnist_12k.py", tmp_path))
    wait_for_step(tmp_path, 7, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    step = len(metrics(tmp_path))
    assert f"stopped at step {step}: SIGTERM" in err
    assert finished_checkpoints(tmp_path)[-1] == step, "the step at the signal was not saved"
    done = run(*command("configs/image/moco_fashion_mnist_12k.py", tmp_path))
    assert done.returncode == 0 and f"resumed from step {step}" in done.stderr
    assert metrics(tmp_path) == uninterrupted


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path):
    done = run(*command("configs/image/moco_fashion_mnist_12k.py", tmp_path, steps=STEPS), "--config.max_minutes=0.0")
    assert done.returncode == 0, done.stderr
    newest = tmp_path / "checkpoints" / str(STEPS)
    for file in [f for f in newest.rglob("*") if f.is_file() and f.stat().st_size]:
        os.truncate(file, file.stat().st_size // 2)
    done = run(*command("configs/image/moco_fashion_mnist_12k.py", tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"checkpoint of step {STEPS}" in done.stderr and f"resumed from step {STEPS - 5}" in done.stderr
    assert metrics(tmp_path) == uninterrupted
