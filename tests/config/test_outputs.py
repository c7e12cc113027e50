"""Result files appear whole or not at all; what cannot be written is said before the work; names of any bytes."""

import os
import re

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from jaxssl.data.readers.image_folder import image_folder
from jaxssl.files import whole_file
from jaxssl.outputs import check_output, stored_name, write_features


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "out.npz"
    path.write_bytes(b"earlier")
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"earlier" and os.listdir(tmp_path) == ["out.npz"]
    (tmp_path / "link").symlink_to(path)
    with whole_file(tmp_path / "link") as file:
        np.savez(file, x=np.arange(3))
    assert (tmp_path / "link").is_symlink() and sorted(os.listdir(tmp_path)) == ["link", "out.npz"]
    with np.load(path) as found:
        np.testing.assert_array_equal(found["x"], np.arange(3))
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    assert check_output(tmp_path / "a.npz", ".npz", ".parquet") == tmp_path / "a.npz"
    assert not os.listdir(tmp_path)
    (tmp_path / "b.npz").mkdir()
    for path, said in (
        (tmp_path / "a.csv", "must end in .npz or .parquet"),
        (tmp_path / "b.npz", "is a folder"),
        (tmp_path / "none" / "a.npz", "none does not exist"),
        ("/proc/a.npz", "nothing can be written to /proc"),
    ):
        with pytest.raises(ValueError, match=f"^--out {path}: .*{said}"):
            check_output(path, ".npz", ".parquet")


def test_names_of_any_bytes_are_stored_and_found_again(tmp_path):
    raw = [b"caf\xe9.png", "café.png".encode(), rb"caf\xe9.png", b"a\\b", b"\xff\x80", "新.png".encode(), b"a\nb"]
    for name in raw:
        (tmp_path / os.fsdecode(name)).touch()
    stored = [stored_name(name) for name in os.listdir(tmp_path)]
    back = {re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), text.encode()) for text in stored}
    assert back == set(raw) and len(set(stored)) == len(raw)
    assert stored_name(os.fsdecode(b"caf\xe9.png")) == r"caf\xe9.png" and stored_name("café.png") == "café.png"
    assert stored_name("\ud800") == r"\ud800"


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_features_of_a_folder_with_such_a_name_are_written(ending, tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    for name in (b"a.png", b"caf\xe9.png"):
        Image.new("RGB", (8, 8)).save(os.fsdecode(bytes(tmp_path / "images") + b"/" + name))
    source = image_folder(path=str(tmp_path / "images"), image_size=8).train
    out = tmp_path / os.fsdecode(b"\xe9" + ending.encode())
    rows = np.eye(2, dtype=np.float32), np.array([-1, 0], np.int32), source.names(np.arange(2))
    write_features(out, *rows)
    if ending == ".npz":
        with np.load(out) as file:
            found = dict(file)
    else:
        with out.open("rb") as file:
            found = pyarrow.parquet.read_table(file).to_pydict()
    assert list(found["name"]) == ["a.png", r"caf\xe9.png"] and list(found["label"]) == [-1, 0]
    np.testing.assert_array_equal(np.stack(found["features"]), np.eye(2))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        write_features(tmp_path / f"new{ending}", *rows)
    assert sorted(os.listdir(tmp_path)) == sorted(["images", out.name])
