"""Nothing of a run folder is lost: read errors, damage, two runs in one folder, other configs, odd rows, full disks."""

import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from runs import ROOT, environment, metrics

import jaxssl.checkpoint
import jaxssl.lock
from jaxssl.checkpoint import Checkpoints
from jaxssl.cli import main
from jaxssl.config import load_config
from jaxssl.experiment import setup
from jaxssl.lock import Lock, Occupied
from jaxssl.monitor import Collapse
from jaxssl.train import Stopped, train

TOY = str(ROOT / "tests" / "toy.py")
STEPS = 30


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Retries without waiting."""
    monkeypatch.setattr(jaxssl.checkpoint, "WAITS_S", (0.0, 0.0))


def toy(workdir, how=None, **changes):
    """Trains the toy in this process."""
    return train(load_config(TOY, {k: str(v) for k, v in changes.items()}), workdir, **(how or {}))


def command(workdir, *more):
    """`jaxssl train` with the toy: the exit status."""
    return main(["train", TOY, "--workdir", str(workdir), *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("finished") / "run"
    toy(workdir)
    return workdir


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished run, with checkpoints of steps 20 and 30."""
    return shutil.copytree(finished, tmp_path / "run")


def folders(workdir):
    return sorted(p.name for p in (workdir / "checkpoints").iterdir())


def same_run(workdir, finished):
    """Whether it holds, after all, what a run that nothing happened to holds."""
    assert metrics(workdir) == metrics(finished)
    assert folders(workdir) == folders(finished) == ["20", "30"]


# Read errors and damage


def test_one_read_error_costs_nothing(run, finished, monkeypatch):
    """The newest checkpoint was deleted for it, with its rows."""
    whole, errors = jaxssl.checkpoint.ocp.CheckpointManager.restore, [OSError(errno.EIO, "Input/output error")]
    monkeypatch.setattr(
        jaxssl.checkpoint.ocp.CheckpointManager,
        "restore",
        lambda *args, **options: (_ for _ in ()).throw(errors.pop()) if errors else whole(*args, **options),
    )
    assert int(toy(run).step) == STEPS and not errors
    same_run(run, finished)


def test_a_read_error_of_a_digest_is_tried_again_too(run, finished, monkeypatch):
    whole, errors = jaxssl.checkpoint._sha256, [OSError(errno.EIO, "Input/output error")]

    def read(file):
        if errors:
            raise errors.pop()
        return whole(file)

    monkeypatch.setattr(jaxssl.checkpoint, "_sha256", read)
    assert int(toy(run).step) == STEPS
    same_run(run, finished)


def test_what_cannot_be_read_is_kept_until_its_step_is_saved_again(run, finished, monkeypatch, caplog):
    whole = jaxssl.checkpoint.ocp.CheckpointManager.restore

    def restore(self, step, **options):
        if step == STEPS:
            raise OSError(errno.EIO, "Input/output error")
        return whole(self, step, **options)

    monkeypatch.setattr(jaxssl.checkpoint.ocp.CheckpointManager, "restore", restore)
    checkpoints = Checkpoints(run / "checkpoints")
    state = checkpoints.restore(setup(load_config(TOY)).like())
    checkpoints.close()
    assert int(state.step) == 20 and folders(run) == ["20", "30.unreadable"]
    assert "checkpoint of step 30" in caplog.text and "Input/output error" in caplog.text
    monkeypatch.undo()
    toy(run)
    same_run(run, finished)


def test_every_flipped_bit_is_noticed(run, finished, caplog):
    """Flipped bits of an array became other weights, without a word."""
    random_bits, newest = random.Random(0), run / "checkpoints" / "30"
    files = [f for f in sorted((newest / "default").rglob("*")) if f.is_file()]
    assert len(files) > 8
    for file in files:
        good = file.read_bytes()
        for _ in range(5):
            bit = random_bits.randrange(8 * len(good))
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            file.write_bytes(bad)
            kind, reason = jaxssl.checkpoint._trouble(newest)
            assert kind == "damaged" and str(file) in reason
        file.write_bytes(good)
    assert jaxssl.checkpoint._trouble(newest) == ("", "")
    files[-1].write_bytes(bad)
    toy(run)
    assert (
        f"checkpoint of step 30 in {run / 'checkpoints'} is damaged: {files[-1]} is not what was written" in caplog.text
    )
    assert "set aside as 30.damaged" in caplog.text and "resumed from step 20" in (run / "log.txt").read_text()
    same_run(run, finished)


def damage(kind, newest):
    if kind == "made by hand":
        (newest.parent / "40").mkdir()
    elif kind == "emptied":
        shutil.rmtree(newest)
        newest.mkdir()
    elif kind == "half copied":
        shutil.rmtree(newest / "default" / "ocdbt.process_0")
    elif kind == "without metadata":
        (newest / "_CHECKPOINT_METADATA").unlink()
    elif kind == "digests damaged":
        (newest / "digests.json").write_text("{")


@pytest.mark.parametrize("kind", ["made by hand", "emptied", "half copied", "without metadata", "digests damaged"])
def test_an_incomplete_checkpoint_hides_no_good_one(kind, run, finished):
    damage(kind, run / "checkpoints" / "30")
    assert main(["evaluate", str(run), "--trust", "--evaluators", "knn", "--no-baselines"]) == 0, (
        "a reader passes over it too"
    )
    assert not any("." in name for name in folders(run)), "and moves nothing"
    toy(run)
    assert "set aside as" in (run / "log.txt").read_text()
    (folder,) = [n for n in folders(run) if not n.isdigit()] or [None]
    assert folder == ("40.incomplete" if kind == "made by hand" else None), "30 has been saved again"
    assert metrics(run) == metrics(finished)


def test_a_checkpoint_that_is_asked_for_is_not_replaced_by_another(run, capsys):
    (run / "checkpoints" / "30" / "digests.json").write_text("{")
    assert main(["evaluate", str(run), "--trust", "--step", "30"]) == 2
    said = capsys.readouterr().err
    assert str(run / "checkpoints" / "30" / "digests.json") in said and "Traceback" not in said


def test_checkpoints_without_digests_are_of_an_earlier_version(run, finished):
    for step in ("20", "30"):
        (run / "checkpoints" / step / "digests.json").unlink()
    assert int(toy(run).step) == STEPS
    assert metrics(run) == metrics(finished)


# One training at a time


def test_the_second_training_in_a_folder_is_refused_by_name(run, capsys):
    before = metrics(run), folders(run)
    lock = Lock(run)
    lock.acquire()
    try:
        assert command(run) == 75
        said = capsys.readouterr().err
        assert f"process {os.getpid()} on" in said and str(run) in said and "Traceback" not in said
        with pytest.raises(Occupied):
            toy(run)
    finally:
        lock.release()
    assert (metrics(run), folders(run)) == before and not (run / "lock").exists()
    assert command(run) == 0


def stale(run, **changes):
    found = {**jaxssl.lock._myself(), "token": "other", **changes}
    (run / "lock").write_text(json.dumps(found))


def test_the_lock_of_a_process_that_is_gone_is_taken_over(run, caplog):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale(run, pid=gone.pid, born="12345")
    toy(run)
    assert f"the lock of process {gone.pid}" in caplog.text and "is gone" in caplog.text
    assert not (run / "lock").exists()


def test_a_number_that_another_process_got_is_no_holder(run, caplog):
    stale(run, born="1")
    toy(run)
    assert "is gone" in caplog.text


def test_a_lock_of_another_host_lapses_without_heartbeat(run, caplog):
    stale(run, host="far", machine="other boot", pid=7)
    with pytest.raises(Occupied, match="process 7 on far"):
        toy(run)
    long_ago = time.time() - 2 * jaxssl.lock.STALE_S
    os.utime(run / "lock", (long_ago, long_ago))
    toy(run)
    assert "process 7 on far" in caplog.text and "has been silent for 1" in caplog.text


@pytest.mark.parametrize("content", ["", "{", "[1]", "null"])
def test_a_lock_that_says_nothing_lapses_too(content, tmp_path):
    (tmp_path / "lock").write_text(content)
    with pytest.raises(Occupied):
        Lock(tmp_path).acquire()
    os.utime(tmp_path / "lock", (0, 0))
    lock = Lock(tmp_path)
    lock.acquire()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_the_heart_beats_and_a_lock_that_was_taken_over_stops_the_first(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxssl.lock, "BEAT_S", 0.01)
    first = Lock(tmp_path)
    first.acquire()
    os.utime(tmp_path / "lock", (0, 0))
    deadline = time.monotonic() + 10
    while (tmp_path / "lock").stat().st_mtime < 1e9 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "lock").stat().st_mtime > 1e9
    first.check()
    stale(tmp_path, pid=8, host="other")
    while not first.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(Occupied, match="taken over by process 8 on other"):
        first.check()
    first.release()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == 8, "it is the other one's"


def test_a_run_that_ends_in_an_error_gives_its_folder_free(tmp_path):
    with pytest.raises(ValueError):
        toy(tmp_path, **{"mesh.rules": "(('.*', 'nowhere'),)"})
    assert not (tmp_path / "lock").exists()


# Resuming with another config


def test_what_differs_is_said_and_the_earlier_config_kept(run, caplog):
    earlier = json.loads((run / "config.json").read_text())
    toy(run, **{"total_steps": 32, "optim.learning_rate": 0.5, "method.at": 3})
    assert json.loads((run / "config.step_30.json").read_text()) == earlier
    for sentence in (
        "optim.learning_rate is now 0.5, was 0.002",
        "total_steps is now 32, was 30",
        "method.at is now 3",
    ):
        assert sentence in caplog.text
    assert "config.step_30.json" in caplog.text
    caplog.clear()
    toy(run, **{"total_steps": 32, "optim.learning_rate": 0.5, "method.at": 3})
    assert "is now" not in caplog.text and sorted(p.name for p in run.glob("config*")) == [
        "config.json",
        "config.step_30.json",
    ]


@pytest.mark.parametrize("option, value", [("seed", 1), ("batch_size", 16), ("data.limit", 150)])
def test_what_changes_the_meaning_of_what_is_stored_is_refused(option, value, run, capsys):
    before = (run / "config.json").read_text(), metrics(run), folders(run)
    changes = [f"--config.{option}={value}", "--config.total_steps=32"]
    assert command(run, *changes) == 2
    said = capsys.readouterr().err
    assert f"{option}={value}" in said and "(was " in said and "--allow-changes" in said
    assert before == ((run / "config.json").read_text(), metrics(run), folders(run))
    assert command(run, *changes, "--allow-changes") == 0
    assert metrics(run)[-1]["step"] == 32


def test_a_damaged_config_of_the_folder_is_set_aside(run, caplog):
    (run / "config.json").write_text("{")
    toy(run)
    assert f"{run / 'config.json'} cannot be read" in caplog.text and (run / "config.damaged.json").is_file()
    assert json.loads((run / "config.json").read_text())["total_steps"] == STEPS


# NaN beside the loss


def test_a_figure_of_the_monitor_that_is_nan_is_an_alarm_and_null(tmp_path, caplog):
    toy(tmp_path, **{"method.trouble": "odd features", "method.at": 12})
    assert caplog.text.count("feature_rank is nan") == 1
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in text and '"train/feature_rank": null' in text
    rows = {row["step"]: row for row in metrics(tmp_path)}
    assert rows[10]["train/feature_rank"] > 1 and rows[15]["train/feature_rank"] is None


def test_stop_on_collapse_stops_at_nan(tmp_path):
    changes = {"method.trouble": "odd features", "method.at": 12, "log.stop_on_collapse": True}
    with pytest.raises(Collapse, match="step 15: feature_.* is nan"):
        toy(tmp_path, **changes)


# Rows of metrics


def test_rows_after_a_broken_line_are_kept(run, finished, caplog):
    file = run / "metrics.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    odd = [b"\n", b"{broken\n", b'{"a": 1}\n', b"\xff\xfe\n", b"[1]\n", b'{"step": "5"}\n', b'{"step": true}\n']
    file.write_bytes(b"".join([*lines[:2], *odd, *lines[2:]]))
    toy(run)
    same_run(run, finished)
    assert (run / "metrics.unreadable.jsonl").read_bytes() == b"".join(odd[1:])
    assert f"{file}: 6 lines that cannot be read" in caplog.text


def test_rows_of_lost_steps_are_moved_not_dropped(run, finished):
    shutil.rmtree(run / "checkpoints" / "30")
    rows = metrics(run)
    toy(run)
    same_run(run, finished)
    lost = [json.loads(line) for line in (run / "metrics.lost.jsonl").read_text().splitlines()]
    assert [row["step"] for row in lost] == [row["step"] for row in rows if row["step"] > 20]


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_a_start_at_0_over_rows_is_refused(how, run, finished, capsys):
    for folder in (run / "checkpoints").iterdir():
        shutil.rmtree(folder)
    if how == "missing":
        (run / "checkpoints").rmdir()
    content = (run / "metrics.jsonl").read_text()
    assert command(run) == 2
    said = capsys.readouterr().err
    assert f"{run} has metrics up to step 30 and no checkpoint" in said and "--restart" in said
    assert (run / "metrics.jsonl").read_text() == content
    assert command(run, "--restart") == 0
    same_run(run, finished)
    assert (run / "earlier" / "metrics.jsonl").read_text() == content
    assert (run / "earlier" / "config.json").is_file()
    assert command(run, "--restart") == 0 and (run / "earlier.1" / "checkpoints" / "30").is_dir()


def test_a_run_killed_before_its_first_checkpoint_begins_again(run, finished):
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    file = run / "metrics.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:3]))
    toy(run)
    same_run(run, finished)
    assert len((run / "metrics.lost.jsonl").read_text().splitlines()) == 3


# Folders that cannot be written, damaged results


def limited(size, *args):
    """A command that can write no file larger than `size` bytes, as on a disk that is full."""
    code = f"import resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, ({size}, {size})); from jaxssl.cli import main; sys.exit(main())"
    environ = {**environment(), "JAX_COMPILATION_CACHE_DIR": "", "PYTHONPATH": str(ROOT / "tests")}
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=environ, cwd=ROOT)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path):
    tmp_path = tmp_path / ("a-long-name" * 20)  # the cause stands behind the path, and must not be cut off
    done = limited(4800, "train", TOY, "--workdir", str(tmp_path), "--config.total_steps=400", "--config.log.every=400")
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("step ")]
    assert len(said) == 1 and said[0].startswith("jaxssl: the checkpoint of step"), done.stderr
    assert "File too large" in said[0] and str(tmp_path) in said[0]


def test_metrics_that_cannot_be_written_are_one_line_and_end_the_run(tmp_path):
    """TensorBoard's writer waited for ever for its thread, which had ended at the full disk."""
    more = ("--config.total_steps=100000", "--config.checkpoint.every=100000", "--config.log.tensorboard=True")
    done = limited(4800, "train", TOY, "--workdir", str(tmp_path), *more)
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("step ")]
    assert said[-1].startswith("jaxssl: ") and "File too large" in said[-1], done.stderr
    assert str(tmp_path / "metrics.jsonl") in said[-1] and "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    done = limited(100, "train", TOY, "--workdir", str(tmp_path / "run"))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"--workdir {tmp_path / 'run'}: nothing can be written there (File too large)" in done.stderr


def test_results_are_printed_where_they_cannot_be_written(run, capsys, monkeypatch):
    def refuse(folder):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("jaxssl.evaluate.check_writable", refuse)
    assert main(["evaluate", str(run), "--trust", "--evaluators", "knn", "--no-baselines"]) == 0
    said = capsys.readouterr()
    assert "k-NN" in said.out and f"{run / 'summary.json'} cannot be written (Read-only file system)" in said.err
    assert not (run / "summary.json").exists()
    monkeypatch.undo()

    def full(file, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("jaxssl.evaluate.write_whole", full)
    assert main(["evaluate", str(run), "--trust", "--evaluators", "knn", "--no-baselines"]) == 1
    said = capsys.readouterr()
    assert "k-NN" in said.out and "summary.json" in said.err and "No space left" in said.err


@pytest.mark.parametrize("content", ["{", "[]", '{"step": 30, "data": "data.sets.fashion_mnist_12k"}', "\x00"])
def test_a_damaged_summary_is_set_aside(content, run, caplog):
    (run / "summary.json").write_text(content)
    assert main(["evaluate", str(run), "--trust", "--evaluators", "rankme", "--no-baselines"]) == 0
    assert set(json.loads((run / "summary.json").read_text())["results"]) == {"trained encoder"}
    assert (run / "summary.damaged.json").read_text() == content


# How a run ends


def test_training_from_python_writes_its_log_too(finished):
    log = logging.getLogger("jaxssl")
    assert "config" not in (finished / "log.txt").read_text()
    toy(finished)
    assert "resumed from step 30" in (finished / "log.txt").read_text()
    assert not [h for h in log.handlers if isinstance(h, logging.FileHandler)]


def test_the_sentence_that_ends_a_run_is_in_its_log(tmp_path):
    with pytest.raises(Collapse):
        toy(tmp_path, **{"method.trouble": "odd features", "log.stop_on_collapse": True})
    assert "ERROR step 5: feature_" in (tmp_path / "log.txt").read_text()


def stop_at(step, number, monkeypatch, where="update"):
    """A signal to this process while that step is computed, or in an evaluation."""
    import jaxssl.train as loop

    original = getattr(loop.RunLog, "write") if where == "update" else loop.Evaluation.run
    calls = []

    def hooked(self, *args, **options):
        calls.append(1)
        if where == "evaluation" or args[0] == step:
            os.kill(os.getpid(), number)
            time.sleep(0.01)
        return original(self, *args, **options)

    monkeypatch.setattr(*((loop.RunLog, "write") if where == "update" else (loop.Evaluation, "run")), hooked)
    return calls


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_with_75(number, tmp_path, finished, monkeypatch, capsys):
    stop_at(15, number, monkeypatch)
    assert command(tmp_path) == 75
    said = capsys.readouterr().err
    assert f"{signal.Signals(number).name}: stopping after this step" in said
    assert "stopped at step 15 of 30; the same command resumes" in said
    assert folders(tmp_path)[-1] == "15"
    monkeypatch.undo()
    assert command(tmp_path) == 0
    same_run(tmp_path, finished)


def test_a_signal_from_python_is_no_silent_end(tmp_path, monkeypatch):
    stop_at(15, signal.SIGTERM, monkeypatch)
    with pytest.raises(Stopped) as caught:
        toy(tmp_path)
    assert int(caught.value.state.step) == 15


@pytest.mark.parametrize("changes", [["--config.evaluate.final=True"], ["--config.evaluate.every=20"]])
def test_a_signal_ends_an_evaluation_at_once(changes, tmp_path, finished, monkeypatch, capsys):
    calls = stop_at(0, signal.SIGTERM, monkeypatch, "evaluation")
    assert command(tmp_path, *changes) == 75
    assert len(calls) == 1 and "SIGTERM: the evaluation is left to the resumed run" in capsys.readouterr().err
    assert not (tmp_path / "summary.json").exists()
    monkeypatch.undo()
    assert command(tmp_path, *changes) == 0
    assert [row for row in metrics(tmp_path) if "train/loss" in row] == metrics(finished)


def test_ctrl_c_before_the_loop_is_no_traceback(tmp_path, monkeypatch, capsys):
    def interrupted(*args, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    monkeypatch.setattr("jaxssl.train.setup", interrupted)
    assert command(tmp_path) == 75
    assert capsys.readouterr().err.startswith("jaxssl: stopped")


def test_names_cannot_write_on_the_terminal(tmp_path, capsys):
    odd = "a\x1b[31mred\nline"
    assert main(["evaluate", str(tmp_path / odd)]) == 2
    said = capsys.readouterr().err
    assert "\x1b" not in said and len(said.splitlines()) == 1 and "a\\x1b[31mred\\x0aline" in said
