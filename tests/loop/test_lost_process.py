"""Processes find each other through a cluster; when one is killed the others stop, and the restarted job resumes."""

import random
import shutil
import signal
import time

import pytest
from pod import STEPS, TIME_LIMIT, check_equal, command, free_port
from runs import metrics, start

from jaxssl.processes import RESUME, cluster, join

# Seconds from the death of one process to the end of the others; a second was seen, the machine may be busy.
SOON = 60


def start_all(count, *args):
    together = ["--coordinator", f"localhost:{free_port()}", "--num-processes", count]
    return [start(*args, *together, "--process-id", i) for i in range(count)]


def finish(processes):
    """(exit statuses, what each said on stderr)."""
    try:
        said = [p.communicate(timeout=TIME_LIMIT)[1] for p in processes]
    finally:
        for p in processes:
            p.kill()
    return [p.returncode for p in processes], said


def rows(workdir):
    file = workdir / "metrics.jsonl"
    return file.read_text().count("\n") if file.is_file() else 0


def kill_one(processes, victim, workdir, after_rows):
    """Kills a process once so many steps are logged; (seconds until all others have ended, statuses, stderr)."""
    began = time.monotonic()
    while rows(workdir) < after_rows and time.monotonic() - began < TIME_LIMIT:
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
        time.sleep(0.05)
    processes[victim].kill()
    killed = time.monotonic()
    statuses, said = finish(processes)
    return time.monotonic() - killed, statuses, said


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_when_one_process_dies_the_other_stops_and_the_job_resumes(victim, alone, tmp_path):  # noqa: F811
    workdir = tmp_path / "run"
    # So long that it cannot end before the kill.
    long = command(workdir, total_steps=100000)
    seconds, statuses, said = kill_one(start_all(2, *long), victim, workdir, after_rows=6)
    assert seconds < SOON and statuses[victim] == -9
    other = 1 - victim
    if statuses[other] == RESUME:
        assert f"process {other} of 2 stops" in said[other] and "resumes from the newest checkpoint" in said[other]
    else:
        # JAX's own watch may end a process first, by SIGABRT; where process 0 has died, which does the watching, always.
        assert statuses[other] == -6 and "another task died" in said[other]
    for step in (workdir / "checkpoints").iterdir():
        if step.name.isdigit() and int(step.name) > 4:
            shutil.rmtree(step)
    statuses, said = finish(start_all(2, *command(workdir)))
    assert statuses == [0, 0], said
    assert "resumed from step 4" in said[0]
    check_equal([row for row in metrics(workdir) if "train/loss" in row], alone[1])


def test_a_signal_to_one_process_stops_both_with_the_status_that_resumes(tmp_path):
    workdir = tmp_path / "run"
    long = command(workdir, total_steps=100000, evaluate__final=True)
    processes = start_all(2, *long)
    began = time.monotonic()
    while rows(workdir) < 6 and time.monotonic() - began < TIME_LIMIT:
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
        time.sleep(0.05)
    second = start(*long)  # while they train, nobody else does
    assert second.wait(TIME_LIMIT) == RESUME and "is in use: process" in second.communicate()[1]
    processes[1].send_signal(signal.SIGTERM)
    statuses, said = finish(processes)
    assert statuses == [RESUME, RESUME], said
    step = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
    assert f"stopped at step {step} of 100000; the same command resumes" in said[0]
    assert not (workdir / "lock").exists() and not (workdir / "summary.json").exists()


@pytest.mark.slow
def test_four_processes_killed_at_random_moments_give_the_losses_of_one(alone, tmp_path):  # noqa: F811
    workdir, chance = tmp_path / "run", random.Random(0)
    for after_rows in sorted(chance.sample(range(1, STEPS), 3)):
        changes = command(workdir, total_steps=STEPS, log__every=1, checkpoint__every=2)
        processes = start_all(4, *changes)
        if rows(workdir) >= after_rows:
            time.sleep(chance.uniform(0, 20))
        try:
            seconds, _, _ = kill_one(processes, chance.randrange(4), workdir, after_rows)
        except AssertionError:
            # All four may have come to the end before the kill.
            assert [p.returncode for p in processes] == [0] * 4
            break
        assert seconds < SOON
    statuses, said = finish(start_all(4, *command(workdir, checkpoint__every=2)))
    assert statuses == [0] * 4, said
    check_equal([row for row in metrics(workdir) if "train/loss" in row], alone[1])


def test_two_tasks_of_slurm_find_each_other(alone, tmp_path):  # noqa: F811
    # JAX takes the port from the job's number.
    job = str(random.Random().randrange(4096))
    variables = dict(SLURM_JOB_ID=job, SLURM_STEP_NODELIST="localhost", SLURM_NTASKS="2", SLURM_STEP_NUM_TASKS="2")
    processes = [
        start(*command(tmp_path / "run"), **variables, SLURM_PROCID=str(i), SLURM_LOCALID=str(i)) for i in range(2)
    ]
    statuses, said = finish(processes)
    assert statuses == [0, 0], said
    check_equal([row for row in metrics(tmp_path / "run") if "train/loss" in row], alone[1])


@pytest.mark.parametrize(
    "environment, name",
    [
        ({}, None),
        # The batch script itself, and the shell of an allocation: no step has been started.
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_STEP_NUM_TASKS": "16"}, "SLURM"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "Open MPI"),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, None),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, "TPU pod"),
    ],
)
def test_a_cluster_is_noticed_in_its_steps_only(environment, name):
    assert cluster(environment) == name


def test_arguments_that_do_not_go_together():
    with pytest.raises(ValueError, match="go together"):
        join("host:1", None, 0)
    with pytest.raises(ValueError, match=r"--process-id 2: must lie in 0 .. 1"):
        join("host:1", 2, 2)
    with pytest.raises(ValueError, match="leave them out"):
        join("auto", 2, None)
