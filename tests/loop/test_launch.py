"""The launch scripts, as far as a machine without a cluster can check them."""

import os
import shutil
import subprocess

import pytest
from runs import ROOT

from jaxssl.cli import parser

LAUNCH = ROOT / "tools" / "launch"


def shell(script, *args, path=None, **variables):
    environ = {**os.environ, **variables}
    if path is not None:
        environ["PATH"] = f"{path}:{environ['PATH']}"
    return subprocess.run(["bash", LAUNCH / script, *args], capture_output=True, text=True, env=environ, timeout=60)


def program(folder, name, text):
    """A stand-in for a program of the cluster."""
    file = folder / name
    file.write_text(f"#!/bin/bash\n{text}\n")
    file.chmod(0o755)


@pytest.fixture
def slurm(tmp_path):
    """A folder with srun, which runs its command, and scontrol, which says what it was asked."""
    program(tmp_path, "srun", 'shift; exec "$@"')
    program(tmp_path, "scontrol", 'echo scontrol "$@"')
    return tmp_path


@pytest.mark.parametrize(
    "status, requeued, found", [(0, False, 0), (1, False, 1), (2, False, 2), (75, True, 0), (137, True, 0)]
)
def test_slurm_requeues_what_another_start_can_finish(slurm, status, requeued, found):
    program(slurm, "jaxssl", f'echo jaxssl "$@"; exit {status}')
    done = shell(
        "slurm.sh", "c.py", "my run", "--config.seed=1", path=slurm, JAXSSL=str(slurm / "jaxssl"), SLURM_JOB_ID="7"
    )
    assert done.returncode == found, done
    assert "jaxssl train c.py --workdir my run --config.seed=1" in done.stdout
    assert ("scontrol requeue 7" in done.stdout) == requeued


def test_slurm_lets_the_run_save_when_the_time_is_over(slurm):
    program(slurm, "jaxssl", "trap 'echo saved; exit 75' TERM; echo ready > \"$READY\"; while true; do sleep 0.1; done")
    ready = slurm / "ready"
    environ = {**os.environ, "PATH": f"{slurm}:{os.environ['PATH']}", "JAXSSL": str(slurm / "jaxssl")}
    process = subprocess.Popen(
        ["bash", LAUNCH / "slurm.sh", "c.py", "run"],
        stdout=subprocess.PIPE,
        text=True,
        env={**environ, "SLURM_JOB_ID": "7", "READY": str(ready)},
    )
    while not ready.exists():
        assert process.poll() is None
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and said.split("\n")[:2] == ["saved", "scontrol requeue 7"]


def test_tpu_pod_dry_run():
    done = shell("tpu_pod.sh", "pod", "zone", "https://x/y.git", "c.py", "/shared/r", "--config.a=b c", DRY_RUN="1")
    install, train = done.stdout.splitlines()
    assert "git clone https://x/y.git jaxssl" in install
    command = train.removeprefix("cd jaxssl && while ").partition("; status=")[0]
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True
    ).stdout.splitlines()
    assert words[0] == ".venv/bin/jaxssl" and words[-1] == "--config.a=b c"
    parsed = parser().parse_args(words[1:-1])
    assert (parsed.coordinator, parsed.workdir) == ("auto", "/shared/r")


@pytest.mark.parametrize("statuses, found", [([0], 0), ([75, 75, 0], 0), ([75, 2], 2), ([1], 1)])
def test_a_host_of_a_tpu_pod_goes_on_while_the_status_says_so(tmp_path, statuses, found):
    done = shell("tpu_pod.sh", "pod", "zone", "url", "c.py", "/shared/r", DRY_RUN="1")
    (tmp_path / "jaxssl" / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "statuses").write_text("".join(f"{s}\n" for s in statuses))
    program(
        tmp_path / "jaxssl" / ".venv" / "bin",
        "jaxssl",
        'echo "$1"; s=$(head -n 1 ../statuses); sed -i 1d ../statuses; exit $s',
    )
    program(tmp_path, "sleep", "true")
    ran = subprocess.run(
        ["bash", "-c", done.stdout.splitlines()[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    assert ran.returncode == found and ran.stdout.count("train") == len(statuses)


def test_kubernetes_gives_up_on_wrong_input_and_failed_runs_only():
    text = (LAUNCH / "kubernetes.yaml").read_text()
    assert "values: [1, 2]" in text and "action: FailJob" in text


@pytest.mark.parametrize("script", ["slurm.sh", "tpu_pod.sh"])
def test_scripts_say_how_they_are_used_and_are_sound(script):
    done = shell(script)
    assert done.returncode == 2 and "usage" in done.stderr
    assert os.access(LAUNCH / script, os.X_OK)
    if shutil.which("shellcheck"):
        checked = subprocess.run(["shellcheck", LAUNCH / script], capture_output=True, text=True)
        assert not checked.returncode, checked.stdout


def test_kubernetes_starts_as_many_processes_as_it_says():
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((LAUNCH / "kubernetes.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(environment["NUM_PROCESSES"])
    name = job["metadata"]["name"]
    # The pods of a job are reached as JOB-INDEX.SUBDOMAIN through a service without an address of its own.
    assert pod["subdomain"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}
    assert {m["name"] for m in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}
    line = container["args"][0].replace("$JOB_COMPLETION_INDEX", "3")
    words = subprocess.run(
        ["bash", "-c", line.replace("exec jaxssl", "printf '%s\\n'")],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    ).stdout.splitlines()
    parsed = parser().parse_args(words)
    assert (parsed.coordinator, parsed.num_processes, parsed.process_id) == (
        f"{name}-0.{service['metadata']['name']}:1234",
        4,
        3,
    )
