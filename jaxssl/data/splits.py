"""Held-out examples: rows that are drawn, files that are picked by their names, and the folders train and test.

The option of every source is `test_fraction`: the share that only the evaluation sees, where the data have no test set
of their own. A draw depends on the seed and on the groups alone, so that a run and its evaluation split alike.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

TRAIN_FOLDER = "train"
TEST_FOLDERS = ("val", "validation", "valid", "test")  # in the order in which they are taken
SPLIT_KEY = b"jaxssl image_folder"


def check_test_fraction(test_fraction: float) -> None:
    """Raises ValueError unless the share lies in [0, 1)."""
    if not 0 <= test_fraction < 1:
        raise ValueError(f"data.test_fraction={test_fraction!r}: must lie in 0..1, below 1.")


def hold_out(
    groups: np.ndarray, test_fraction: float, random: np.random.Generator, *, every_class: bool = False
) -> np.ndarray:
    """bool [N]: the rows that are held out, the same share of every group, drawn at random.

    Args:
      groups: int [N], the class of each row, -1 for none; zeros draw from all rows alike.
      test_fraction: the share.
      random: draws the groups in the order of their numbers.
      every_class: of a class with two rows or more at least one is held out, and of rows without a class none.
    """
    held_out = np.zeros(len(groups), bool)
    for group in np.unique(groups[groups >= 0] if every_class else groups):
        rows = random.permutation(np.flatnonzero(groups == group))
        count = round(test_fraction * len(rows))
        count = min(max(1, count), len(rows) - 1) if every_class else count
        held_out[rows[:count]] = True
    return held_out


def validation_rows(label: np.ndarray, share: float, seed: int, group: np.ndarray | None = None) -> np.ndarray:
    """bool [N]: the rows of a validation part, a share of every class, at least one of each; whole groups where there are.

    Args:
      label: int [N], -1 for none. A group whose rows are of several classes is of none.
      share: of the rows, or of the groups.
      seed: of the draw, which depends on labels and groups alone.
      group: int [N], rows of one number stay together; -1, or None: a row stands alone.

    Raises:
      ValueError: a share outside of (0, 1), or a single group.
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share!r}: must lie in 0..1, both excluded.")
    rows = np.arange(len(label))
    alone = rows if group is None else np.where(group < 0, rows + int(max(np.max(group), -1)) + 1, group)
    _, unit = np.unique(alone, return_inverse=True)
    count, random = int(unit.max()) + 1, np.random.default_rng(seed)
    if count < 2:
        raise ValueError("all training examples are of one group; two groups at least would be right.")
    least, most = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(least, unit, label)
    np.maximum.at(most, unit, label)
    kind = np.where(least == most, most, -1)
    held_out = np.zeros(count, bool)
    if (kind >= 0).any():
        held_out |= hold_out(kind, share, random, every_class=True)
    none = np.flatnonzero(kind < 0)
    held_out[random.permutation(none)[: round(share * len(none))]] = True
    if not held_out.any():  # no class has two
        held_out[random.permutation(count)[: min(max(1, round(share * count)), count - 1)]] = True
    return held_out[unit]


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of the first `count` examples of every class, in order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


def hold_out_names(names: Sequence[str], test_fraction: float) -> np.ndarray:
    """bool [N]: the names that are held out. A hash of each name decides, so that a new file moves no other one."""

    def picked(name: str) -> bool:
        digest = hashlib.blake2b(os.fsencode(name), key=SPLIT_KEY, digest_size=8).digest()
        return int.from_bytes(digest, "big") < test_fraction * 2**64

    return np.array([picked(name) for name in names], bool)


class FolderSplit(NamedTuple):
    """Files as their folders divide them."""

    train: list[str]
    test: list[str]
    unused: list[str]
    test_folder: str | None
    class_of: Callable[[str], str | None]


def split_by_folders(files: Sequence[str]) -> FolderSplit:
    """The files below folders called train and val, validation, valid or test, in capitals or not.

    The two lie side by side, at the top or further down: train/cat/1.png, cat/train/1.png and archive/train/cat/1.png
    are read alike. Of several test folders the first of TEST_FOLDERS counts; what lies outside of it and of train is
    `unused`. A folder train alone is looked through; beside other folders it is a class, such as railway trains. The
    class of a file is its top folder, train and the like left out.

    Args:
      files: relative names with '/'.
    """
    paths = {name: name.split("/") for name in files}
    for level in range(max((len(path) for path in paths.values()), default=1) - 1):
        found = _parts_at(paths.values(), level)
        if found is not None:
            break
    else:
        return FolderSplit(list(files), [], [], None, lambda name: _folder(name.split("/")[:-1], 0))
    groups: dict[str, list[str]] = {TRAIN_FOLDER: [], found: [], "": []}
    for name, path in paths.items():
        part = path[level].lower() if len(path) > level + 1 else ""
        groups[part if part in groups else ""].append(name)
    inner = {name: path[:level] + path[level + 1 : -1] for name, path in paths.items() if len(path) > level + 1}
    depth = 0
    if level:  # folders around the data set are no classes
        depths = range(max(map(len, inner.values())))
        depth = next((d for d in depths if len({_folder(inner[name], d) for name in groups[TRAIN_FOLDER]}) > 1), 0)
    return FolderSplit(
        groups[TRAIN_FOLDER],
        groups[found] if found else [],
        groups[""],
        found,
        lambda name: _folder(inner[name], depth),
    )


def _folder(folders: Sequence[str], depth: int) -> str | None:
    return folders[depth] if len(folders) > depth else None


def _parts_at(paths: Iterable[Sequence[str]], level: int) -> str | None:
    """The test folder at that level of the paths, '' for none beside a lone train; None where they are no split."""
    siblings: dict[tuple[str, ...], set[str]] = {}
    for path in paths:
        if len(path) > level + 1:
            siblings.setdefault(tuple(path[:level]), set()).add(path[level].lower())
    split = [names for names in siblings.values() if TRAIN_FOLDER in names and names & set(TEST_FOLDERS)]
    if split:
        return next(name for name in TEST_FOLDERS if any(name in names for names in split))
    return "" if level == 0 and list(siblings.values()) == [{TRAIN_FOLDER}] else None
