"""The command line with clouds of one's own: folders and .npz files, train, embed, and what is said about bad files."""

import json

import numpy as np
import pytest

from jaxssl.cli import main
from jaxssl.data.sets.shapes import box, ellipsoid, sample_surface

CONFIG = "configs/points/point_cmae_folder.py:quick"
CHANGES = ["--config.total_steps=6", "--config.log.every=2", "--config.log.tensorboard=false", "--mesh", "1"]


def clouds(count, seed):
    """Long boxes and balls of unequal numbers of points, far from the origin: a list of [P, 3], label [N]."""
    random, label = np.random.default_rng(seed), np.arange(count) % 2
    shapes = [box(3, 0.5, 0.5), ellipsoid(1, 1, 1)]
    return [50 + sample_surface(random, shapes[y], int(random.integers(40, 120)))[0] for y in label], label


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clouds")
    for i, (x, y) in enumerate(zip(*clouds(60, 0))):
        file = folder / "own" / ("ball" if y else "box") / f"{i}.{'xyz' if i % 3 else 'csv'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(file, x, fmt="%.5f", delimiter=" " if i % 3 else ",")
    argv = ["train", CONFIG, "--data", str(folder / "own"), "--workdir", str(folder / "run"), *CHANGES]
    assert main(argv) == 0
    return folder / "run"


def test_training_on_a_folder_runs_every_probe_and_floor(trained):
    results = json.loads((trained / "summary.json").read_text())["results"]
    assert set(results) == {"sorted coordinates", "distances and moments", "untrained encoder", "trained encoder"}
    for row in results.values():
        assert {"knn/top1", "linear/top1", "few_labels/1_mean", "rankme/rank"} <= set(row)
    # A ball against a long box is easy for anyone who read points and labels rightly.
    assert results["distances and moments"]["linear/top1"] == 1.0


def test_embed_takes_a_file_of_another_kind(trained, tmp_path, capsys):
    x, _ = clouds(5, 2)
    file = tmp_path / "new.npz"
    np.savez(file, x=np.stack([c[:40] for c in x]))
    assert main(["embed", str(trained), "--data", str(file), "--out", str(tmp_path / "out.npz")]) == 0
    assert "5 rows of 32 features" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as found:
        assert found["features"].shape == (5, 32) and np.isfinite(found["features"]).all()
        assert list(found["name"]) == [f"{file}, x row {i}" for i in range(5)]


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "does not exist; option `path` must name a .npz file or a folder of clouds"),
        ("", "it holds no points"),
        ("1 2 3\n4 five 6\n", "line 2 is '4 five 6'; x y z would be right"),
        ("1 2 3\n4 inf 6\n", "point 1 is [4.0, inf, 6.0]; finite numbers would be right"),
    ],
)
def test_bad_files_are_refused_in_one_line(content, said, tmp_path, capsys):
    folder = tmp_path / "bad"
    if content is not None:
        folder.mkdir()
        (folder / "one.xyz").write_text(content)
    assert main(["train", CONFIG, "--data", str(folder), "--workdir", str(tmp_path / "run"), *CHANGES]) == 2
    found = capsys.readouterr().err.strip()
    assert "bad" in found and said in found and "\n" not in found


def test_more_patches_than_points_are_named(tmp_path, capsys):
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).normal(size=(20, 30, 3)))
    change = ["--config.data.num_points=7", *CHANGES]
    argv = ["train", CONFIG, "--data", str(tmp_path / "own.npz"), "--workdir", str(tmp_path / "run"), *change]
    assert main(argv) == 2
    assert "num=8: must be at most 7, the number of points" in capsys.readouterr().err
