"""Clouds and surfaces from the bytes of one file."""

import io
import json
import re

import numpy as np

from jaxssl.data.reading import check_size, decoded, lines_of
from jaxssl.data.sets.shapes import sample_surface


def _lines(content):
    return lines_of(decoded(content, "it is no text"))


def _numbers(text):
    return [float(word) for word in re.split(r"[\s,;]+", text.strip()) if word]


def read_lines(content: bytes) -> np.ndarray:
    """Points of a .xyz, .txt or .csv file."""
    rows = []
    for number, line in enumerate(_lines(content), 1):
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        try:
            values = _numbers(line)
            if len(values) < 3:
                raise ValueError
        except ValueError:
            # A heading, or the number of points that some .xyz files begin with.
            if not rows and number == 1:
                continue
            raise ValueError(f"line {number} is {line[:60]!r}; x y z would be right") from None
        rows.append(values[:3])
    return np.array(rows, np.float64).reshape(-1, 3)


def read_off(content: bytes, num_points: int, random: np.random.Generator) -> np.ndarray:
    """Points on the faces of a .off file, or its corners where it has none."""
    lines = [(i, line.split("#")[0].strip()) for i, line in enumerate(_lines(content), 1)]
    lines = [(i, line) for i, line in lines if line]
    if not lines or not lines[0][1].upper().startswith("OFF"):
        raise ValueError("it does not begin with OFF")
    # Some files have the counts in the first line, without a blank between.
    lines[0] = lines[0][0], lines[0][1][3:].strip()
    lines = lines if lines[0][1] else lines[1:]

    def read(i, needed, kind):
        if i >= len(lines):
            raise ValueError(f"it ends before its {kind}")
        number, line = lines[i]
        try:
            values = _numbers(line)
        except ValueError:
            values = []
        if len(values) < needed:
            raise ValueError(f"line {number} is {line[:60]!r}; {needed} numbers or more ({kind}) would be right")
        return values, number

    (corners, faces, *_), _ = read(0, 2, "counts of corners and faces")
    corners, faces = int(corners), int(faces)
    x = np.array([read(1 + i, 3, "x y z")[0][:3] for i in range(corners)]).reshape(-1, 3)
    triangles = []
    for i in range(faces):
        (count, *ids), number = read(1 + corners + i, 4, "a face")
        ids = [int(j) for j in ids[: int(count)]]
        if len(ids) < 3 or len(ids) != int(count) or not all(0 <= j < corners for j in ids):
            raise ValueError(f"line {number}: a face needs the numbers of 3 or more of the {corners} corners")
        triangles += [(ids[0], a, b) for a, b in zip(ids[1:], ids[2:])]
    return sample_surface(random, x[np.array(triangles)], num_points)[0] if triangles else x


PLY_TYPES = {
    **dict(char="i1", uchar="u1", short="i2", ushort="u2", int="i4", uint="u4", float="f4", double="f8"),
    **dict(int8="i1", uint8="u1", int16="i2", uint16="u2", int32="i4", uint32="u4", float32="f4", float64="f8"),
}
PLY_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


def read_ply(content: bytes) -> np.ndarray:
    """Corners of a .ply file."""
    head = re.match(rb"(?:\xef\xbb\xbf)?ply\r?\n.*?end_header\r?\n", content, re.S)
    if head is None:
        raise ValueError("it has no header from 'ply' to 'end_header'")
    body = content[head.end() :]
    kind, elements = None, []
    header = _lines(head.group())
    for number, line in enumerate(header, 1):
        match line.split():
            case ["format", name, *_] if name in PLY_FORMATS:
                kind = name
            case ["element", name, count] if count.isdecimal():
                elements.append((name, int(count), []))
            case ["property", "list", first, second, name] if elements and {first, second} <= PLY_TYPES.keys():
                elements[-1][2].append((name, None))
            case ["property", word, name] if elements and word in PLY_TYPES:
                elements[-1][2].append((name, PLY_TYPES[word]))
            case ["format" | "element" | "property", *_]:
                raise ValueError(f"line {number} of its header, {line!r}, is not understood")
    if kind is None:
        raise ValueError(f"its header names no format; one of {sorted(PLY_FORMATS)} would be right")
    if not elements or elements[0][0] != "vertex":
        raise ValueError("the first element of its header must be vertex")
    _, count, properties = elements[0]
    names = [name for name, _ in properties]
    if not {"x", "y", "z"} <= set(names) or any(dtype is None for _, dtype in properties):
        raise ValueError(f"a vertex has the properties {names}; plain x, y and z must be among them")
    if kind == "ascii":
        number, rows = len(header), []
        for line in _lines(body)[:count]:
            number += 1
            try:
                rows.append([float(word) for word in line.split()[: len(names)]])
            except ValueError:
                raise ValueError(f"line {number} is {line[:60]!r}; numbers would be right") from None
            if len(rows[-1]) < len(names):
                raise ValueError(f"line {number} is {line[:60]!r}; {len(names)} numbers would be right")
        table = np.array(rows, np.float64).reshape(-1, len(names))
        x = table[:, [names.index(axis) for axis in "xyz"]]
    else:
        dtype = np.dtype([(name, PLY_FORMATS[kind] + dtype) for name, dtype in properties])
        table = np.frombuffer(body, dtype, min(count, len(body) // dtype.itemsize))
        x = np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=-1)
    if len(x) < count:
        raise ValueError(f"it holds {len(x)} points of the {count} that its header promises")
    return x


# Formats that trimesh reads, of which the surface is sampled.
MESH_ENDINGS = (".stl", ".obj", ".glb")
GLB_TRIANGLES = (4, 5, 6)  # modes of a primitive: triangles, strips and fans of them
GLB_SIZES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
GLB_PARTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def read_mesh(
    content: bytes, ending: str, num_points: int, random: np.random.Generator, max_file_mb: float
) -> np.ndarray:
    """Points on the surface of a .stl, .obj or .glb file, or its corners where it has no faces: float64 [N, 3].

    Files that a mesh names, such as materials, are not opened. The vertical axis of a .glb file, which is the second one,
    becomes the third.

    Raises:
      ValueError: what is wrong with the file.
    """
    try:
        import trimesh
    except ImportError as error:
        raise ImportError(f"reading {ending} needs the package trimesh: pip install trimesh") from error
    if ending == ".glb":
        _check_glb(content, max_file_mb)
    try:
        options = dict(file_type=ending[1:], process=False, skip_materials=True)
        made = trimesh.load_scene(io.BytesIO(content), **options).to_geometry()
        corners, faces = np.asarray(made.vertices, np.float64), np.asarray(getattr(made, "faces", ()), np.int64)
    except Exception as error:  # damaged files fail in many ways
        raise ValueError(f"it cannot be read as a {ending} file: {str(error) or type(error).__name__}") from error
    if corners.ndim != 2 or corners.shape[1] != 3:
        raise ValueError("it holds no points")
    if faces.size and not 0 <= faces.min() <= faces.max() < len(corners):
        raise ValueError(f"a face has the corner {faces.max()}, but there are {len(corners)}")
    if ending == ".glb":
        corners = corners[:, [0, 2, 1]] * np.array([1, -1, 1])
    return sample_surface(random, corners[faces], num_points)[0] if faces.size else corners


def _check_glb(content, max_file_mb):
    """Raises ValueError for a .glb file that would unpack to more than is allowed, or that needs other files.

    A header of a few bytes can announce any size: arrays without contents, and meshes that nodes repeat.
    """
    try:
        length = int.from_bytes(content[12:16], "little")
        header = json.loads(content[20 : 20 + length])
        sizes = [
            max(int(a["count"]), 0) * GLB_SIZES[a["componentType"]] * GLB_PARTS[a["type"]]
            for a in header.get("accessors", [])
        ]
        primitives = [mesh["primitives"] for mesh in header.get("meshes", [])]
        # Every primitive makes arrays of float64 and int64 of what it names.
        of_mesh = [
            sum(
                8 * sizes[a]
                for p in parts
                for a in (*p["attributes"].values(), *([p["indices"]] if "indices" in p else []))
            )
            for parts in primitives
        ]
        nodes = header.get("nodes", [])
        children = [child for node in nodes for child in node.get("children", [])]
        shown_bytes = sum(of_mesh[node["mesh"]] for node in nodes if "mesh" in node)
        packed = {"KHR_draco_mesh_compression", "EXT_meshopt_compression"} & set(header.get("extensionsUsed", []))
        modes = {p.get("mode", 4) for parts in primitives for p in parts}
        named = [entry["uri"] for kind in ("buffers", "images") for entry in header.get(kind, []) if "uri" in entry]
    except Exception as error:  # damaged headers fail in many ways
        raise ValueError(f"it cannot be read as a .glb file: {str(error) or type(error).__name__}") from error
    for name, size in (("arrays", sum(sizes)), ("meshes", sum(of_mesh)), ("scene", shown_bytes)):
        check_size(size, max_file_mb, f"what its {name} unpack to")
    if len(set(children)) < len(children):
        raise ValueError("a node of its scene has two parents; a tree would be right")
    if packed:
        raise ValueError(f"it is compressed ({min(packed)}); a .glb file without compression would be right")
    if not modes <= set(GLB_TRIANGLES):
        raise ValueError("it holds points or lines; triangles would be right")
    if any(not str(name).startswith("data:") for name in named):
        raise ValueError("its contents lie in other files; one file that holds all would be right")
