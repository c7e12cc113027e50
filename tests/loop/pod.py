"""Runs of the toy in several processes on one machine."""

import math
import socket
import subprocess

from runs import start

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
