"""A pipeline that is killed anywhere resumes exactly; what does not fit is refused before anything runs."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import stage_parts
from runs import ROOT, environment, metrics

import jaxssl.after
import jaxssl.stages
import jaxssl.train
from jaxssl.cli import main
from jaxssl.stages import Stage, load_stages, run_stages

FILE = str(ROOT / "tests" / "stage_parts.py")


class Killed(BaseException):
    """As good as SIGKILL: nothing after it runs."""


def content(workdir):
    """All that a pipeline leaves, without what a clock says."""
    found = {}
    for folder in sorted(p for p in Path(workdir).iterdir() if p.is_dir()):
        if (folder / "metrics.jsonl").exists():
            found[f"{folder.name}/metrics"] = metrics(folder)
        for file in sorted(folder.glob("*.np[yz]")):
            loaded = np.load(file)
            arrays = {name: loaded[name] for name in loaded.files} if file.suffix == ".npz" else {"": loaded}
            found |= {f"{folder.name}/{file.name}/{name}": array.tobytes() for name, array in arrays.items()}
        found[f"{folder.name}/summary"] = json.loads((folder / "summary.json").read_text())["results"]
    found["summary"] = json.loads((Path(workdir) / "summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("pipeline") / "whole"
    rows = run_stages(stage_parts.get_stages(), workdir)
    assert {"all", "chosen"} <= set(rows) and "knn/top1_std" in rows["chosen"] and "knn/top1_std" not in rows["all"]
    return workdir


def test_stages_are_ordinary_runs_joined_by_files(uninterrupted):
    folders = sorted(p.name for p in uninterrupted.iterdir() if p.is_dir())
    assert folders == ["00_pretrain", "01_select", "02_again", "03_other"]
    with np.load(uninterrupted / "00_pretrain" / "embed.npz") as found:
        assert found["features"].shape == (200, 8) and sorted(found["index"]) == list(range(200))
    ids = np.load(uninterrupted / "01_select" / "doubled.npy")
    config = json.loads((uninterrupted / "02_again" / "config.json").read_text())
    assert config["data"]["ids"] == str(uninterrupted / "01_select" / "doubled.npy")
    assert config["start"]["run"] == str(uninterrupted / "00_pretrain")
    assert json.loads((uninterrupted / "02_again" / "summary.json").read_text())["train_examples"] == len(ids)
    assert "kernel: loaded" in (uninterrupted / "02_again" / "log.txt").read_text()


def killed_at(place, monkeypatch):
    """Makes the next pass through that place end the process."""
    stage, what = place
    if what.isdigit():
        write = jaxssl.train.RunLog.write

        def hooked(self, step, values):
            if stage in str(self.path) and step >= int(what):
                raise Killed
            return write(self, step, values)

        monkeypatch.setattr(jaxssl.train.RunLog, "write", hooked)
    elif what == "evaluation":
        monkeypatch.setattr(jaxssl.train.Evaluation, "final", _raise_in(stage, jaxssl.train.Evaluation.final, 2))
    elif what == "study":
        monkeypatch.setattr("jaxssl.study.write_summary", lambda *args: (_ for _ in ()).throw(Killed()))
    elif what in ("file", "record"):
        name = jaxssl.after if what == "file" else jaxssl.stages
        attribute = "whole_file" if what == "file" else "_write"
        whole = getattr(name, attribute)

        def hooked(path, *args):
            if stage in str(path) and (what == "file" or args[0]["state"] == "finished"):
                raise Killed
            return whole(path, *args)

        monkeypatch.setattr(name, attribute, hooked)


def _raise_in(stage, function, position):
    def hooked(*args, **options):
        if stage in str(args[position]):
            raise Killed
        return function(*args, **options)

    return hooked


PLACES = [
    ("00_pretrain", "5"),
    ("00_pretrain", "15"),
    ("00_pretrain", "evaluation"),
    ("00_pretrain", "file"),
    ("00_pretrain", "record"),
    ("01_select", "study"),
    ("01_select", "record"),
    ("02_again", "10"),
    ("02_again", "evaluation"),
    ("03_other", "20"),
    ("03_other", "record"),
]


def test_killed_in_every_stage_and_in_after_the_pipeline_resumes_exactly(uninterrupted, tmp_path, monkeypatch):
    for place in PLACES:
        with monkeypatch.context() as patch:
            killed_at(place, patch)
            with pytest.raises(Killed):
                run_stages(stage_parts.get_stages(), tmp_path / "p")
    run_stages(stage_parts.get_stages(), tmp_path / "p")
    wanted = json.dumps(content(uninterrupted), default=repr)
    assert json.dumps(content(tmp_path / "p"), default=repr) == wanted


def test_what_is_finished_is_not_done_again(uninterrupted, monkeypatch):
    def never(*args, **options):
        raise AssertionError("a finished stage ran")

    monkeypatch.setattr(jaxssl.stages, "_train", never)
    before = content(uninterrupted)
    assert run_stages(stage_parts.get_stages(), uninterrupted)["all"] == before["summary"]["results"]["all"]


def test_the_command_line_runs_it_and_shows_a_table(uninterrupted, capsys):
    assert main(["stages", FILE, "--workdir", str(uninterrupted)]) == 0
    said = capsys.readouterr().out
    assert "chosen (2 runs)" in said and "k-NN" in said and "±" in said
    assert main(["stages", "no_such_pipeline", "--workdir", "x"]) == 2
    assert "pipeline 'no_such_pipeline' does not exist" in capsys.readouterr().err


def test_other_options_on_an_old_folder_are_refused(uninterrupted, capsys):
    stages = stage_parts.get_stages()
    stages[1].config.study.budget = 30
    with pytest.raises(ValueError, match=r"01_select was made with other options \(study.budget 40 -> 30\)"):
        run_stages(stages, uninterrupted)
    stages = stage_parts.get_stages()
    stages[1] = stages[1]._replace(after=(functools.partial(stage_parts.double, factor=3),))
    with pytest.raises(ValueError, match="01_select was made with other options .after"):
        run_stages(stages, uninterrupted)


TOY = stage_parts.toy_config
WRONG = {
    "starts from 'teacher', which comes after it": lambda: [
        Stage("distill", TOY(), start="teacher"),
        Stage("teacher", TOY()),
    ],
    "starts from 'nothing', which does not exist": lambda: [Stage("distill", TOY(), start="nothing")],
    "two stages are called 'train'": lambda: [Stage("train", TOY()), Stage("train", TOY())],
    "stage 'a b': a name is": lambda: [Stage("a b", TOY())],
    "the pipeline has no stage": lambda: [],
    "needs the stage 'later', which comes after it": lambda: [
        Stage("a", TOY(), {"start.run": "{later}"}),
        Stage("later", TOY()),
    ],
    "needs the stage 'lte', which does not exist": lambda: [Stage("a", TOY(), {"start.run": "{lte}/x"})],
    "stage 'a': --config.seeed": lambda: [Stage("a", TOY(), {"seeed": 1})],
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_refused_before_anything_runs(said, tmp_path):
    with pytest.raises(ValueError, match=said):
        run_stages(WRONG[said](), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_a_file_that_no_stage_writes_is_named(tmp_path):
    stages = [Stage("teacher", TOY(), {"total_steps": 5}), Stage("b", TOY(), {"start.run": "{teacher}/embed.npz"})]
    said = (
        r"start.run='\{teacher\}/embed.npz' does not exist: stage 'teacher' has no `after` that writes it; it writes no"
    )
    with pytest.raises(ValueError, match=said):
        run_stages(stages, tmp_path / "p")


def test_the_pipelines_of_the_project_load():
    for file in sorted((ROOT / "configs" / "stages").glob("*.py")):
        for arg in ("", ":quick"):
            stages = load_stages(f"{file}{arg}")
            folders = jaxssl.stages.check_stages(stages, Path("p"))
            assert all(jaxssl.stages.resolved(stage, folders) for stage in stages), file


@pytest.mark.slow
def test_sigkill_at_random_moments_changes_nothing(uninterrupted, tmp_path):
    moments = random.Random(0)
    environ = {**environment(1), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "jaxssl", "stages", FILE, "--workdir", str(tmp_path / "p")]
    for _ in range(20):
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(4, 14))
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.dumps(content(tmp_path / "p"), default=repr) == json.dumps(content(uninterrupted), default=repr)
