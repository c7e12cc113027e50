"""A folder of image files, with or without sub-folders for classes."""

import hashlib
import logging
import os
import threading
from pathlib import Path

import numpy as np

from jaxssl.data.decode import decoder
from jaxssl.data.source import Source, Splits

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
TEST_FOLDERS = ("val", "validation", "valid", "test")
SPLIT_KEY = b"jaxssl image_folder"

log = logging.getLogger(__name__)


def image_folder(
    *,
    path: str,
    image_size: int,
    channels: int = 3,
    label_from_folder: bool = True,
    test_fraction: float = 0.2,
    max_unreadable: float = 0.05,
) -> Splits:
    """All images below a folder, decoded when they are asked for to uint8 [image_size, image_size, channels].

    Files: jpg, jpeg, png, webp, bmp, gif (first frame), with any channels and bits, at any depth of folders
    (links are followed), in the order of their names. Hidden files and all other files are passed over.
    Labels (for probes only): the top sub-folder, when `label_from_folder` and there are at least two of them.
    Test images: the sub-folder val, validation, valid or test (the first that exists) beside a sub-folder
    train, whose own sub-folders are the classes; else, when there are labels, the share `test_fraction` that
    a hash of the relative name picks, so that a new file moves no other one; else none.
    An unreadable file is logged and its place taken by the next readable one (see Source.fetch). When more
    than the share `max_unreadable` (one file at least, unless it is 0) of the files of a split prove unreadable, fetch raises ValueError.
    Raises: FileNotFoundError, NotADirectoryError or ValueError saying what would be right.
    """
    _check_options(image_size, channels, test_fraction, max_unreadable)
    root = existing_folder(path)
    files = listed(root, ENDINGS)
    if not files:
        raise ValueError(nothing_found(root, ENDINGS))
    train, test, depth = official_split(root, files)
    labels_of, class_names = folder_labels(train, test, depth if label_from_folder else None, root)
    if not test and class_names and test_fraction > 0:
        train, test = hashed_split(train, test_fraction, root)
    decode = decoder(image_size, channels)
    shape = (image_size, image_size, channels)

    def source(files):
        load = lambda i: decode((root / files[i]).read_bytes())
        options = dict(shape=shape, root=root, max_unreadable=max_unreadable)
        return lazy_source(load, files, labels_of(files), class_names, **options) if files else None

    return Splits(source(train), source(test))


def lazy_source(load, names, labels, class_names, *, shape, root, max_unreadable, array="image", kind="images"):
    """A source of examples that are read when they are asked for (see Source.fetch).

    Args:
      load: i -> uint8 `shape`; an OSError or ValueError says that example i is unreadable.
      names, labels: of the examples, equally many.
      root: folder that messages name ahead of `names`.
      max_unreadable: share of unreadable examples (one at least, unless it is 0) beyond which fetch raises ValueError.
      array, kind: name of the array in the batches, and what messages call many of them.
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
                f"{len(unreadable)} of the {size} {kind} in {root} that this split holds are unreadable, "
                f"more than max_unreadable={max_unreadable} allows; among them "
                f"{', '.join(names[j] for j in list(unreadable)[:5])}. "
                "Repair or remove them, or raise max_unreadable"
            )
        return None

    def note_unreadable(i, reason):
        with lock:
            if i in unreadable:
                return
            unreadable[i] = str(reason)
            count = len(unreadable)
        log.warning("unreadable %s %s (%s); %d of %d files so far", array, root / names[i], reason, count, size)

    def next_readable(i):
        for j in range(i, i + size):
            image = read(j % size)
            if image is not None:
                return j % size, image
        raise ValueError(f"none of the {size} {kind} in {root} that this split holds is readable")

    def fetch(ids, substitute=True):
        ids = np.array(ids, np.int64)
        images = np.zeros((len(ids), *shape), np.uint8)
        mask = np.ones(len(ids), bool)
        for row, i in enumerate(ids.tolist()):
            if substitute:
                ids[row], images[row] = next_readable(i)
                continue
            image = read(i)
            mask[row] = image is not None
            images[row] = 0 if image is None else image
        batch = {array: images, "label": labels[ids], "index": ids.astype(np.int32)}
        return batch if substitute else batch | {"_mask": mask}

    return Source(
        size=size,
        fetch=fetch,
        class_names=class_names,
        names=lambda ids: [names[i] for i in ids],
        num_classes=len(class_names or ()) if (labels >= 0).any() else 0,
    )


def _check_options(image_size, channels, test_fraction, max_unreadable):
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size {image_size!r} must be a whole number of pixels, at least 1")
    if channels not in (1, 3):
        raise ValueError(f"channels {channels!r} must be 1 (grey) or 3 (RGB)")
    if not 0 <= test_fraction < 1:
        raise ValueError(f"test_fraction {test_fraction!r} must lie in 0..1, below 1")
    if not 0 <= max_unreadable <= 1:
        raise ValueError(f"max_unreadable {max_unreadable!r} must lie in 0..1; it is a share of the files")


def existing_folder(path, kind="images"):
    """`path` as a folder that is there; `kind`, here and below, is what messages call the files."""
    right = f"option `path` must name a folder with {kind} or with one sub-folder of {kind} for each class"
    if not path:
        raise ValueError(f"no folder was named; {right}; on the command line: --data FOLDER")
    root = Path(path).expanduser()
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; {right}")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; {right}")
    return root


def listed(root, endings):
    """Relative names of the files below root with one of the endings (small letters), with '/', sorted."""
    files = []

    def walk(folder, prefix, parents):
        place = os.stat(folder)
        place = (place.st_dev, place.st_ino)
        if place in parents:  # a link back to a folder above would never end
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    walk(entry.path, f"{prefix}{entry.name}/", parents | {place})
                elif entry.name.lower().endswith(endings):
                    files.append(prefix + entry.name)

    walk(root, "", frozenset())
    return sorted(files)


def nothing_found(root, endings, kind="images"):
    """What to say of a folder without such files."""
    others = sorted({Path(name).suffix or name for _, _, names in os.walk(root) for name in names})
    found = f"it holds only {', '.join(others[:8])}" if others else "it is empty"
    return f"{root} has no {kind}: {found}; files ending in {', '.join(endings)} would be right"


def official_split(root, files, kind="images"):
    """(train files, test files, position of the class folder in a name)."""
    tops = {name.split("/")[0] for name in files if "/" in name}
    if "train" not in tops:
        return files, [], 0
    test_folder = next((name for name in TEST_FOLDERS if name in tops), None)
    if test_folder is None and tops != {"train"}:
        return files, [], 0  # `train` is a class among others, such as railway trains
    train = [name for name in files if name.startswith("train/")]
    test = [name for name in files if test_folder and name.startswith(f"{test_folder}/")]
    if len(train) + len(test) < len(files):
        log.warning(
            "%s: %d %s outside of train and %s are not used",
            root,
            len(files) - len(train) - len(test),
            kind,
            test_folder,
        )
    return train, test, 1


def folder_labels(train, test, depth, root, kind="images"):
    """A function from files to labels int32 [N], and the names of the classes or None."""

    def folder(name):
        parts = name.split("/")
        return parts[depth] if len(parts) > depth + 1 else None

    names = () if depth is None else tuple(sorted({folder(name) for name in train} - {None}))
    if len(names) < 2:
        return (lambda files: np.full(len(files), -1, np.int32)), None
    strangers = {folder(name) for name in test} - set(names) - {None}
    if strangers:
        raise ValueError(
            f"{root}: the test {kind} have classes {sorted(strangers)[:5]} that the training "
            f"{kind} lack; use the same sub-folders in both, or label_from_folder=False"
        )
    numbers = {name: i for i, name in enumerate(names)} | {None: -1}
    return (lambda files: np.array([numbers[folder(name)] for name in files], np.int32)), names


def hashed_split(files, test_fraction, root, kind="images"):
    """(train files, test files) by a hash of the relative name."""

    def is_test(name):
        digest = hashlib.blake2b(os.fsencode(name), key=SPLIT_KEY, digest_size=8).digest()
        return int.from_bytes(digest, "big") < test_fraction * 2**64

    picked = [is_test(name) for name in files]
    if all(picked):
        raise ValueError(f"{root}: test_fraction={test_fraction} leaves none of the {len(files)} {kind} for training")
    return [f for f, p in zip(files, picked) if not p], [f for f, p in zip(files, picked) if p]
