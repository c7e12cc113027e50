"""Texts of one's own through the command line: train, embed, and what is said about wrong files."""

import json

import numpy as np
import pytest

from jaxssl.cli import main

CONFIG = "configs/text/mirror_bert_debian.py:quick"
LINES = [f"{a} {b} for {c}" for a in ("reads", "writes", "plays") for b in ("files", "music") for c in ("Perl", "Java")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps on labelled lines, some held out."""
    folder = tmp_path_factory.mktemp("text")
    rows = [{"text": f"{line} {i}", "label": line.split()[0]} for i in range(4) for line in LINES]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["data.test_fraction=0.25", "total_steps=4", "log.tensorboard=false"]
    options += ["evaluate.evaluators.knn.k=5", "evaluate.evaluators.few_labels.per_class=(1,)"]
    changes = [f"--config.{option}" for option in options]
    status = main(
        [
            "train",
            CONFIG,
            "--data",
            str(folder / "mine.jsonl"),
            "--workdir",
            str(folder / "run"),
            "--mesh",
            "1",
            *changes,
        ]
    )
    assert status == 0
    return folder


def test_labelled_lines_are_evaluated(trained):
    results = json.loads((trained / "run" / "summary.json").read_text())["results"]
    assert set(results) == {"TF-IDF, 256 directions", "untrained encoder", "trained encoder"}
    assert results["TF-IDF, 256 directions"]["knn/top1"] > 0.6
    assert {"knn/top1", "linear/top1"} <= set(results["trained encoder"])
    assert not any(name.startswith(("retrieval", "similarity")) for name in results["trained encoder"])


def test_other_texts_get_the_same_ids(trained):
    """A text has the same features in any file: the tokenizer is that of the package."""
    (trained / "a.txt").write_text("\n".join(LINES[:3]))
    (trained / "b.txt").write_text("\n".join(["something else, naïve ☃", *LINES[:3]]))
    found = {}
    for name in "ab":
        options = ["--data", str(trained / f"{name}.txt"), "--out", str(trained / f"{name}.npz")]
        assert main(["embed", str(trained / "run"), *options]) == 0
        with np.load(trained / f"{name}.npz") as file:
            found[name] = dict(zip(file["name"].tolist(), file["features"]))
    assert sum(map(len, found.values())) == 7
    for i in range(1, 4):
        np.testing.assert_allclose(found["a"][f"a.txt:{i}"], found["b"][f"b.txt:{i + 1}"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.txt", b"one\n\n", "x.txt, line 2"),
        ("x.jsonl", b'{"txt": "one"}\n', "x.jsonl, line 1"),
        ("x.csv", b"one\n", ".jsonl"),
        ("none.txt", None, "does not exist"),
    ],
)
def test_wrong_files_end_with_one_line(tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["train", CONFIG, "--data", str(tmp_path / name), "--workdir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("jaxssl: ") and message in said and said.count("\n") == 1
