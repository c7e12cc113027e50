"""The command line on images and captions of one's own: train, evaluate, embed, and what is wrong with a file."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxssl.cli import main

CONFIG = "configs/image_text/clip_pairs.py:quick"
COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}
PAIRS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of three colours, and a line for each that says the colour."""
    folder, random, lines = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0), []
    for i in range(PAIRS):
        name = list(COLOURS)[i % 3]
        picture = np.clip(random.normal(COLOURS[name], 30, (24, 30, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
        lines.append({"image": f"{i}.png", "caption": f"a {name} picture, number {i}", "label": name})
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def train(folder, file, *more):
    argv = ["train", CONFIG, "--data", str(folder / file), "--workdir", str(folder / "run"), "--mesh", "1"]
    return main(
        [*argv, "--config.log.tensorboard=false", "--config.evaluate.evaluators.linear.penalties=(0.01,)", *more]
    )


@pytest.fixture(scope="module")
def summary(folder):
    assert (
        train(folder, "pairs.jsonl", "--config.encoder.image.widths=(8,)", "--config.encoder.image.strides=(2,)") == 0
    )
    return json.loads((folder / "run" / "summary.json").read_text())


def test_training_finds_the_colours_by_their_names(summary):
    trained, untrained = summary["results"]["trained encoder"], summary["results"]["untrained encoder"]
    assert (summary["train_examples"], summary["test_examples"]) == (45, 15)
    assert {"zero_shot/top1", "retrieval/mrr", "knn/top1"} <= set(trained)
    # Colours are told apart by their captions in thirty steps; by chance a third would be right.
    assert trained["retrieval/mrr"] > untrained["retrieval/mrr"]
    assert "zero_shot/top1" not in summary["results"]["raw pixels"]


def test_embed_names_the_images(summary, folder, tmp_path):
    out = tmp_path / "features.npz"
    assert main(["embed", str(folder / "run"), "--data", str(folder / "pairs.jsonl"), "--out", str(out)]) == 0
    with np.load(out) as found:
        assert found["features"].shape == (PAIRS, 16)
        assert sorted(found["name"], key=lambda n: int(n.split(".")[0])) == [f"{i}.png" for i in range(PAIRS)]
        assert set(found["label"]) == {0, 1, 2}


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"image": "0.png"}', "wrong.jsonl, line 2: no key `caption`"),
        ('{"image": "none.png", "caption": "a"}', "none.png' cannot be read: there is no such file"),
        ("a red picture", "wrong.jsonl, line 2: not JSON"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(folder, line, message, capsys):
    (folder / "wrong.jsonl").write_text('{"image": "0.png", "caption": "a red picture"}\n' + line)
    assert train(folder, "wrong.jsonl") == 2
    assert message in capsys.readouterr().err


def test_a_missing_path_is_said(tmp_path, capsys):
    assert main(["train", CONFIG, "--workdir", str(tmp_path / "run")]) == 2
    assert "--data PAIRS.jsonl" in capsys.readouterr().err


def test_captions_longer_than_the_tower_takes_are_refused(folder, capsys):
    assert train(folder, "pairs.jsonl", "--config.data.max_length=60") == 2
    assert "max_length=48" in capsys.readouterr().err
