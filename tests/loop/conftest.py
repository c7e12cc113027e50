"""The run that others are compared with."""

import pytest
from pod import command
from runs import metrics, run


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """One process with two devices, from arrays on the device; (run folder, rows)."""
    workdir = tmp_path_factory.mktemp("alone")
    done = run(*command(workdir), devices=2)
    assert done.returncode == 0, done.stderr
    return workdir, metrics(workdir)
