"""From the command line: a folder of videos of one's own, from training to features."""

import json

import numpy as np
import pytest

from jaxssl.cli import main

av = pytest.importorskip("av", reason="PyAV reads the videos")

CONFIG = "configs/video/cvrl_video_folder.py:quick"
CHANGES = ["--config.total_steps=6", "--config.log.every=3", "--config.checkpoint.every=6"]
CHANGES += [
    "--mesh",
    "1",
    "--config.log.tensorboard=false",
    "--config.data.frame_step=1",
    "--config.encoder.widths=(4, 8)",
]


def write(file, seed, step):
    """A bright square that moves over noise by `step` pixels a frame."""
    random = np.random.default_rng(seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    ground, place = random.integers(0, 80, (48, 48, 3), np.uint8), random.integers(48)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 48, 48, "yuv420p", 2_000_000
        for t in range(24):
            frame = ground.copy()
            columns = (place + step * t + np.arange(14)) % 48
            frame[16:32, columns] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for i in range(8):
        write(root / "right" / f"{i}.mp4", i, 2)
        write(root / "left" / f"{i}.avi", 10 + i, -2)
    (root / "left" / "broken.mov").write_bytes(b"not a film")
    return root


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    run = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", CONFIG, "--data", str(folder), "--workdir", str(run), *CHANGES]) == 0
    return run


def test_training_on_a_folder_runs_every_probe_and_floor(trained):
    results = json.loads((trained / "summary.json").read_text())["results"]
    assert set(results) == {"raw pixels", "gradients and flow (HOG, HOF)", "untrained encoder", "trained encoder"}
    for row in results.values():
        assert {"knn/top1", "linear/top1", "few_labels/1_mean", "retrieval/recall_at_1", "rankme/rank"} <= set(row)
    # Left against right is easy for anyone who read frames and labels rightly.
    assert results["gradients and flow (HOG, HOF)"]["linear/top1"] == 1.0
    # The ground of a video is its own.
    assert results["raw pixels"]["retrieval/recall_at_1"] == 1.0


def test_the_unreadable_file_is_in_the_log(trained):
    assert "broken.mov" in (trained / "log.txt").read_text()


def test_embed_takes_another_folder_without_labels(trained, folder, tmp_path, capsys):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.mp4").write_bytes((folder / "right" / "0.mp4").read_bytes())
    assert main(["embed", str(trained), "--data", str(tmp_path / "new"), "--out", str(tmp_path / "out.npz")]) == 0
    assert "2 rows of 8 features" in capsys.readouterr().out
    with np.load(tmp_path / "out.npz") as found:
        assert found["features"].shape == (2, 8) and np.isfinite(found["features"]).all()
        assert list(found["name"]) == ["a.mp4, frame 0", "a.mp4, frame 12"]


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "has no videos: it is empty"),
        ({"notes.txt": b"x"}, "has no videos: it holds only .txt"),
        ({"a.mp4": b"x", "b.mkv": b""}, "2 of the 2 videos"),
    ],
)
def test_bad_folders_are_refused_in_one_line(files, said, tmp_path, capsys):
    root = tmp_path / "data"
    root.mkdir()
    for name, data in files.items():
        (root / name).write_bytes(data)
    assert main(["train", CONFIG, "--data", str(root), "--workdir", str(tmp_path / "run"), *CHANGES]) == 2
    found = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(root) in found and said in found


def test_a_clip_longer_than_a_piece_is_refused(folder, tmp_path, capsys):
    change = ["--config.augment.frames=7", *CHANGES]
    argv = ["train", CONFIG, "--data", str(folder), "--workdir", str(tmp_path / "run"), *change]
    assert main(argv) == 2
    assert "a clip (frames, stride) reaches over 13 frames but the videos have only 12" in capsys.readouterr().err
