"""What readers make of files that are damaged, endless, too large, or no files at all."""

import contextlib
import gzip
import io
import json
import logging
import os
import resource
import signal
import socket
import warnings
import zipfile

import numpy as np
import pytest
from made_files import (
    CORNERS,
    EDGES,
    FOLDERS,
    NODES,
    PLY,
    READERS,
    TS,
    film,
    idx,
    lines,
    npz,
    picture,
    video,
)

from jaxssl.data.readers.arrays import arrays
from jaxssl.data.readers.audio_folder import audio_folder
from jaxssl.data.readers.graph import graph
from jaxssl.data.readers.image_folder import image_folder
from jaxssl.data.readers.influence import influence
from jaxssl.data.readers.jsonl import read_jsonl
from jaxssl.data.readers.npz import load_npz
from jaxssl.data.readers.pairs import pairs
from jaxssl.data.readers.points import points
from jaxssl.data.readers.series import series
from jaxssl.data.readers.table import table
from jaxssl.data.readers.text import text
from jaxssl.data.reading import foreign, lines_of, read_text, regular_file
from jaxssl.data.sets.fashion_mnist import FILES, fashion_mnist
from jaxssl.data.tokenizer import Tokenizer, load_tokenizer
from jaxssl.ops.tokens import SPECIAL


def damaged(data, seed, count):
    """So many damaged copies: shortened, flipped, with bytes put in or taken out, with large numbers, empty."""
    random = np.random.default_rng(seed)
    for i in range(count):
        x, place = bytearray(data), int(random.integers(len(data)))
        start = int(random.integers(min(len(data), 64)))  # headers lie here
        match i % 8:
            case 0:
                x = x[:place] if i else x[:0]
            case 1:
                for at in random.integers(len(x), size=1 + i % 5):
                    x[at] ^= 1 << int(random.integers(8))
            case 2:
                x[place:place] = random.integers(256, size=1 + i % 9, dtype=np.uint8).tobytes()
            case 3:
                x[start : start + 4] = random.integers(256, size=4, dtype=np.uint8).tobytes()
            case 4:
                x[start : start + 4] = b"\xff\xff\xff\x7f" if i % 16 < 8 else b"\x7f\xff\xff\xff"
            case 5:
                del x[place : place + 1 + i % 30]
            case 6:
                # A number of a text or a header becomes a large one, or none.
                digits = [at for at, byte in enumerate(x) if 48 <= byte < 58] or [place]
                at = digits[int(random.integers(len(digits)))]
                x[at : at + 1] = (b"99999999999999999999", b"-1", b"1e999", b"nan", b"", b"\xe2\x80\xa8")[i // 8 % 6]
            case 7:
                x = x[:start] + x[place:] if i % 16 < 8 else x + x[place:]
        yield bytes(x)


class Hang(BaseException):
    """No reader may take it for an error of the file."""


@contextlib.contextmanager
def bounded(seconds=10, gigabytes=4):
    """An alarm, and so much memory beyond what the process has already."""

    def alarm(*_):
        raise Hang(f"no end after {seconds} s")

    before, limits = signal.signal(signal.SIGALRM, alarm), resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), limits[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def fuzz(name, folder, count, seed):
    read, file, content, others = READERS[name]
    inner = folder / "inner"
    inner.mkdir()
    for other, make in others.items():
        (inner / other).write_bytes(make())
    path, whole = inner / file, content()
    path.write_bytes(whole)
    read(str(path))
    refused = 0
    for i, data in enumerate(damaged(whole, seed, count)):
        path.unlink()  # a cache that knows a file by its time must see another one
        path.write_bytes(data)
        os.utime(path, ns=(i, i))
        try:
            with bounded(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(str(path))
        except (ValueError, TypeError, FileNotFoundError) as error:
            assert str(inner) in str(error) or file in str(error) or "Fashion-MNIST" in str(error), (i, repr(error))
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}, damage {i}: {error!r}; the file begins with {data[:80]!r}") from error
    return refused


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused_with_their_name(name, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    assert fuzz(name, tmp_path, 8, seed=1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_200_damaged_files_are_refused_with_their_name(name, tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    assert fuzz(name, tmp_path, 200, seed=0) > 20


def test_every_reader_refuses_what_is_no_regular_file(tmp_path):
    pipe, link, endpoint = tmp_path / "pipe", tmp_path / "link", socket.socket(socket.AF_UNIX)
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    with contextlib.chdir(tmp_path), endpoint:
        endpoint.bind("socket")
    for name in ("a.npz", "a.ts", "a.csv", "a.parquet", "a.txt", "a.jsonl", "a.json"):
        for target, kind in ((pipe, "a named pipe"), (link, "a device"), (tmp_path / "socket", "a socket")):
            (tmp_path / name).symlink_to(target)
            readers = {
                "a.npz": (arrays, graph, influence, points, series),
                "a.ts": (series,),
                "a.json": (lambda path: load_tokenizer(path),),
                "a.txt": (text,),
                "a.jsonl": (text, pairs),
            }.get(name, (table,))
            for read in readers:
                options = {"image_size": 8} if read is pairs else {}
                with bounded(), pytest.raises(ValueError, match="not a file" if read is pairs else kind) as error:
                    read(path=str(tmp_path / name), **options)
                assert name in str(error.value)
            (tmp_path / name).unlink()
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ValueError, match="a.txt is a folder; a regular file"):
        text(path=str(tmp_path / "a.txt"))


def test_an_endless_image_of_a_captions_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, kind in (("/dev/zero", "a device"), ("pipe.png", "a named pipe"), (".", "a folder")):
        (tmp_path / "a.jsonl").write_bytes(lines({"image": name, "caption": "a"}))
        with bounded(), pytest.raises(ValueError, match=f"a.jsonl, line 1: image '.*' cannot be read: .* is {kind}"):
            pairs(path=str(tmp_path / "a.jsonl"), image_size=8)


@pytest.mark.parametrize("kind", FOLDERS)
def test_folders_skip_and_name_what_cannot_be_read(kind, tmp_path, caplog, monkeypatch):
    read, ending, content = FOLDERS[kind]
    for i in range(3):
        (tmp_path / f"{i}.{ending}").write_bytes(content())
    (tmp_path / "lost+found").mkdir()
    os.mkfifo(tmp_path / f"pipe\n\x1b[31m.{ending}")
    (tmp_path / f"zero.{ending}").symlink_to("/dev/zero")
    (tmp_path / f"folder.{ending}").mkdir()
    scandir = os.scandir

    def scan(folder="."):
        if os.fspath(folder).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    with bounded(), caplog.at_level(logging.WARNING):
        assert read(str(tmp_path)).train.size >= 3
    assert "lost+found is skipped: it cannot be listed (Permission denied)" in caplog.text
    assert rf"pipe\x0a\x1b[31m.{ending} is skipped: it is a named pipe" in caplog.text
    assert f"zero.{ending} is skipped: it is a device" in caplog.text and "\x1b" not in caplog.text


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_file_too_large_is_named_with_the_option(kind, tmp_path, caplog):
    read, ending, content = FOLDERS[kind]
    (tmp_path / f"a.{ending}").write_bytes(content())
    options = dict(
        image=lambda: image_folder(path=str(tmp_path), image_size=8, max_file_mb=1e-6).train.fetch(np.arange(1)),
        sound=lambda: audio_folder(path=str(tmp_path), rate=4000, seconds=0.05, max_file_mb=1e-6),
        cloud=lambda: points(path=str(tmp_path), num_points=4, max_file_mb=1e-6),
        video=lambda: video(path=str(tmp_path), max_file_mb=1e-6),
    )
    with pytest.raises(ValueError) as error:
        options[kind]()
    said = str(error.value) + caplog.text
    assert "max_file_mb=1e-06 allows" in said and f"a.{ending}" in said


def test_what_a_npz_promises_is_checked_ahead_of_allocation(tmp_path):
    file = tmp_path / "a.npz"

    def write(shape, content=b"", descr="<f8"):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("image.npy", header.getvalue() + content)

    for shape, content, descr, said in (
        ((10**12,), b"", "<f8", "`image` promises float64 .* but 0 follow"),
        ((2**40, 2**40), bytes(8), "<f8", "promises"),
        ((10**12, 0), b"", "<f8", "holds nothing"),
        ((10**12,), b"", "<U0", "holds nothing"),
        ((1,), bytes(8), "|O", "holds Python objects"),
    ):
        write(shape, content, descr)
        for read in (arrays, graph, influence, points, series):
            with bounded(gigabytes=0.5), pytest.raises(ValueError, match=f"a.npz cannot be read as .*{said}"):
                read(path=str(file))
    # 64 MB in some kB: within the limit all is well, beyond it nothing is unpacked.
    write((2**26,), bytes(2**26), "|u1")
    assert file.stat().st_size < 2**17 and load_npz(file)["image"].size == 2**26
    with bounded(gigabytes=0.06), pytest.raises(ValueError, match="a.npz cannot.*unpacks to has 64.0 MB.*max_fi"):
        load_npz(file, 32)
    np.savez(file, image=np.ones((2, 3, 3), np.uint8), class_names=np.array("ab"))
    with pytest.raises(ValueError, match="a.npz: `class_names` is <U2"):
        arrays(path=str(file))
    np.savez(file, image=np.ones((2, 3, 3), np.uint8), label=np.array([0, 2**31]))
    with pytest.raises(ValueError, match="a.npz.*`label` holds 2147483648"):
        arrays(path=str(file))


def test_other_things_that_unpack_to_too_much(tmp_path):
    pytest.importorskip("pyarrow")
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": np.zeros(10**6)}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="a.parquet cannot be read .*max_file_mb=1 allows"):
        table(path=str(tmp_path / "a.parquet"), max_file_mb=1)
    for key, name in FILES.items():
        size = (2, 28, 28) if key.endswith("image") else (2,)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(np.zeros(size, np.uint8))))
    assert fashion_mnist(path=str(tmp_path)).train.size == 2
    (tmp_path / f"{FILES['train_image']}.gz").write_bytes(gzip.compress(bytes(2**23)))
    with pytest.raises(ValueError, match="train-images.*8.0 MB.*max_file_mb=2|train-images.*2.0 MB.*max_file_mb=2"):
        fashion_mnist(path=str(tmp_path), max_file_mb=2)
    bomb = {"kind": "byte-pair", "special": list(SPECIAL), "merges": [[100, 100]] + [[i, i] for i in range(262, 302)]}
    (tmp_path / "a.json").write_text(json.dumps(bomb))
    with bounded(gigabytes=0.5), pytest.raises(ValueError, match="a.json is no tokenizer.*more than 65536 bytes"):
        load_tokenizer(tmp_path / "a.json")
    assert Tokenizer([(100, 101)]).vocab_size == 263
    every = np.argwhere(np.triu(np.ones((20, 20)), 1))
    (tmp_path / "g.npz").write_bytes(npz(features=np.ones((20, 2)), edges=every))
    with bounded():  # all edges are there: no pair is left that is none
        assert len(graph(path=str(tmp_path / "g.npz")).train.extra["non_edges"]) == 0


ODD = "a\u2028b\u0085c\x0bd\x0ce\x1cf"  # what str.splitlines takes for six lines


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_every_text_reader_takes_bom_and_line_ends_and_odd_separators(tmp_path, bom, ends):
    def write(name, content):
        (tmp_path / name).write_bytes((bom + content.replace("\n", ends)).encode())
        return str(tmp_path / name)

    (tmp_path / "0.png").write_bytes(picture("PNG"))
    rows = [{"image": "0.png", "caption": f"{i}{ODD}", "text": f"{i}{ODD}", "label": ODD} for i in range(4)]
    path = write("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n")
    assert pairs(path=path, image_size=8, test_fraction=0).train.size == 4
    found = text(path=path).train
    assert found.size == 4 and found.class_names == (ODD,)
    assert load_tokenizer().decode(found.arrays["tokens"][1]) == f"1{ODD}"
    assert text(path=write("a.txt", f"one{ODD}\ntwo\n")).train.size == 2
    made = table(path=write("a.csv", f"a,b\n1,{ODD}\n2,y\n3,y\n4,{ODD}\n"), label="b", test_fraction=0).train
    assert made.size == 4 and set(made.class_names) == {ODD, "y"}
    write("nodes.csv", NODES.replace("n0", ODD)), write("edges.csv", EDGES.replace("n0", ODD))
    assert ODD in graph(path=str(tmp_path), test_fraction=0).train.names(range(8))
    assert series(path=write("a.ts", f"# {ODD}\n{TS}")).train.size == 2
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    for name, content in (
        ("a.xyz", f"# {ODD}\n{CORNERS}\n"),
        ("a.txt", f"x y z\n{CORNERS}\n"),
        ("a.csv", CORNERS.replace(" ", ",")),
        ("a.off", f"OFF\n5 0 0 # {ODD}\n{CORNERS}\n"),
        ("a.ply", PLY.format("ascii").replace("element", f"comment {ODD}\nelement") + CORNERS),
    ):
        if ends == "\r" and name == "a.ply":  # the header of one ends in LF or CR LF
            continue
        write(f"clouds/{name}", content)
    source = points(path=str(clouds), num_points=5).train
    x = source.arrays["points"]
    for row in x[1:]:  # the same five corners in each, in an order of its own
        np.testing.assert_allclose(sorted(map(tuple, row)), sorted(map(tuple, x[0])), atol=1e-6)


def test_texts_name_file_line_and_byte(tmp_path):
    file = tmp_path / "a.txt"
    for content, said in ((b"one\nt\xe9\n", "line 2: not UTF-8 .* at byte 2"), (b"\xff\xfea\0", "line 1: not UTF-8")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=said):
            read_text(file)
    for line, said in (
        ("[" * 100_000, "too deep"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        (r'{"text": "\ud800"}', "not JSON .*surrogates"),
        ("[1]", "no object but a list"),
    ):
        file.write_text('{"text": "a"}\n\n' + line + "\n")
        with pytest.raises(ValueError, match=f"a.txt, line 3: .*{said}"):
            list(read_jsonl(file))
    assert lines_of("") == [] and lines_of("a\r\n\nb") == ["a", "", "b"]
    file.write_bytes(b"\xef\xbb\xbfx")
    assert read_text(file) == "x"
    with pytest.raises(ValueError, match="holds more than"):
        read_text("/proc/self/status")
    for label in (2**31, 10**30):
        (tmp_path / "0.png").write_bytes(picture("PNG"))
        (tmp_path / "a.jsonl").write_bytes(lines({"image": "0.png", "caption": "a", "text": "a", "label": label}))
        for read in (lambda path: pairs(path=path, image_size=8), lambda path: text(path=path)):
            with pytest.raises(ValueError, match="line 1: `label` is"):
                read(str(tmp_path / "a.jsonl"))


def test_errors_and_names_are_one_line(tmp_path):
    odd = tmp_path / "a\n\x1b[31m.png"
    with pytest.raises(FileNotFoundError) as missing:
        regular_file(odd)
    with pytest.raises(ValueError) as broken, foreign(odd, "a file"):
        raise KeyError("x")
    assert str(missing.value).isprintable() and str(broken.value).isprintable()
    odd.write_bytes(b"damaged")
    with pytest.raises(ValueError) as error:
        image_folder(path=str(tmp_path), image_size=8, max_unreadable=0).train.fetch(np.arange(1))
    assert r"a\x0a\x1b[31m.png" in str(error.value) and str(error.value).isprintable()


def test_a_file_name_that_is_not_utf8_is_read(tmp_path):
    name = os.fsencode(tmp_path) + b"/\xe9"
    for ending, content in ((b".off", f"OFF\n5 0 0\n{CORNERS}\n"), (b".xyz", CORNERS)):
        with open(name + ending, "w") as file:
            file.write(content)
    assert points(path=str(tmp_path), num_points=4).train.size == 2


def test_a_playlist_is_no_video(tmp_path):
    (tmp_path / "real.mkv").write_bytes(film("matroska"))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'real.mkv'\n")
    (tmp_path / "other.mp4").write_bytes(film("mp4"))
    (tmp_path / "third.mp4").write_bytes(film("mp4"))
    from jaxssl.data.readers.video_folder import video_folder

    source = video_folder(path=str(tmp_path), frames=2, size=16, frame_step=1).train
    assert not any("list.mp4" in name for name in source.names(range(source.size)))
