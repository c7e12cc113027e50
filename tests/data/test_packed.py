"""Packs: the same rows as the source they were written from, mapped and not loaded; refusals."""

import importlib.util
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxssl.config import load_config
from jaxssl.data.image_folder import image_folder
from jaxssl.data.packed import is_pack, packed, write_pack
from jaxssl.data.pipeline import stream
from jaxssl.data.source import Splits

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


def test_what_is_left_out_is_counted(folder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "jaxssl"):
        write_pack(Splits(image_folder(path=str(folder), image_size=16, max_unreadable=0.1).train), str(tmp_path / "p"))
    assert "train: 1 of 40 examples cannot be read" in caplog.text
    assert packed(path=str(tmp_path / "p")).test is None


def test_the_tool_packs_what_a_config_reads_and_training_takes_it(folder, tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("pack", ROOT / "tools" / "pack.py")
    pack = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pack)
    config, out = f"{ROOT}/configs/simclr_image_folder.py:quick", tmp_path / "pack"
    assert pack.main([config, str(out), "--data", str(folder), "--config.data.max_unreadable=0.1"]) == 0
    assert "39 examples to train, 10 examples to test" in capsys.readouterr().out
    data = load_config(config, data=str(out)).data
    assert (data.name, data.mode, data.path) == ("data.packed", "stream", str(out))
    assert pack.main([config, str(out), "--data", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err
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
    assert not is_pack(str(tmp_path / "pack"))
    monkeypatch.undo()
    assert write_pack(splits, str(tmp_path / "pack"))["train"] == 39
