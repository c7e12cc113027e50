"""Small files of every kind, made in memory, and the readers that take them."""

import gzip
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from jaxssl.data.readers.arrays import arrays
from jaxssl.data.readers.audio_folder import audio_folder
from jaxssl.data.readers.graph import graph
from jaxssl.data.readers.image_folder import image_folder
from jaxssl.data.readers.influence import influence
from jaxssl.data.readers.pairs import pairs
from jaxssl.data.readers.points import points
from jaxssl.data.readers.series import series
from jaxssl.data.readers.table import table
from jaxssl.data.readers.text import text
from jaxssl.data.sets.fashion_mnist import FILES, fashion_mnist
from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.ops.tokens import SPECIAL


def npz(**content):
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    return file.getvalue()


def picture(kind, mode="RGB"):
    file = io.BytesIO()
    Image.fromarray(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3)).convert(mode).save(file, kind)
    return file.getvalue()


def idx(x):
    return bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">u4").tobytes() + x.tobytes()


def sound(subtype, kind):
    soundfile, file = pytest.importorskip("soundfile"), io.BytesIO()
    soundfile.write(file, np.sin(np.arange(400) / 5), 8000, format=kind, subtype=subtype)
    return file.getvalue()


def parquet():
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    columns = {"a": np.arange(12.0), "b": ["x", "y", None] * 4, "c": [True, False] * 6}
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def film(kind):
    av, file = pytest.importorskip("av"), io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * i, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def mesh(kind):
    trimesh = pytest.importorskip("trimesh")
    content = trimesh.creation.box((2, 3, 4)).export(file_type=kind)
    return content if isinstance(content, bytes) else content.encode()


def video(**options):
    pytest.importorskip("av")
    from jaxssl.data.readers.video_folder import video_folder

    return video_folder(frames=2, size=16, frame_step=1, max_unreadable=0, **options)


def lines(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode() + b"\n"


random = np.random.default_rng(0)


CORNERS = "\n".join(" ".join(f"{v:.2f}" for v in row) for row in random.normal(size=(5, 3)))


PLY = "ply\nformat {} 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\nend_header\n"


CLOUDS = dict(x=random.normal(size=(6, 9, 3)), length=np.full(6, 9), label=np.arange(6) % 2)


GRAPH = dict(features=random.normal(size=(12, 3)), edges=np.arange(12).repeat(2)[1:-1].reshape(11, 2))


TS = "@problemName t\n@timeStamps false\n@classLabel true up down\n@data\n1,2,3:0,?,2:up\n3,2,1:1,1,1:down\n"


TABLE = "a,b,c\n" + "".join(f"{i},{'xy'[i % 2]},{i / 3:.2f}\n" for i in range(9))


NODES = "id,height,width,label\n" + "".join(f"n{i},{i}.5,2,{'ab'[i % 2]}\n" for i in range(8))


EDGES = "source,target\n" + "".join(f"n{i},n{(i + 1) % 8}\n" for i in range(8))


ROWS = lines(*({"image": "../0.png", "caption": f"caption {i}", "label": "ab"[i % 2]} for i in range(4)))


folder_of = lambda path: os.path.dirname(path)


def all_of(splits):
    for source in splits.sources().values():
        source.fetch(np.arange(source.size))
    return splits


# Name -> (the reader of the path of the damaged file, its contents, files beside it).
READERS = {
    "arrays": (lambda p: arrays(path=p), "a.npz", lambda: npz(image=np.ones((4, 5, 5), "u1"), label=np.arange(4)), {}),
    "graph npz": (lambda p: graph(path=p), "a.npz", lambda: npz(**GRAPH, label=np.arange(12) % 3), {}),
    "influence npz": (lambda p: influence(path=p), "a.npz", lambda: npz(**GRAPH, label=np.arange(12) % 3), {}),
    "graph nodes": (lambda p: graph(path=folder_of(p)), "nodes.csv", NODES.encode, {"edges.csv": EDGES.encode}),
    "graph edges": (lambda p: graph(path=folder_of(p)), "edges.csv", EDGES.encode, {"nodes.csv": NODES.encode}),
    "points npz": (lambda p: points(path=p, num_points=4), "a.npz", lambda: npz(**CLOUDS), {}),
    "series npz": (lambda p: series(path=p), "a.npz", lambda: npz(**CLOUDS, class_names=np.array(["a", "b"])), {}),
    "series ts": (lambda p: series(path=p), "a.ts", TS.encode, {}),
    "table csv": (lambda p: table(path=p, label="b"), "a.csv", TABLE.encode, {}),
    "table parquet": (lambda p: table(path=p, label="b", categorical=("c",)), "a.parquet", parquet, {}),
    "text": (lambda p: text(path=p), "a.txt", "first line\nzweite Zeile ä\n".encode, {}),
    "text jsonl": (lambda p: text(path=p), "a.jsonl", lambda: lines(*({"text": "a", "label": i} for i in (0, 1))), {}),
    "tokenizer": (load_tokenizer, "a.json", lambda: tokenizer_file(), {}),
    "captions": (lambda p: pairs(path=p, image_size=8), "a.jsonl", lambda: ROWS, {"../0.png": lambda: picture("PNG")}),
    "captions image": (
        lambda p: pairs(path=folder_of(p) + "/a.jsonl", image_size=8),
        "0.tif",
        lambda: picture("TIFF"),
        {"a.jsonl": lambda: ROWS.replace(b"../0.png", b"0.tif")},
    ),
    "fashion images": (
        lambda p: fashion_mnist(path=folder_of(p)),
        FILES["train_image"] + ".gz",
        lambda: gzip.compress(idx(np.zeros((2, 28, 28), np.uint8)), mtime=0),
        {
            FILES["train_label"]: lambda: idx(np.zeros(2, np.uint8)),
            FILES["test_image"]: lambda: idx(np.zeros((2, 28, 28), np.uint8)),
            FILES["test_label"]: lambda: idx(np.zeros(2, np.uint8)),
        },
    ),
}


READERS |= {
    f"points {name}": (lambda p: points(path=folder_of(p), num_points=4), name, content, {})
    for name, content in {
        "a.xyz": CORNERS.encode,
        "a.csv": lambda: b"x,y,z\n" + CORNERS.replace(" ", ",").encode(),
        "a.off": lambda: f"OFF\n5 2 0\n{CORNERS}\n3 0 1 2\n4 1 2 3 4\n".encode(),
        "a.ply": lambda: (PLY.format("ascii") + CORNERS + "\n").encode(),
        "a.stl": lambda: mesh("stl"),
        "b.stl": lambda: mesh("stl_ascii"),
        "a.obj": lambda: mesh("obj"),
        "a.glb": lambda: mesh("glb"),
        "b.ply": lambda: PLY.format("binary_little_endian").encode() + np.arange(15, dtype="<f4").tobytes(),
    }.items()
}


READERS |= {
    f"images {name}": (
        lambda p: all_of(image_folder(path=folder_of(p), image_size=8, max_unreadable=0)),
        name,
        lambda kind=kind, mode=mode: picture(kind, mode),
        {},
    )
    for name, kind, mode in (
        ("a.png", "PNG", "RGB"),
        ("b.png", "PNG", "P"),
        ("c.png", "PNG", "I;16"),
        ("a.jpg", "JPEG", "RGB"),
        ("b.jpg", "JPEG", "CMYK"),
        ("a.gif", "GIF", "P"),
        ("a.webp", "WEBP", "RGB"),
        ("a.bmp", "BMP", "RGB"),
    )
}


READERS |= {
    f"audio {name}": (
        lambda p: audio_folder(path=folder_of(p), rate=4000, seconds=0.05, max_unreadable=0),
        name,
        lambda subtype=subtype, kind=kind: sound(subtype, kind),
        {},
    )
    for name, subtype, kind in (
        ("a.wav", "PCM_16", "WAV"),
        ("b.wav", "PCM_24", "WAV"),
        ("a.flac", "PCM_16", "FLAC"),
        ("a.ogg", "VORBIS", "OGG"),
        ("a.aiff", "PCM_16", "AIFF"),
        ("a.mp3", "MPEG_LAYER_III", "MP3"),
    )
}


READERS |= {
    f"video {name}": (
        lambda p, gb=gb: all_of(video(path=folder_of(p), memory_gb=gb)),
        name,
        lambda kind=kind: film(kind),
        {},
    )
    for name, kind, gb in (
        ("a.mp4", "mp4", 0.1),
        ("b.mp4", "mp4", None),
        ("a.mkv", "matroska", 0.1),
        ("a.avi", "avi", 0.1),
    )
}


def tokenizer_file():
    return json.dumps({"kind": "byte-pair", "special": list(SPECIAL), "merges": [[100, 101], [262, 102]]}).encode()


FOLDERS = {
    "image": (lambda p: image_folder(path=p, image_size=8), "png", lambda: picture("PNG")),
    "sound": (lambda p: audio_folder(path=p, rate=4000, seconds=0.05), "wav", lambda: sound("PCM_16", "WAV")),
    "cloud": (lambda p: points(path=p, num_points=4), "xyz", CORNERS.encode),
    "video": (lambda p: video(path=p), "mp4", lambda: film("mp4")),
}
