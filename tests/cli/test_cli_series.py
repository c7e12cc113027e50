"""The command line with series of one's own: .npz and .ts, train, embed, and what is said about bad files."""

import json

import numpy as np
import pytest

from jaxssl.cli import main

CONFIG = "configs/series/ecg_jepa_series.py:quick"
CHANGES = ["--config.total_steps=6", "--config.log.every=2", "--config.log.tensorboard=false", "--mesh", "1"]
TIME = 60


def waves(count, seed):
    """Slow and fast sines in two channels, with noise: x [N, T, 2], label [N]."""
    random, label = np.random.default_rng(seed), np.arange(count) % 2
    clock = np.arange(TIME)[None, :, None] * np.where(label, 0.6, 0.15)[:, None, None]
    x = np.sin(clock + random.uniform(0, 6.28, (count, 1, 2))) + 0.1 * random.normal(size=(count, TIME, 2))
    return x, label


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    x, label = waves(60, 0)
    length = np.random.default_rng(1).integers(40, TIME + 1, 60)
    x[3, 5, 1] = np.nan
    np.savez(folder / "own.npz", x=x, label=label, length=length)
    argv = ["train", CONFIG, "--data", str(folder / "own.npz"), "--workdir", str(folder / "run"), *CHANGES]
    assert main(argv) == 0
    return folder / "run"


def test_training_on_a_file_runs_every_probe_and_floor(trained):
    results = json.loads((trained / "summary.json").read_text())["results"]
    assert set(results) == {"raw samples", "random kernels (ROCKET)", "untrained encoder", "trained encoder"}
    for row in results.values():
        assert {"knn/top1", "linear/top1", "few_labels/1_mean", "rankme/rank"} <= set(row)
    # Slow against fast is easy for anyone who read series and labels rightly.
    assert results["random kernels (ROCKET)"]["linear/top1"] == 1.0


def test_embed_takes_another_file_of_another_kind_and_length(trained, tmp_path, capsys):
    x, label = waves(5, 2)
    rows = [":".join(",".join(f"{v:.5f}" for v in c) for c in row[:50].T) + f":{y}" for row, y in zip(x, label)]
    file = tmp_path / "new.ts"
    file.write_text("\n".join(["@timeStamps false", "@classLabel true 0 1", "@data", *rows]) + "\n")
    assert main(["embed", str(trained), "--data", str(file), "--out", str(tmp_path / "out.npz")]) == 0
    assert "5 rows of 16 features" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as found:
        assert found["features"].shape == (5, 16) and np.isfinite(found["features"]).all()
        assert sorted(found["name"]) == [f"{file}, line {i}" for i in range(4, 9)]


@pytest.mark.parametrize(
    "arrays, said",
    [
        (None, "is no file; option `path` must name a .npz or .ts file"),
        (dict(series=np.ones((4, 9))), "holds unknown arrays ['series']"),
        (dict(x=np.full((20, 9, 2), np.nan)), "x row 0: all values of channel 0 are missing"),
        (dict(x=np.ones((20, 9, 2)), length=np.zeros(20, int)), "row 0: `length` is 0; it must be in 1 ... 9"),
    ],
)
def test_bad_files_are_refused_in_one_line(arrays, said, tmp_path, capsys):
    file = tmp_path / "bad.npz"
    if arrays is not None:
        np.savez(file, **arrays)
    assert main(["train", CONFIG, "--data", str(file), "--workdir", str(tmp_path / "run"), *CHANGES]) == 2
    found = capsys.readouterr().err.strip()
    assert "bad.npz" in found and said in found and "\n" not in found


def test_a_size_that_patches_do_not_divide_is_named(tmp_path, capsys):
    np.savez(tmp_path / "own.npz", x=waves(20, 0)[0])
    change = ["--config.augment.size=81", *CHANGES]
    argv = ["train", CONFIG, "--data", str(tmp_path / "own.npz"), "--workdir", str(tmp_path / "run"), *change]
    assert main(argv) == 2
    assert "patch_size=8: must divide the T = 81" in capsys.readouterr().err
