"""Clouds: the generator, surfaces, files of one's own, and what is said about bad ones."""

import json
import os
import sys

import numpy as np
import pytest

from jaxssl.data.readers.points import points, resample
from jaxssl.data.sets.fashion_clouds import fashion_clouds
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.sets.shapes import SOLIDS, box, ellipsoid, ring, rod, sample_surface
from jaxssl.data.sets.solids import CLASSES, about_vertical, solids

CLOUD = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0.5], [0, 0, 3], [-1.5, 2, 1]], np.float32)


@pytest.fixture(scope="module")
def made():
    return solids(train=60, test=15, num_points=64, outliers=0.03)


def test_solids_are_fixed_balanced_and_of_one_size(made):
    x, label, part = (made.train.arrays[k] for k in ("points", "label", "part"))
    assert x.shape == (60, 64, 3) and x.dtype == np.float32 and np.isfinite(x).all()
    assert len(CLASSES) == 15 and made.train.class_names == CLASSES
    np.testing.assert_array_equal(np.bincount(label), 4)
    np.testing.assert_array_equal(x, solids(train=60, test=15, num_points=64, outliers=0.03).train.arrays["points"])
    other = solids(train=60, test=15, num_points=64, outliers=0.03, seed=1).train.arrays
    assert (other["points"] != x).any()
    assert not (made.test.arrays["points"][:, None] == x[None]).all((2, 3)).any()
    assert part.shape == (60, 64) and part.min() == -1 and part.max() == 2
    for name, largest in (("ellipsoid", 0), ("hammer", 1), ("chair", 2)):
        assert part[label == CLASSES.index(name)].max() == largest


def test_clouds_without_faults_lie_in_the_unit_sphere_and_with_them_nearly():
    clean = solids(train=15, test=15, num_points=64, noise=0, outliers=0, visible=1).train.arrays["points"]
    np.testing.assert_allclose(np.linalg.norm(clean, axis=-1).max(1), 1, rtol=1e-5)
    strayed = solids(train=15, test=15, num_points=200, outliers=0.5).train.arrays["part"]
    assert np.mean(strayed == -1) == pytest.approx(0.5, abs=0.05)


def test_what_remains_of_a_view_is_one_side():
    """Of a sphere seen in part, the mean of the whole is off the centre: the points do not lie around it."""
    random = np.random.default_rng(0)
    x, _ = sample_surface(random, ellipsoid(1, 1, 1), 4000)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.05)
    clouds = solids(train=60, test=15, num_points=200, noise=0, outliers=0, visible=0.5).train
    some = clouds.arrays["points"][clouds.arrays["label"] == 0]
    spread = lambda x: np.sqrt(np.linalg.eigvalsh(np.cov(x.T))[[0, -1]])
    assert np.mean([np.divide(*spread(x)) for x in some]) < 0.75 * np.divide(*spread(x))


@pytest.mark.parametrize(
    "triangles, area",
    [
        (box(2, 3, 4), 52),
        (rod(1, 2, sides=400), 6 * np.pi),
        (rod(1, 1, top=0, sides=400), np.pi * (1 + np.sqrt(2))),
        (ellipsoid(1, 1, 1), 4 * np.pi),
        (ring(2, 0.5), 4 * np.pi**2),
    ],
)
def test_surfaces_have_their_areas(triangles, area):
    a, b, c = np.moveaxis(triangles, 1, 0)
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 == pytest.approx(area, rel=0.06)


def test_points_are_uniform_over_the_area():
    """A box 2 x 1 x 1: a fifth of its surface are the two ends, each of 1 of 10."""
    x, chosen = sample_surface(np.random.default_rng(0), box(2, 1, 1), 20000)
    assert np.mean(np.abs(x[:, 0]) > 1 - 1e-9) == pytest.approx(0.2, abs=0.01)
    top = x[x[:, 2] > 0.5 - 1e-9]
    np.testing.assert_allclose(top.mean(0), [0, 0, 0.5], atol=0.03)
    np.testing.assert_allclose(top.var(0), [1 / 3, 1 / 12, 0], atol=0.02)
    assert np.abs(x).max(0) == pytest.approx([1, 0.5, 0.5]) and chosen.max() < len(box(2, 1, 1))
    with pytest.raises(ValueError, match="no area"):
        sample_surface(np.random.default_rng(0), np.zeros((2, 3, 3)), 5)


def test_every_solid_is_finite_and_turning_keeps_heights():
    turn = about_vertical(0.3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(turn[2], [0, 0, 1])
    for name, make in SOLIDS.items():
        for triangles in make(np.random.default_rng(0)):
            assert triangles.shape[1:] == (3, 3) and np.isfinite(triangles).all(), name


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(train=3), "data.train=3"),
        (dict(num_points=0), "num_points"),
        (dict(visible=0.0), "visible"),
        (dict(outliers=2.0), "outliers"),
        (dict(noise=-1.0), "noise"),
    ],
)
def test_options_out_of_range_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        solids(**options)


def test_a_cloud_of_an_image_shows_it():
    """Points fall where the image is bright; rows count from the top, and depth is the brightness there."""
    splits, images = fashion_clouds(limit=50, num_points=400), fashion_mnist_12k(limit=50)
    assert splits.train.arrays["points"].shape == (50, 400, 3) and splits.test.size == 10
    np.testing.assert_array_equal(splits.train.arrays["label"], images.train.arrays["label"])
    for x, image in zip(splits.train.arrays["points"], images.train.arrays["image"][..., 0] / 255):
        column, row = (np.clip(14 * (1 + s * x[:, a]), 0, 27.99).astype(int) for a, s in ((0, 1), (2, -1)))
        seen = image[row, column]
        assert np.mean(np.abs(x[:, 1] - 0.3 * seen) < 1e-6) > 0.98, "but for points on the border of two pixels"
        assert seen.mean() == pytest.approx((image**2).sum() / image.sum(), abs=0.06)
    again = fashion_clouds(limit=50, num_points=400).train.arrays["points"]
    np.testing.assert_array_equal(again, splits.train.arrays["points"])


def test_resampling_takes_some_or_repeats_all():
    x = np.random.default_rng(0).normal(size=(50, 3))
    fewer, more = resample(x, 20, name="a"), resample(x, 120, name="a")
    rows = {tuple(p) for p in np.float32(x - x.mean(0)).tolist()}
    assert len({tuple(p) for p in fewer.tolist()}) == 20 and {tuple(p) for p in fewer.tolist()} <= rows
    assert {tuple(p) for p in more.tolist()} == rows and more.shape == (120, 3)
    np.testing.assert_array_equal(fewer, resample(x, 20, name="a"))
    assert (fewer != resample(x, 20, name="b")).any() and (fewer != resample(x, 20, name="a", seed=1)).any()
    # A map in metres: 1e6 away, two points a centimetre apart stay two points.
    far = resample(np.array([[1e6, 0, 0], [1e6 + 0.01, 0, 0]]), 2, name="a")
    assert np.ptp(far[:, 0]) == pytest.approx(0.01, rel=1e-4)


def test_npz_of_one_s_own(tmp_path):
    file, random = tmp_path / "own.npz", np.random.default_rng(0)
    x, label, length = random.normal(size=(20, 30, 3)), np.arange(20) % 2, np.full(20, 30)
    length[5], x[5, 4:] = 4, np.nan
    np.savez(file, x=x, label=label, length=length, class_names=["a", "b"])
    splits = points(path=str(file), num_points=16)
    assert (splits.train.size, splits.test.size) == (16, 4) and splits.train.class_names == ("a", "b")
    np.testing.assert_array_equal(np.bincount(splits.test.arrays["label"]), 2)
    rows = {name: (s, i) for s in splits for i, name in enumerate(s.names(np.arange(s.size)))}
    source, i = rows[f"{file}, x row 5"]
    assert source.arrays["points"][i].shape == (16, 3) and len(np.unique(source.arrays["points"][i], axis=0)) == 4
    np.savez(file, x=x[:5])
    alone = points(path=str(file), num_points=4) if np.isfinite(x[:5]).all() else None
    assert alone.test is None and alone.train.size == 5 and not alone.train.has_labels
    np.savez(file, train_x=x[:4], train_label=label[:4], test_x=x[6:9, :9], test_label=label[6:9])
    both = points(path=str(file), num_points=8)
    assert both.train.size == 4 and both.test.arrays["points"].shape == (3, 8, 3)


def ply(x, kind, *, extra=True):
    """A .ply file of a cloud; with `extra` a colour in each vertex and an element behind them."""
    head = ["ply", f"format {kind} 1.0", "comment made by hand", f"element vertex {len(x)}"]
    head += [f"property float {axis}" for axis in "xyz"] + ["property uchar red"] * extra
    head += ["element face 1", "property list uchar int vertex_indices"] * extra + ["end_header\n"]
    text = "\n".join(head).encode()
    if kind == "ascii":
        rows = [" ".join(map(str, p)) + " 7" * extra for p in x.tolist()] + ["3 0 1 2"] * extra
        return text + "\n".join(rows).encode()
    order = ">" if kind == "binary_big_endian" else "<"
    table = np.zeros(len(x), [(axis, f"{order}f4") for axis in "xyz"] + [("red", "u1")] * extra)
    for i, axis in enumerate("xyz"):
        table[axis] = x[:, i]
    return text + table.tobytes() + b"\x03\0\0\0\0\1\0\0\0\2\0\0\0" * extra


CENTRED = np.sort(CLOUD - CLOUD.mean(0), axis=0)
TEXT = "\n".join(" ".join(map(str, p)) for p in CLOUD.tolist())


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.xyz", TEXT),
        ("b.xyz", f"5\n{TEXT}\n\n"),
        ("c.txt", "# a comment\n" + "\n".join(f"{line} 0.1 0.2 0.9" for line in TEXT.splitlines())),
        ("d.csv", "x,y,z\n" + TEXT.replace(" ", ",")),
        ("e.CSV", TEXT.replace(" ", "; ")),
        ("f.ply", ply(CLOUD, "ascii")),
        ("g.ply", ply(CLOUD, "binary_little_endian")),
        ("h.ply", ply(CLOUD, "binary_big_endian", extra=False)),
        ("i.off", f"OFF\n5 0 0\n{TEXT}\n"),
        ("j.off", f"OFF5 0 0\n{TEXT}\n"),
    ],
)
def test_every_kind_of_file_gives_its_points(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = points(path=str(tmp_path), num_points=5)
    assert found.test is None and list(found.train.names([0])) == [name]
    np.testing.assert_allclose(np.sort(found.train.arrays["points"][0], axis=0), CENTRED, atol=1e-5)


def test_off_with_faces_is_a_surface(tmp_path):
    """A square of side 2 as one face of four corners: its points fill it."""
    (tmp_path / "square.off").write_text("OFF\n4 1 4\n0 0 0\n2 0 0\n2 2 0\n0 2 0\n4 0 1 2 3\n")
    x = points(path=str(tmp_path), num_points=4000).train.arrays["points"][0]
    np.testing.assert_allclose(x.var(0), [1 / 3, 1 / 3, 0], atol=0.02)
    assert np.ptp(x[:, 0]) > 1.99


def test_sub_folders_are_classes_and_official_splits_are_kept(tmp_path):
    for folder in ("mug", "chair/old"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(5):
            (tmp_path / folder / f"{i}.xyz").write_text(TEXT)
    (tmp_path / "mug" / ".hidden.xyz").write_text("nonsense")
    (tmp_path / "mug" / "readme.md").write_text("nonsense")
    splits = points(path=str(tmp_path), num_points=4, test_fraction=0.4)
    assert (splits.train.size, splits.test.size) == (6, 4) and splits.train.class_names == ("chair", "mug")
    for source in splits:
        names = source.names(np.arange(source.size))
        assert [source.class_names[y] for y in source.arrays["label"]] == [n.split("/")[0] for n in names]
    assert points(path=str(tmp_path), num_points=4, test_fraction=0.0).test is None
    # As ModelNet has it: class/train/file, class/test/file.
    for folder in ("mug/train", "mug/Test", "chair/train", "chair/Test"):
        (tmp_path / "net" / folder).mkdir(parents=True)
        (tmp_path / "net" / folder / "0.xyz").write_text(TEXT)
    splits = points(path=str(tmp_path / "net"), num_points=4)
    assert [list(s.names(np.arange(s.size))) for s in splits] == [
        ["chair/train/0.xyz", "mug/train/0.xyz"],
        ["chair/Test/0.xyz", "mug/Test/0.xyz"],
    ]
    assert [s.arrays["label"].tolist() for s in splits] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.xyz", f"{TEXT}\n1 two 3\n", "line 6 is '1 two 3'; x y z would be right"),
        ("a.xyz", f"{TEXT}\n1 2\n", "line 6 is '1 2'"),
        ("a.xyz", "", "it holds no points"),
        ("a.xyz", f"{TEXT}\n1 nan 3\n", "point 5 is [1.0, nan, 3.0]; finite numbers"),
        ("a.txt", b"\xff\xfe\x00", "it is no text"),
        ("a.ply", b"plyish", "no header from 'ply' to 'end_header'"),
        ("a.ply", ply(CLOUD, "ascii").replace(b"2.0 1.0 7", b"2.0 1.0"), "line 16 is '-1.5 2.0 1.0'; 4 numbers"),
        ("a.ply", ply(CLOUD, "binary_little_endian", extra=False)[:-5], "4 points of the 5"),
        ("a.ply", ply(CLOUD, "ascii").replace(b"float z", b"float w"), "plain x, y and z must be among them"),
        ("a.ply", ply(CLOUD, "binary_middle_endian"), "'format binary_middle_endian 1.0', is not understood"),
        ("a.off", f"5 0 0\n{TEXT}", "does not begin with OFF"),
        ("a.off", f"OFF\n6 0 0\n{TEXT}", "it ends before its x y z"),
        ("a.off", f"OFF\n5 1 0\n{TEXT}\n3 0 1 9\n", "line 8: a face needs the numbers of 3 or more of the 5 corners"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "the surface has no area"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as raised:
        points(path=str(tmp_path), num_points=4)
    assert str(tmp_path / name) in str(raised.value) and said in str(raised.value)


def test_what_is_no_data_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="npz file or a folder"):
        points(path=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="has no clouds: it is empty"):
        points(path=str(tmp_path))
    (tmp_path / "one.xyz").write_text(TEXT)
    with pytest.raises(ValueError, match="name the folder"):
        points(path=str(tmp_path / "one.xyz"))
    with pytest.raises(ValueError, match="test_fraction"):
        points(path=str(tmp_path), test_fraction=1.0)
    file = tmp_path / "own.npz"
    x = np.ones((4, 9, 3))
    for arrays, kind, said in (
        (dict(x=np.ones((4, 9))), ValueError, r"must be \[N, P, 3\]"),
        (dict(points=x), ValueError, "unknown arrays"),
        (dict(x=x, length=np.array([9, 9, 0, 9])), ValueError, "row 2: `length` is 0"),
        (dict(x=x, label=np.ones(3, int)), ValueError, r"`label` is int64 \(3,\)"),
        (dict(x=np.where(np.arange(36).reshape(4, 9, 1) == 20, np.nan, x)), ValueError, "x row 2: point 2 is"),
        (dict(x=x.astype(str)), TypeError, "must be numbers"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(kind, match=said):
            points(path=str(file))
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        points(path=str(file))


def box_file(kind):
    trimesh = pytest.importorskip("trimesh")
    content = trimesh.creation.box((2, 4, 6)).export(file_type=kind)
    return content if isinstance(content, bytes) else content.encode()


@pytest.mark.parametrize("name, kind", [("a.stl", "stl"), ("b.STL", "stl_ascii"), ("c.obj", "obj"), ("d.glb", "glb")])
def test_meshes_are_sampled_over_their_surface(tmp_path, name, kind):
    """A box of 2 x 4 x 6: every face has its share of the points; what is up in a .glb file is the third axis."""
    (tmp_path / name).write_bytes(box_file(kind))
    x = points(path=str(tmp_path), num_points=8000).train.arrays["points"][0]
    sides = (2, 6, 4) if name == "d.glb" else (2, 4, 6)
    np.testing.assert_allclose(np.ptp(x, axis=0), sides, atol=1e-4)
    for axis, side in enumerate(sides):
        share = np.mean(np.abs(np.abs(x[:, axis] - x[:, axis].min() - side / 2) - side / 2) < 1e-4)
        others = np.prod(sides) / side
        assert share == pytest.approx(others / (2 * 4 + 2 * 6 + 4 * 6), abs=0.02)
    again = points(path=str(tmp_path), num_points=8000).train.arrays["points"][0]
    np.testing.assert_array_equal(x, again)


def test_the_pieces_of_a_scene_lie_where_it_puts_them(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.Scene(trimesh.creation.box((1, 1, 1)))
    scene.add_geometry(trimesh.creation.box((1, 1, 1)), transform=trimesh.transformations.translation_matrix((0, 9, 0)))
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    x = points(path=str(tmp_path), num_points=2000).train.arrays["points"][0]
    np.testing.assert_allclose(np.ptp(x, axis=0), (1, 1, 10), atol=1e-3)
    heights = x[:, 2] - x[:, 2].min()
    assert not ((heights > 1.001) & (heights < 8.999)).any(), "nothing lies between the two"


def test_meshes_without_faces_are_their_corners(tmp_path):
    (tmp_path / "a.obj").write_text("".join(f"v {x} {y} {z}\n" for x, y, z in CLOUD))
    found = np.sort(points(path=str(tmp_path), num_points=5).train.arrays["points"][0], axis=0)
    np.testing.assert_allclose(found, CENTRED, atol=1e-5)


def glb(change):
    """A .glb file of a box whose header is changed."""
    content = box_file("glb")
    length = int.from_bytes(content[12:16], "little")
    header = json.loads(content[20 : 20 + length])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    body = len(text).to_bytes(4, "little") + b"JSON" + text + content[20 + length :]
    return content[:8] + (12 + len(body)).to_bytes(4, "little") + body


def endless(header):
    header["accessors"].append({"componentType": 5126, "count": 10**12, "type": "VEC3"})


def repeated(header):
    node = next(n for n in header["nodes"] if "mesh" in n)
    header["nodes"] += [dict(mesh=node["mesh"]) for _ in range(10**5)]


def doubled(header):
    header["nodes"] += [dict(children=[0]), dict(children=[0])]


@pytest.mark.parametrize(
    "change, said",
    [
        (endless, r"what its arrays unpack to has .* MB, more than max_file_mb=16 allows"),
        (repeated, r"what its scene unpack to has .* MB, more than max_file_mb=16 allows"),
        (doubled, "a node of its scene has two parents"),
        (lambda h: h["buffers"].append({"uri": "/etc/passwd", "byteLength": 4}), "its contents lie in other files"),
        (lambda h: h["meshes"][0]["primitives"][0].update(mode=1), "it holds points or lines"),
        (lambda h: h.update(extensionsUsed=["KHR_draco_mesh_compression"]), "it is compressed"),
        (lambda h: h["meshes"][0]["primitives"][0].update(indices=99), "cannot be read as a .glb file"),
    ],
)
def test_what_a_glb_file_promises_is_compared_with_what_is_allowed_ahead_of_reading(tmp_path, change, said):
    (tmp_path / "a.glb").write_bytes(glb(change))
    with pytest.raises(ValueError, match=said) as error:
        points(path=str(tmp_path), num_points=4, max_file_mb=16)
    assert "a.glb" in str(error.value)


def test_materials_and_textures_of_a_mesh_are_not_opened(tmp_path):
    (tmp_path / "a.obj").write_text("mtllib a.mtl\nusemtl x\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    os.mkfifo(tmp_path / "a.mtl")
    assert points(path=str(tmp_path), num_points=4).train.size == 1


def test_meshes_need_trimesh_and_say_so(tmp_path, monkeypatch):
    (tmp_path / "a.stl").write_bytes(box_file("stl"))
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ImportError, match="reading .stl needs the package trimesh: pip install trimesh"):
        points(path=str(tmp_path), num_points=4)
