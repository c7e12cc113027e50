"""A folder of image files, with or without sub-folders for classes."""

import numpy as np

from jaxssl.data.decode import MAX_PIXELS, decoder
from jaxssl.data.readers.folder import check_folder_options, existing_folder, folder_source, folder_splits
from jaxssl.data.reading import MAX_EXAMPLE_MB, read_bytes
from jaxssl.data.source import Splits

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")


def image_folder(
    *,
    path: str,
    image_size: int,
    channels: int = 3,
    label_from_folder: bool = True,
    test_fraction: float = 0.2,
    max_unreadable: float = 0.05,
    max_file_mb: float = MAX_EXAMPLE_MB,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """All images below a folder, decoded when they are asked for to uint8 [image_size, image_size, channels].

    Files: jpg, jpeg, png, webp, bmp, gif (first frame), with any channels and bits, at any depth of folders
    (links are followed), in the order of their names. Hidden files and all other files are passed over.
    Labels (for probes only): the top sub-folder, when `label_from_folder` and there are at least two of them.
    Test images: the folder val, validation, valid or test (the first that exists) beside a folder train, at the
    top (train/cat/1.png) or below the classes (cat/train/1.png), in capitals or not. Without such folders, a
    share of the labelled images is held out, and none of unlabelled ones.
    An unreadable file is logged, and the next readable one takes its place (see Source.fetch).
    Sub-folders that cannot be listed, and pipes, devices and sockets, are skipped and named in the log.
    Images of 16 bits whose values fill fewer, such as 12, are scaled by those, and the log says so (see data.decode).

    Args:
      path: the folder.
      image_size: height and width of every image in pixels.
      channels: 1 (grey) or 3 (RGB).
      label_from_folder: the top sub-folders are the classes.
      test_fraction: share of the labelled images that is held out where no folder is the test set. A hash of the
        relative name decides, so that a new file moves no other one.
      max_unreadable: share of the files of a split (one file at least, unless it is 0) beyond which fetch raises
        ValueError because they are unreadable.
      max_file_mb: a larger file is unreadable.
      max_pixels: so is an image of a larger width times height.

    Raises:
      FileNotFoundError, NotADirectoryError, ValueError: saying what would be right.
    """
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"data.image_size={image_size!r}: must be a whole number of pixels, at least 1.")
    if channels not in (1, 3):
        raise ValueError(f"data.channels={channels!r}: must be 1 (grey) or 3 (RGB).")
    check_folder_options(test_fraction, max_unreadable)
    root = existing_folder(path, "image")
    *parts, labels_of, class_names = folder_splits(
        root, ENDINGS, label_from_folder=label_from_folder, test_fraction=test_fraction, kind="image"
    )
    decode = decoder(image_size, channels, max_pixels=max_pixels)
    read = lambda file: {"image": decode(read_bytes(file, max_file_mb), file)}
    blank = {"image": np.zeros((image_size, image_size, channels), np.uint8)}
    options = dict(max_unreadable=max_unreadable, kind="image")
    return Splits(*(folder_source(root, files, labels_of, class_names, read, blank, **options) for files in parts))
