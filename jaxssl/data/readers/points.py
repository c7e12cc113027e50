"""Clouds of points in space, from a .npz file or a folder of files.

A source has `points` float32 [N, P, 3] (x, y, z; the third axis is the vertical one), the same number of points in
every cloud. The augmentations move each cloud into the unit sphere.
"""

import dataclasses
import hashlib
import os
from pathlib import Path

import numpy as np

from jaxssl.data.readers.folder import folder_splits
from jaxssl.data.readers.meshes import MESH_ENDINGS, read_lines, read_mesh, read_off, read_ply
from jaxssl.data.readers.npz import load_parts, padded_part
from jaxssl.data.reading import MAX_FILE_MB, read_bytes
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import check_test_fraction, hold_out
from jaxssl.names import shown

ENDINGS = (".xyz", ".txt", ".csv", ".ply", ".off", *MESH_ENDINGS)


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
      first; separated by blanks, commas or semicolons), .ply (ASCII or binary, its corners), .off, .stl, .obj and .glb
      (the surface is sampled; without faces the corners are the points), at any depth. The top sub-folders are the
      classes, when there are at least two.
      Folders called train and val, validation, valid or test are the split (see jaxssl.data.splits).

    Clouds with more points are thinned out at random; in those with fewer, points are repeated.

    Links to folders are followed. Folders that cannot be listed, and pipes, devices and sockets, are skipped and named
    in the log.

    Args:
      path: the file or folder.
      num_points: P, for every cloud.
      test_fraction: share of the labelled clouds of each class that are held out where there is no test set; 0 for
        none. Without labels nothing is held out.
      seed: of the choice of points and of the held-out clouds.
      max_file_mb: a larger file is refused, and one that unpacks to more.

    Raises:
      FileNotFoundError, ValueError, TypeError: naming the file, the line or row, and what would be right.
    """
    check_num_points(num_points)
    check_test_fraction(test_fraction)
    where = Path(path).expanduser()
    if not path or not where.exists():
        right = "option `path` must name a .npz file or a folder of clouds"
        raise FileNotFoundError(f"'{shown(path)}' does not exist; {right}")
    if not where.is_dir() and where.suffix.lower() != ".npz":
        raise ValueError(f"{shown(where)}: a file must be .npz; for {', '.join(ENDINGS)} name the folder of them")
    read = _read_folder if where.is_dir() else _read_npz
    parts, class_names = read(where, num_points, seed, max_file_mb)
    if len(parts) == 1 and test_fraction and (parts[0].label >= 0).any():
        random = np.random.default_rng([seed, 1])
        held_out = hold_out(parts[0].label, test_fraction, random, every_class=True)
        parts = [parts[0].rows(np.flatnonzero(chosen)) for chosen in (~held_out, held_out) if chosen.any()]
    made = [_source(part, class_names, where) for part in parts]
    count = max(source.num_classes for source in made)  # a class may be absent from one of them
    return Splits(*(dataclasses.replace(s, num_classes=count) if s.has_labels else s for s in made))


def check_num_points(num_points: int) -> None:
    """Raises ValueError unless the number of points of a cloud is a whole number of at least 1."""
    if not isinstance(num_points, int) or num_points < 1:
        raise ValueError(f"data.num_points={num_points!r}: must be a whole number of at least 1.")


@dataclasses.dataclass
class _Part:
    """Clouds [N, P, 3], their labels, and the name of each."""

    points: np.ndarray
    label: np.ndarray
    names: list

    def rows(self, ids):
        return _Part(self.points[ids], self.label[ids], [self.names[i] for i in ids])


def _source(part, class_names, where):
    source = from_arrays({"points": part.points, "label": part.label}, class_names=class_names, where=shown(where))
    return dataclasses.replace(source, names=lambda ids: [part.names[i] for i in np.asarray(ids)])


def resample(x: np.ndarray, count: int, *, name: str, seed: int = 0) -> np.ndarray:
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
    x, length, label, names = padded_part(data, prefix, file, shapes="[N, P, 3]", channels=3)
    rows = [resample(x[i, : length[i]], num_points, name=names[i], seed=seed) for i in range(len(x))]
    return _Part(np.stack(rows), label, names)


def _read_folder(root, num_points, seed, max_file_mb):
    """([training part, test part where there is one], class names or None)."""
    train, test, labels_of, class_names = folder_splits(
        root, ENDINGS, label_from_folder=True, test_fraction=0.0, kind="cloud"
    )

    def part(files):
        clouds = [_read_cloud(root / f, num_points, seed, max_file_mb, name=f) for f in files]
        return _Part(np.stack(clouds), labels_of(files), files)

    return [part(files) for files in (train, test) if files], class_names


def _read_cloud(file, num_points, seed, max_file_mb, *, name):
    """The cloud of one file, [num_points, 3]; `name` says which points are drawn."""
    content = read_bytes(file, max_file_mb)
    ending = file.suffix.lower()
    random = np.random.default_rng([seed, *hashlib.sha256(os.fsencode(name)).digest()[:8]])
    try:
        if ending in MESH_ENDINGS:
            x = read_mesh(content, ending, num_points, random, max_file_mb)
        elif ending == ".off":
            x = read_off(content, num_points, random)
        else:
            x = read_ply(content) if ending == ".ply" else read_lines(content)
        if not len(x):
            raise ValueError("it holds no points")
        return resample(x, num_points, name=name, seed=seed)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f"{shown(file)}: {str(error).removeprefix(f'{shown(name)}: ')}") from error
