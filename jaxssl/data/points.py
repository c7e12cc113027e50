"""Clouds of points in space: generated solids with known classes and parts, raised images, files of one's own.

A source has `points` float32 [N, P, 3] (x, y, z; the third axis is the vertical one), the same number of points in
every cloud. The augmentations move each cloud into the unit sphere.
"""

import dataclasses
import hashlib
import os
import re
from pathlib import Path

import numpy as np

from jaxssl.data.arrays import load_parts
from jaxssl.data.fashion_mnist import fashion_mnist_12k
from jaxssl.data.folder import list_files
from jaxssl.data.reading import MAX_FILE_MB, decoded, lines_of, read_bytes
from jaxssl.data.solids import SOLIDS, sample_surface, unit_sphere
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

ENDINGS = (".xyz", ".txt", ".csv", ".ply", ".off")
CLASSES = tuple(SOLIDS)


def solids(
    *,
    train: int = 3000,
    test: int = 750,
    num_points: int = 256,
    noise: float = 0.03,
    visible: float = 0.6,
    outliers: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Generated clouds of 15 classes, as a scanner sees things: `points` [N, P, 3], `part` int8 [N, P], `label`.

    A solid is drawn with random proportions, stretched along each axis by up to a third, turned about the vertical
    axis, and seen from one random side: of points uniform on its surface only the nearest ones remain. The surface is
    that of all parts, inner ones too; nothing hides behind another thing. The same options give the same arrays.

    Args:
      train, test: number of clouds.
      num_points: P.
      noise: standard deviation of every coordinate, in a cloud that fills the unit sphere.
      visible: share of the points nearest to the viewer that remain; 1 for all.
      outliers: share of points that lie anywhere in the cube around the cloud; their part is -1.
      seed: of everything.
    """
    for name, count in (("train", train), ("test", test)):
        if count < len(CLASSES):
            raise ValueError(f"data.{name}={count}: must be at least {len(CLASSES)}, one cloud of each class")
    _check_num_points(num_points)
    for name, value in (("visible", visible), ("outliers", outliers)):
        if not 0 <= value <= 1 or name == "visible" and not value:
            raise ValueError(f"data.{name}={value}: must be a share, from 0 to 1")
    if not noise >= 0:
        raise ValueError(f"data.noise={noise}: must be at least 0")
    options = dict(num_points=num_points, noise=noise, visible=visible, outliers=outliers)
    parts = (_solids(np.random.default_rng([seed, i]), count, **options) for i, count in enumerate((train, test)))
    return Splits(*(from_arrays(part, class_names=CLASSES, where="solids") for part in parts))


def _solids(random, count, *, num_points, noise, visible, outliers):
    """`points`, `part` and `label` of so many clouds."""
    label = random.permutation(np.arange(count) % len(CLASSES))
    points = np.empty((count, num_points, 3), np.float32)
    part = np.empty((count, num_points), np.int8)
    for n in range(count):
        parts = SOLIDS[CLASSES[label[n]]](random)
        number = np.repeat(np.arange(len(parts)), [len(triangles) for triangles in parts])
        triangles = np.concatenate(parts) * np.exp(random.uniform(-0.3, 0.3, 3))
        angle = random.uniform(0, 2 * np.pi)
        x, chosen = sample_surface(random, triangles @ about_vertical(angle).T, int(np.ceil(num_points / visible)))
        side = random.normal(size=3)
        # Random among those seen, so that the order of the points says nothing.
        seen = random.permutation(np.argsort(-(x @ side))[:num_points])
        x = unit_sphere(x[seen]) + noise * random.normal(size=(num_points, 3))
        stray = random.random(num_points) < outliers
        points[n] = np.where(stray[:, None], random.uniform(-1, 1, x.shape), x)
        part[n] = np.where(stray, -1, number[chosen[seen]])
    return {"points": points, "part": part, "label": label}


def about_vertical(angle):
    """The matrix that turns by an angle about the third axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def fashion_clouds(*, limit: int | None = 5000, num_points: int = 256, seed: int = 0) -> Splits:
    """Images of Fashion-MNIST as clouds: `points` [N, P, 3], 5,000 for training and 1,000 for testing, ten classes.

    A point is a pixel, drawn with replacement in proportion to its brightness, at a random place in its square; its
    depth is 0.3 of its brightness. The axes are right, depth, up, and the image is 2 wide and high.

    Args:
      limit: number of training images of the bundled part, with a fifth as many test images; None for all 10,000.
      num_points: P.
      seed: of the draw of pixels.

    Source: Xiao, Rasul, Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747, https://arxiv.org/abs/1708.07747
    """
    _check_num_points(num_points)
    made = []
    for i, source in enumerate(fashion_mnist_12k(limit=limit)):
        random, image = np.random.default_rng([seed, i]), source.arrays["image"][..., 0] / 255
        clouds = np.stack([_raised(random, picture, num_points) for picture in image])
        arrays = {"points": clouds, "label": source.arrays["label"]}
        made.append(from_arrays(arrays, class_names=source.class_names, where="fashion_clouds"))
    return Splits(*made)


def _raised(random, image, count):
    """A picture [H, W] in 0 ... 1 as so many points [count, 3]."""
    share = np.cumsum(image.ravel())
    pixel = np.minimum(np.searchsorted(share, random.random(count) * share[-1], side="right"), image.size - 1)
    row, column = np.divmod(pixel, image.shape[1])
    place = np.stack([column, image.shape[0] - 1 - row], axis=-1) + random.random((count, 2))
    place = 2 * place / np.array([image.shape[1], image.shape[0]]) - 1
    return np.float32(np.stack([place[:, 0], 0.3 * image.ravel()[pixel], place[:, 1]], axis=-1))


def points(
    *,
    path: str,
    num_points: int = 512,
    test_fraction: float = 0.2,
    seed: int = 0,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """Clouds of one's own: a .npz file, or a folder of files, one cloud each.

    FILE.npz: `x` [N, P, 3], numbers, and where they are there `length` int [N] (cloud n ends after length[n] points)
      and `label` int [N] (-1 = none). Or `train_x`, `train_length`, `train_label` and `test_x`, ...; `class_names`
      (strings) may name the classes.
    Folder: .xyz, .txt and .csv (a line a point, the first three numbers are x, y, z; one line of headings may come
      first; separated by blanks, commas or semicolons), .ply (ASCII or binary), .off (its surface is sampled; without
      faces its corners are the points), at any depth. The top sub-folders are the classes, when there are at least two.
      Files below a folder named test (any case) are the test set, when there is also one named train.

    Clouds with more points are thinned out at random; in those with fewer, points are repeated.

    Args:
      path: the file or folder.
      num_points: P, for every cloud.
      test_fraction: share of the labelled clouds of each class that are held out where there is no test set; 0 for
        none. Without labels nothing is held out.
      seed: of the choice of points and of what is held out.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Links to folders are followed. Folders that cannot be listed, and pipes, devices and sockets, are skipped and named
    in the log.

    Raises: FileNotFoundError; ValueError or TypeError naming the file, the line or row, and what would be right.
    """
    _check_num_points(num_points)
    if not 0 <= test_fraction < 1:
        raise ValueError(f"data.test_fraction={test_fraction}: must lie in [0, 1)")
    where = Path(path).expanduser()
    if not path or not where.exists():
        right = "option `path` must name a .npz file or a folder of clouds"
        raise FileNotFoundError(f"'{shown(path)}' does not exist; {right}")
    if not where.is_dir() and where.suffix.lower() != ".npz":
        raise ValueError(f"{shown(where)}: a file must be .npz; for {', '.join(ENDINGS)} name the folder of them")
    read = _read_folder if where.is_dir() else _read_npz
    parts, class_names = read(where, num_points, seed, max_file_mb)
    if len(parts) == 1 and test_fraction and (parts[0].label >= 0).any():
        held_out = _held_out(parts[0].label, test_fraction, seed)
        parts = [parts[0].rows(np.flatnonzero(chosen)) for chosen in (~held_out, held_out) if chosen.any()]
    made = [_source(part, class_names, where) for part in parts]
    count = max(source.num_classes for source in made)  # a class may be absent from one of them
    return Splits(*(dataclasses.replace(s, num_classes=count) if s.has_labels else s for s in made))


def _check_num_points(num_points):
    if not isinstance(num_points, int) or num_points < 1:
        raise ValueError(f"data.num_points={num_points!r}: must be a whole number of at least 1")


@dataclasses.dataclass
class _Part:
    """Clouds [N, P, 3], their labels, and what each is called."""

    points: np.ndarray
    label: np.ndarray
    names: list

    def rows(self, ids):
        return _Part(self.points[ids], self.label[ids], [self.names[i] for i in ids])


def _source(part, class_names, where):
    source = from_arrays({"points": part.points, "label": part.label}, class_names=class_names, where=shown(where))
    return dataclasses.replace(source, names=lambda ids: [part.names[i] for i in np.asarray(ids)])


def _held_out(label, fraction, seed):
    """bool [N]: a fixed draw of the labelled rows of each class; at least one of each class that has two."""
    random, chosen = np.random.default_rng([seed, 1]), np.zeros(len(label), bool)
    for c in np.unique(label[label >= 0]):
        rows = random.permutation(np.flatnonzero(label == c))
        chosen[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
    return chosen


def resample(x, count, *, name, seed=0):
    """Exactly `count` of the points [P, 3], float32: some at random, or all and some of them again.

    The draw depends on `name` and `seed` only. Raises: ValueError naming a point that is no finite number.
    """
    x = np.asarray(x)
    bad = np.flatnonzero(~np.isfinite(x).all(1))
    if len(bad):
        raise ValueError(f"{shown(name)}: point {bad[0]} is {x[bad[0]].tolist()}; finite numbers would be right")
    digest = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big")
    random, size = np.random.default_rng([seed, digest]), len(x)
    if size >= count:
        ids = random.permutation(size)[:count]
    else:
        ids = np.concatenate([np.arange(size), random.integers(0, size, count - size)])
    # Clouds may lie far from the origin (metres in a map): subtract before float32 loses what tells points apart.
    with np.errstate(over="ignore", invalid="ignore"):
        cloud = np.float32(x[ids] - x.mean(0))
    if not np.isfinite(cloud).all():
        raise ValueError(f"{shown(name)}: its points lie too far apart for float32")
    return cloud


def _read_npz(file, num_points, seed, max_file_mb):
    """([training part, test part where there is one], class names or None)."""
    data, prefixes, names = load_parts(file, ("x", "length", "label"), max_file_mb)
    return [_npz_part(data, prefix, shown(file), num_points, seed) for prefix in prefixes], names


def _npz_part(data, prefix, file, num_points, seed):
    x = data[prefix + "x"]
    if not (np.issubdtype(x.dtype, np.floating) or np.issubdtype(x.dtype, np.integer)):
        raise TypeError(f"{file}: `{prefix}x` is {x.dtype}; it must be numbers")
    if x.ndim != 3 or x.shape[2] != 3 or not x.size:
        raise ValueError(f"{file}: `{prefix}x` has shape {x.shape}; it must be [N, P, 3]")
    count, size = x.shape[:2]
    length = data.get(prefix + "length", np.full(count, size))
    label = data.get(prefix + "label", np.full(count, -1))
    for name, value in (("length", length), ("label", label)):
        if value.shape != (count,) or not np.issubdtype(value.dtype, np.integer):
            raise ValueError(f"{file}: `{prefix}{name}` is {value.dtype} {value.shape}; whole numbers [{count}] fit")
    wrong = np.flatnonzero((length < 1) | (length > size))
    if len(wrong):
        raise ValueError(f"{file}, row {wrong[0]}: `{prefix}length` is {length[wrong[0]]}; it must be in 1 ... {size}")
    names = [f"{file}, {prefix}x row {i}" for i in range(count)]
    rows = [resample(x[i, : length[i]], num_points, name=names[i], seed=seed) for i in range(count)]
    return _Part(np.stack(rows), label, names)


def _read_folder(root, num_points, seed, max_file_mb):
    """([training part, test part where there is one], class names or None)."""
    files = sorted(map(Path, list_files(root, ENDINGS)))
    if not files:
        raise ValueError(f"{shown(root)} holds no cloud; files ending in {', '.join(ENDINGS)} would be right")
    folders = lambda f: [s.lower() for s in f.parts[:-1]]
    official = all(any(name in folders(f) for f in files) for name in ("train", "test"))
    # Of dataset/test/chair/1.off and of dataset/chair/test/1.off alike, the class is chair.
    inner = lambda f: [s for s in f.parts[:-1] if not (official and s.lower() in ("train", "test"))]
    tops = sorted({inner(f)[0] for f in files if inner(f)})
    class_names = tops if len(tops) > 1 else None
    groups = {False: [], True: []}
    for file in files:
        groups[official and "test" in folders(file)].append(file)

    def part(group):
        clouds = [_read_cloud(root / f, num_points, seed, max_file_mb, name=str(f)) for f in group]
        label = [tops.index(inner(f)[0]) if class_names and inner(f) else -1 for f in group]
        return _Part(np.stack(clouds), np.array(label, np.int32), [str(f) for f in group])

    return [part(group) for group in groups.values() if group], class_names


def _read_cloud(file, num_points, seed, max_file_mb, *, name):
    """The cloud of one file, [num_points, 3]; `name` says which points are drawn."""
    content = read_bytes(file, max_file_mb)
    try:
        if file.suffix.lower() == ".off":
            random = np.random.default_rng([seed, *hashlib.sha256(os.fsencode(name)).digest()[:8]])
            x = _read_off(content, num_points, random)
        else:
            x = _read_ply(content) if file.suffix.lower() == ".ply" else _read_lines(content)
        if not len(x):
            raise ValueError("it holds no points")
        return resample(x, num_points, name=name, seed=seed)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{shown(file)}: {str(error).removeprefix(f'{shown(name)}: ')}") from error


def _lines(content):
    return lines_of(decoded(content, "it is no text"))


def _numbers(text):
    return [float(word) for word in re.split(r"[\s,;]+", text.strip()) if word]


def _read_lines(content):
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


def _read_off(content, num_points, random):
    """Points on the faces of a .off file, or its corners where it has none."""
    lines = [(i, line.split("#")[0].strip()) for i, line in enumerate(_lines(content), 1)]
    lines = [(i, line) for i, line in lines if line]
    if not lines or not lines[0][1].upper().startswith("OFF"):
        raise ValueError("it does not begin with OFF")
    # Some files have the counts in the first line, without so much as a blank.
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


def _read_ply(content):
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
