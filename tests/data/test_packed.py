"""Packs: the same rows as the source they were written from, mapped and not loaded; refusals."""

import dataclasses
import importlib.util
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxssl.config import load_config
from jaxssl.data.pipeline import stream
from jaxssl.data.readers.image_folder import image_folder
from jaxssl.data.readers.packed import is_pack, packed, write_pack
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.views import narrowed
from jaxssl.evaluate import embed
from jaxssl.experiment import setup

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 20 images each, in train and val; one is no image."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 5)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 256, (20, 24, 3), np.uint8)
                Image.fromarray(image).save(root / split / name / f"{i:02d}.png")
    (root / "train" / "cat" / "07.png").write_bytes(b"\x89PNG no image")
    (root / "train" / "dog" / "19.png").rename(root / "train" / "dog" / os.fsdecode(b"z\xe9.png"))
    return root


@pytest.fixture(scope="module")
def pair(folder, tmp_path_factory):
    """(splits of the folder, path of their pack)."""
    splits = image_folder(path=str(folder), image_size=16, max_unreadable=0.1)
    out = tmp_path_factory.mktemp("packs") / "pack"
    assert write_pack(splits, str(out)) == {"train": 39, "test": 10}
    return splits, out


def test_a_pack_holds_the_readable_rows_in_their_order(pair):
    splits, out = pair
    found = packed(path=str(out))
    ids = np.delete(np.arange(40), 7)
    for name in ("image", "label"):
        np.testing.assert_array_equal(found.train.fetch(np.arange(39))[name], splits.train.fetch(ids)[name])
        np.testing.assert_array_equal(found.test.fetch(np.arange(10))[name], splits.test.fetch(np.arange(10))[name])
    assert found.train.class_names == ("cat", "dog") and found.train.num_classes == found.test.num_classes == 2
    assert packed(path=str(out), limit=5).train.size == 5
    image = found.train.arrays["image"]
    assert isinstance(image, np.memmap) or isinstance(image.base, np.memmap), "loaded, not mapped"
    batch = next(stream(found.train, seed=0, batch_size=8))
    assert batch["image"].shape == (8, 16, 16, 3) and batch["image"].dtype == np.uint8


def test_a_pack_keeps_the_names_of_what_it_holds(pair):
    splits, out = pair
    found, ids = packed(path=str(out)), np.delete(np.arange(40), 7)
    assert found.train.names(np.arange(39)) == splits.train.names(ids)
    assert os.fsencode(found.train.names([38])[0]) == b"train/dog/z\xe9.png"
    assert found.test.names(np.array([9, 0])) == splits.test.names(np.array([9, 0]))
    assert packed(path=str(out), limit=5).train.names([4]) == splits.train.names([4])


def test_the_names_of_a_part_are_those_of_its_examples(folder, pair, tmp_path):
    """A part keeps the `index` of the whole; its names go by place."""
    splits, _ = pair
    ids = np.array([2, 17, 30])
    part = narrowed(splits.train, ids)
    write_pack(Splits(part, None), str(tmp_path / "pack"))
    assert packed(path=str(tmp_path / "pack")).train.names(np.arange(3)) == splits.train.names(ids)
    config = load_config("simclr:quick", data=str(folder))
    with config.unlocked():
        config.data.update(image_size=16, max_unreadable=0.1)
    experiment = setup(config)
    features, names, label, index = embed(experiment, experiment.initial(), part)
    assert names == splits.train.names(ids) and index.tolist() == ids.tolist()
    np.testing.assert_array_equal(label, splits.train.fetch(ids)["label"])


EXTRA = {
    "edges": np.arange(8).reshape(4, 2),
    "none": np.zeros((0, 2), np.int32),
    "pairs": {"left": {"tokens": np.ones((3, 2), np.int32)}, "score": np.float32([0.5, 1, 2])},
    "words": np.array(["ä", "bc"]),
    "train_nodes": np.array([5, 6, 8, 9]),
    "share": 0.25,
}


def test_a_pack_keeps_all_that_a_source_carries(tmp_path):
    arrays = {"features": np.arange(8.0).reshape(4, 2), "none": np.zeros((4, 0), np.int32), "label": [0, 1, -1, 1]}
    source = from_arrays({k: np.asarray(v) for k, v in arrays.items()})
    names = ["", "\ud800", "b/é", "c"]
    source = dataclasses.replace(source, extra=EXTRA, names=lambda ids: [names[i] for i in ids], num_classes=7)
    test = dataclasses.replace(source, extra={}, names=None, class_names=("a", "b", "c"))
    write_pack(Splits(source, test), str(tmp_path / "p"))
    found = packed(path=str(tmp_path / "p"))
    np.testing.assert_equal(found.train.extra, {k: np.asarray(v) if k == "share" else v for k, v in EXTRA.items()})
    assert found.train.extra["edges"].dtype == EXTRA["edges"].dtype
    assert found.train.names(np.arange(4)) == names and found.test.names is None and found.test.extra == {}
    assert (found.train.num_classes, found.train.class_names) == (7, None) and found.test.class_names == tuple("abc")
    few = packed(path=str(tmp_path / "p"), limit=2).train
    assert few.num_classes == 7 and few.extra["train_nodes"].tolist() == [5, 6] and len(few.extra["edges"]) == 4
    wrong = dataclasses.replace(source, extra={"pairs": {"left": [object()]}})
    with pytest.raises(ValueError, match="train: extra entry pairs/left is no array"):
        write_pack(Splits(wrong), str(tmp_path / "q"))
    assert [p.name for p in tmp_path.iterdir()] == ["p"]
    grouped = dataclasses.replace(source, columns={"speaker": np.arange(4) // 2}, group="speaker")
    write_pack(Splits(grouped), str(tmp_path / "grouped"))
    found = packed(path=str(tmp_path / "grouped"), limit=3).train
    assert found.group == "speaker" and found.columns["speaker"].tolist() == [0, 0, 1]


def test_a_pack_of_before_still_reads(pair, tmp_path):
    _, out = pair
    index = json.loads((out / "pack.json").read_text())
    for part in index["splits"].values():
        for key in set(part) - {"size", "arrays"}:
            del part[key]
    for file in out.glob("*.npy"):
        if "-" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pack.json").write_text(json.dumps(index))
    found = packed(path=str(tmp_path)).train
    assert found.names is None and found.extra == {} and found.class_names == ("cat", "dog") and found.size == 39


@pytest.mark.slow
def test_damaged_packs_are_refused_by_the_name_of_the_file(pair, tmp_path):
    _, out = pair
    damaged, random = tmp_path / "damaged", np.random.default_rng(0)
    damaged.mkdir()
    files = {file.name: file.read_bytes() for file in out.iterdir()}
    refused = 0
    for i in range(200):
        for name, content in files.items():
            if name == sorted(files)[i % len(files)]:
                content = bytearray(content[: random.integers(0, len(content))] if i % 3 else content)
                for place in random.integers(0, min(len(content), 300), 3) if len(content) else ():
                    content[place] = random.integers(0, 256)
            (damaged / name).write_bytes(content)
        try:
            found = packed(path=str(damaged))
            found.train.fetch(np.arange(3)), found.train.names(np.arange(3))
        except (ValueError, TypeError, FileNotFoundError) as error:
            assert str(damaged) in str(error), error
            refused += 1
    assert refused > 100
    (damaged / "train.image.npy").unlink()
    os.mkfifo(damaged / "train.image.npy")
    (damaged / "pack.json").write_bytes(files["pack.json"])
    with pytest.raises(ValueError, match="train.image.npy cannot be read"):
        packed(path=str(damaged))


def test_what_is_left_out_is_counted(folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "jaxssl"):
        write_pack(Splits(image_folder(path=str(folder), image_size=16, max_unreadable=0.1).train), str(tmp_path / "p"))
    assert "train: 1 of 40 examples cannot be read" in caplog.text
    assert packed(path=str(tmp_path / "p")).test is None


def test_the_tool_packs_what_a_config_reads_and_training_takes_it(folder, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("pack", ROOT / "tools" / "pack.py")
    pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    config, out = f"{ROOT}/configs/image/simclr_image_folder.py:quick", tmp_path / "pack"
    assert pack.main([config, str(out), "--data", str(folder), "--config.data.max_unreadable=0.1"]) == 0
    assert "39 examples to train, 10 examples to test" in capsys.readouterr().out
    data = load_config(config, data=str(out)).data
    assert (data.name, data.mode, data.path) == ("data.readers.packed", "stream", str(out))
    assert pack.main([config, str(out), "--data", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err
    # What cannot be written is said before anything is read.
    assert pack.main([config, "/proc/pack", "--data", str(folder / "none")]) == 2
    assert "/proc" in capsys.readouterr().err
    assert not is_pack(str(folder)) and not is_pack("")


def test_what_is_no_pack_or_damaged_is_refused(pair, tmp_path):
    _, out = pair
    with pytest.raises(FileNotFoundError, match="tools/pack.py"):
        packed(path=str(tmp_path))
    with pytest.raises(ValueError, match="data.limit=40"):
        packed(path=str(out), limit=40)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in out.iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    index = json.loads((out / "pack.json").read_text())
    for change, message in (
        (dict(format=9), "format 9"),
        (
            dict(splits={"train": {"size": 3, "arrays": index["splits"]["train"]["arrays"]}}),
            r"train.image.npy holds uint8",
        ),
    ):
        (damaged / "pack.json").write_text(json.dumps({**index, **change}))
        with pytest.raises(ValueError, match=message):
            packed(path=str(damaged))
    (damaged / "pack.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        packed(path=str(damaged))
    (damaged / "pack.json").write_text(json.dumps(index))
    (damaged / "train.image.npy").write_bytes((out / "train.image.npy").read_bytes()[:-100])
    with pytest.raises(ValueError, match="train.image.npy cannot be read"):
        packed(path=str(damaged))


def test_an_interrupted_pack_is_no_pack(folder, tmp_path, monkeypatch):
    splits = image_folder(path=str(folder), image_size=16, max_unreadable=0.1)
    monkeypatch.setattr("shutil.copyfileobj", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        write_pack(splits, str(tmp_path / "pack"))
    assert not is_pack(str(tmp_path / "pack")) and not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert write_pack(splits, str(tmp_path / "pack"))["train"] == 39
