"""The command line with sound files of one's own: train, embed, and what is said about bad ones."""

import json

import numpy as np
import pytest
from scipy.io import wavfile

from jaxssl.cli import main

CONFIG = "configs/audio/clmr_audio_folder.py:quick"
CHANGES = ["--config.total_steps=4", "--config.log.every=2", "--config.log.tensorboard=false", "--mesh", "1"]


def fill(folder, count, rate=8000):
    """Low hums and high whistles of unequal lengths, a sub-folder each."""
    random = np.random.default_rng(0)
    for name, hertz in (("hum", 150), ("whistle", 1800)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            time = np.arange(int(rate * random.uniform(0.2, 0.8))) / rate
            x = 0.3 * np.sin(2 * np.pi * hertz * random.uniform(0.9, 1.1) * time) + 0.01 * random.normal(size=time.size)
            wavfile.write(folder / name / f"{i:02}.wav", rate, (32767 * x).astype(np.int16))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    fill(folder / "own", 30)
    (folder / "own" / "hum" / "05.wav").write_bytes(b"RIFF")
    argv = ["train", CONFIG, "--data", str(folder / "own"), "--workdir", str(folder / "run"), *CHANGES]
    assert main(argv) == 0
    return folder / "run"


def test_training_on_a_folder_runs_every_probe_and_floor(trained):
    results = json.loads((trained / "summary.json").read_text())["results"]
    assert set(results) == {"MFCC statistics", "untrained encoder", "trained encoder"}
    for row in results.values():
        assert {"knn/top1", "linear/top1", "few_labels/1_mean", "rankme/rank"} <= set(row)
    # Hums against whistles are easy for anyone who read sounds and labels rightly.
    assert results["MFCC statistics"]["linear/top1"] == 1.0
    assert "hum/05.wav" in (trained / "log.txt").read_text()


def test_embed_takes_another_folder_of_another_rate(trained, tmp_path, capsys):
    fill(tmp_path / "new", 2, rate=11025)
    assert main(["embed", str(trained), "--data", str(tmp_path / "new"), "--out", str(tmp_path / "out.npz")]) == 0
    assert "4 rows of 16 features" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as found:
        assert sorted(found["name"]) == ["hum/00.wav", "hum/01.wav", "whistle/00.wav", "whistle/01.wav"]
        assert np.isfinite(found["features"]).all()


def refused(data, tmp_path, capsys, *changes):
    assert main(["train", CONFIG, "--data", str(data), "--workdir", str(tmp_path / "run"), *CHANGES, *changes]) == 2
    # Warnings that name unreadable files may come first.
    *warnings, found = capsys.readouterr().err.strip().splitlines()
    assert all("WARNING unreadable" in line for line in warnings)
    return found


def test_bad_folders_are_refused_in_one_line(tmp_path, capsys):
    assert "does not exist" in refused(tmp_path / "absent", tmp_path, capsys)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    assert "has no sound files: it holds only .txt" in refused(tmp_path / "texts", tmp_path, capsys)
    (tmp_path / "bad").mkdir()
    for name in "abc":
        (tmp_path / "bad" / f"{name}.wav").write_bytes(b"RIFF")
    assert "a.wav" in refused(tmp_path / "bad", tmp_path, capsys)


def test_a_size_that_the_network_does_not_divide_is_named(tmp_path, capsys):
    fill(tmp_path / "own", 10)
    said = refused(tmp_path / "own", tmp_path, capsys, "--config.augment.size=1000")
    assert "need a T that 243 divides, got 1000" in said
