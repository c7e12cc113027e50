"""A study is run by the command that trains: same config, folder, table."""

import json
import logging

import numpy as np
import pytest

from jaxssl.cli import main
from jaxssl.config import base, load_config
from jaxssl.studies.coreset import k_center, unit_rows

CONFIG = """
from jaxssl.config import base

def get_config(arg=None):
    config = base()
    config.data.limit = 200
    config.study = dict(name="studies.coreset", embeddings="", budget=20)
    return config
"""


@pytest.fixture(autouse=True)
def quiet_log():
    yield
    log = logging.getLogger("jaxssl")
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    log.propagate = True


@pytest.fixture
def files(tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    features = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    np.savez(tmp_path / "embed.npz", features=features, index=np.arange(200)[::-1])
    return tmp_path, features


def command(folder, *more):
    argv = ["train", str(folder / "config.py"), "--workdir", str(folder / "run")]
    return main([*argv, f"--config.study.embeddings={folder / 'embed.npz'}", *more])


def test_a_study_fills_a_run_folder_and_prints_a_table(files, capsys):
    folder, features = files
    assert command(folder) == 0
    shown = capsys.readouterr().out
    assert "coreset" in shown and "covering radius" in shown and "random, same size" in shown
    ids = np.load(folder / "run" / "ids.npy")
    np.testing.assert_array_equal(ids, np.arange(200)[::-1][k_center(unit_rows(features.astype(np.float64)), 20)])
    results = json.loads((folder / "run" / "summary.json").read_text())["results"]
    assert results["coreset"]["coreset/radius"] < results["random, same size"]["coreset/radius"]
    assert results["coreset"]["coreset/examples"] == 20 and 0 < results["coreset"]["coreset/classes"] <= 1
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["study"]["budget"] == 20 and (folder / "run" / "log.txt").is_file()
    assert load_config(str(folder / "run" / "config.json")).study.name == "studies.coreset"


def test_the_other_choices(files):
    folder, _ = files
    for select in ("facility_location", "random"):
        assert command(folder, f"--config.study.select={select}") == 0
        assert len(set(np.load(folder / "run" / "ids.npy").tolist())) == 20


@pytest.mark.parametrize(
    "change, said",
    [
        ("--config.study.budget=201", "budget=201: must be at least 1 and at most 200"),
        ("--config.study.budget=None", "study.budget=None, study.fraction=None: just one"),
        ("--config.study.fraction=0.1", "study.budget=20, study.fraction=0.1: just one"),
        ("--config.study.select=best", "study.select='best': must be 'k_center' or 'facility_location' or 'random'"),
        ("--config.study.embeddings=nothing.npz", "study.embeddings='nothing.npz': no .npz file"),
        ("--config.study.budgets=1", "no option 'budgets'. Did you mean 'budget'"),
        ("--config.data.limit=100", "ids are none of the data"),
    ],
)
def test_what_is_refused(change, said, files, capsys):
    folder, _ = files
    assert command(folder, change) == 2
    assert said in capsys.readouterr().err


def test_a_config_without_method_and_study_is_still_refused():
    from jaxssl.config import validate

    with pytest.raises(ValueError, match="name=''"):
        validate(base())
