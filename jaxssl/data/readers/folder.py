"""The common part of readers of folders: files, labels, held-out files, and files that cannot be read.

`kind` is the word for a file in messages, such as "image".
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxssl.data.reading import kind_of
from jaxssl.data.source import Source
from jaxssl.data.splits import check_test_fraction, hold_out_names, split_by_folders
from jaxssl.names import shown

log = logging.getLogger(__name__)


def folder_splits(
    root: Path, endings: tuple[str, ...], *, label_from_folder: bool, test_fraction: float, kind: str
) -> tuple[list[str], list[str], Callable[[Sequence[str]], np.ndarray], tuple[str, ...] | None]:
    """(train files, test files, files -> labels int32 [N], class names or None), as data.readers.image_folder says.

    Args:
      root: the folder.
      endings: of the names of files, as (".png",).
      label_from_folder, test_fraction: as in `data.readers.image_folder`.
      kind: the word for a file in messages.
    """
    files = list_files(root, endings)
    if not files:
        raise ValueError(_nothing(root, endings, kind))
    train, test, unused, test_folder, class_of = split_by_folders(files)
    if unused:
        message = "%s: %d %ss outside of train and %s are not used"
        log.warning(message, shown(root), len(unused), kind, test_folder or "its sub-folders")
    labels_of, class_names = _labels(train, test, class_of if label_from_folder else None, root, kind)
    if not test and class_names and test_fraction > 0:
        train, test = _held_out(train, test_fraction, root, kind)
    return train, test, labels_of, class_names


def folder_source(
    root: Path,
    files: Sequence[str],
    labels_of: Callable[[Sequence[str]], np.ndarray],
    class_names: tuple[str, ...] | None,
    read_file: Callable[[Path], dict[str, Any]],
    blank: Mapping[str, np.ndarray],
    *,
    max_unreadable: float,
    kind: str,
) -> Source | None:
    """A source whose examples are the files, read when they are asked for, or None without files.

    Args:
      root: the folder.
      files: names of the files in it.
      labels_of: files -> labels int32 [N].
      class_names: names of the labels, or None.
      read_file: path -> arrays by name; raises OSError or ValueError for a file that cannot be read.
      blank, max_unreadable, kind: as in `lazy_source`.
    """
    load = lambda i: read_file(root / files[i])
    options = dict(root=root, max_unreadable=max_unreadable, kind=kind)
    return lazy_source(load, files, labels_of(files), class_names, blank, **options) if files else None


def lazy_source(
    load: Callable[[int], dict[str, Any]],
    names: Sequence[str],
    labels: np.ndarray,
    class_names: tuple[str, ...] | None,
    blank: Mapping[str, np.ndarray],
    *,
    root: Path,
    max_unreadable: float,
    kind: str,
) -> Source:
    """A source of examples that are read when they are asked for (see Source.fetch).

    Args:
      load: i -> arrays by name; an OSError or ValueError says that example i cannot be read.
      names, labels: of the examples, equally many.
      root: folder that messages name before the names.
      blank: the arrays that stand for an example that cannot be read; they say the shapes and types of all.
      max_unreadable: share of such examples (one at least, unless it is 0) beyond which fetch raises ValueError.
      class_names: names of the labels, or None.
    """
    size = len(names)
    unreadable = {}  # id -> reason
    lock = threading.Lock()

    def read(i):
        if i not in unreadable:
            try:
                return load(i)
            except (OSError, ValueError) as error:
                note_unreadable(i, error)
        if len(unreadable) > (max(1, max_unreadable * size) if max_unreadable else 0):
            raise ValueError(
                f"{len(unreadable)} of the {size} {kind}s in {shown(root)} that this split holds are unreadable, "
                f"more than max_unreadable={max_unreadable} allows; among them "
                f"{', '.join(shown(names[j]) for j in list(unreadable)[:5])}. "
                "Repair or remove them, or raise max_unreadable"
            )
        return None

    def note_unreadable(i, reason):
        with lock:
            if i in unreadable:
                return
            unreadable[i] = str(reason)
            count = len(unreadable)
        message = "unreadable %s %s (%s); %d of %d files so far"
        log.warning(message, kind, shown(root / names[i]), shown(unreadable[i]), count, size)

    def next_readable(i):
        for j in range(i, i + size):
            found = read(j % size)
            if found is not None:
                return j % size, found
        raise ValueError(f"none of the {size} {kind}s in {shown(root)} that this split holds is readable")

    def fetch(ids, substitute=True):
        ids = np.array(ids, np.int64)
        rows, mask = [], np.ones(len(ids), bool)
        for row, i in enumerate(ids.tolist()):
            if substitute:
                ids[row], found = next_readable(i)
            else:
                found = read(i)
                mask[row] = found is not None
            rows.append(blank if found is None else found)
        batch = {
            name: np.stack([row[name] for row in rows]) if rows else np.zeros((0, *np.shape(value)), value.dtype)
            for name, value in blank.items()
        }
        batch |= {"label": labels[ids], "index": ids.astype(np.int32)}
        return batch if substitute else batch | {"_mask": mask}

    return Source(
        size=size,
        fetch=fetch,
        class_names=class_names,
        names=lambda ids: [names[i] for i in ids],
        num_classes=len(class_names or ()) if (labels >= 0).any() else 0,
        columns={"label": labels},
    )


def check_folder_options(test_fraction: float, max_unreadable: float) -> None:
    """Raises ValueError on shares outside of 0 ... 1."""
    check_test_fraction(test_fraction)
    if not 0 <= max_unreadable <= 1:
        raise ValueError(f"data.max_unreadable={max_unreadable!r}: must lie in 0..1; it is a share of the files.")


def existing_folder(path: str | Path, kind: str) -> Path:
    """The folder that option `path` names. Raises: ValueError, FileNotFoundError, NotADirectoryError."""
    right = f"option `path` must name a folder with {kind}s or with one sub-folder of {kind}s for each class"
    if not path:
        raise ValueError(f"no folder was named; {right}; on the command line: --data FOLDER")
    root = Path(path).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"{shown(root)} does not exist; {right}")
    if not root.is_dir():
        raise NotADirectoryError(f"{shown(root)} is a file; {right}")
    return root


def list_files(root: Path, endings: tuple[str, ...]) -> list[str]:
    """Relative names of the files below root that end so, with '/', sorted.

    Hidden files and folders are passed over. Folders that cannot be listed, and pipes, devices and sockets, are skipped
    and named in the log. A link that leads nowhere is listed: it is a file that cannot be read.
    """
    files, folders = [], [(root, "", frozenset())]
    while folders:
        folder, prefix, parents = folders.pop()
        try:
            place = os.stat(folder)
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError as error:
            if not prefix:
                raise ValueError(f"{shown(root)} cannot be listed: {error.strerror or error}") from error
            log.warning("folder %s is skipped: it cannot be listed (%s)", shown(folder), error.strerror or error)
            continue
        place = (place.st_dev, place.st_ino)
        if place in parents:  # a link back to a folder above would never end
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append((entry.path, f"{prefix}{entry.name}/", parents | {place}))
            elif entry.name.lower().endswith(endings) and _may_be_read(entry):
                files.append(prefix + entry.name)
    return sorted(files)


def _is_folder(entry):
    try:
        return entry.is_dir()
    except OSError:  # it cannot be asked; reading it says why
        return False


def _may_be_read(entry):
    try:
        if entry.is_file():
            return True
        kind = kind_of(entry.stat().st_mode)
    except OSError:
        return True
    log.warning("%s is skipped: it is %s, no regular file", shown(entry.path), kind)
    return False


def _nothing(root, endings, kind):
    others = sorted({Path(name).suffix or name for _, _, names in os.walk(root) for name in names})
    found = f"it holds only {', '.join(map(shown, others[:8]))}" if others else "it is empty"
    return f"{shown(root)} has no {kind}s: {found}; files ending in {', '.join(endings)} would be right"


def _labels(train, test, class_of, root, kind):
    """A function from files to labels int32 [N], and the names of the classes or None."""
    names = () if class_of is None else tuple(sorted({class_of(name) for name in train} - {None}))
    if len(names) < 2:
        return (lambda files: np.full(len(files), -1, np.int32)), None
    strangers = {class_of(name) for name in test} - set(names) - {None}
    if strangers:
        raise ValueError(
            f"{shown(root)}: the test {kind}s have classes {sorted(strangers)[:5]} that the training "
            f"{kind}s lack; use the same sub-folders in both, or label_from_folder=False"
        )
    numbers = {name: i for i, name in enumerate(names)} | {None: -1}
    return (lambda files: np.array([numbers[class_of(name)] for name in files], np.int32)), names


def _held_out(files, test_fraction, root, kind):
    picked = hold_out_names(files, test_fraction)
    if picked.all():
        left = f"leaves none of the {len(files)} {kind}s for training"
        raise ValueError(f"{shown(root)}: test_fraction={test_fraction} {left}")
    return [f for f, p in zip(files, picked) if not p], [f for f, p in zip(files, picked) if p]
