"""Commands of the library in processes of their own, and what their run folders say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def environment(devices: int = 1) -> dict[str, str]:
    """The environment of the suite with another number of virtual devices."""
    flags = [f for f in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in f]
    return {**os.environ, "XLA_FLAGS": " ".join([*flags, f"--xla_force_host_platform_device_count={devices}"])}


def start(*args: Any, devices: int = 1, **variables: str) -> subprocess.Popen:
    """Starts `jaxssl ARGS` with more environment variables; output goes to pipes."""
    command = [sys.executable, "-m", "jaxssl", *map(str, args)]
    environ = {**environment(devices), **variables}
    return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*args: Any, devices: int = 1) -> subprocess.CompletedProcess:
    """Runs `jaxssl ARGS` to its end."""
    process = start(*args, devices=devices)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(args, process.returncode, out, err)


def metrics(workdir: str | Path) -> list[dict]:
    """Rows of metrics.jsonl without the times."""
    rows = [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
