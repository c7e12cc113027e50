"""Folders of video files.

A source has `video` uint8 [N, T, H, W, C], T frames of a video or of a piece of one.
"""

import dataclasses
import logging

import numpy as np

from jaxssl.data.decode import MAX_PIXELS, check_pixels
from jaxssl.data.readers.folder import check_folder_options, existing_folder, folder_splits, lazy_source
from jaxssl.data.reading import MAX_FILE_MB, regular_file
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

ENDINGS = (".mp4", ".webm", ".avi", ".mkv", ".mov")
# Formats that FFmpeg may read. Playlists are left out, because they make it open other files and addresses.
FORMATS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,flv,ogg,asf,h264,hevc,ivf,m4v,nut,mxf,dv,rm,gif,wtv"
MAX_PAIRS = 256  # of neighbouring pieces, for the evaluation

log = logging.getLogger(__name__)


def video_folder(
    *,
    path: str,
    frames: int = 32,
    size: int | tuple[int, int] = 64,
    frame_step: int = 2,
    stride: int | None = None,
    channels: int = 3,
    label_from_folder: bool = True,
    test_fraction: float = 0.2,
    max_unreadable: float = 0.05,
    memory_gb: float | None = 4.0,
    max_file_mb: float = MAX_FILE_MB,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """All videos below a folder, cut into pieces: `video` uint8 [N, frames, height, width, channels].

    Files: mp4, webm, avi, mkv, mov, at any depth of folders (links are followed), in the order of their names. Hidden
    files and all other files are passed over. Frames are turned as the file asks for, scaled so that they cover
    `size`, and cut to it around the centre. `file` int32 [N] says which pieces are of one video.
    Labels (for probes only) and test videos: as in data.readers.image_folder, whole videos at a time.
    A file that cannot be read is named in the log and left out; so is one too short for a piece. Where decoding fails on
    the way, the frames before the failure are used.
    For the evaluation: `extra['neighbours']`, pairs of consecutive pieces of one video, from the test videos, or from all
    videos where there are no test videos.

    Args:
      path: the folder.
      frames: T of a piece.
      size: pixels, or (height, width).
      frame_step: every k-th frame of the file is taken.
      stride: taken frames between the starts of neighbouring pieces; None: `frames`, so that none overlap.
      channels: 1 (grey) or 3 (RGB).
      label_from_folder, test_fraction: as in data.readers.image_folder.
      max_unreadable: share of unreadable files (one file at least, unless it is 0) beyond which there is an error.
      memory_gb: limit of the memory; more is an error, before it runs out. None: pieces are read from their files
        when they are asked for, for data.mode='stream'; there are then no `file` and no neighbours, and a piece that proves
        unreadable is replaced by the next (see data.readers.image_folder).
      max_file_mb: a larger file is unreadable.
      max_pixels: so is one whose frames have a larger width times height.

    Raises:
      FileNotFoundError, NotADirectoryError, ImportError, ValueError: saying what would be right.
    """
    size = (size, size) if isinstance(size, int) else tuple(size)
    stride = frames if stride is None else stride
    _check_options(frames, size, frame_step, stride, channels, test_fraction, max_unreadable)
    most_bytes = float("inf") if memory_gb is None else memory_gb * 1e9
    # Of one file; the frames before a piece are held too.
    most_frames = max(frames, most_bytes / (size[0] * size[1] * channels))
    decode, stamps, load = _decoder(size, frame_step, channels, most_frames, max_file_mb, max_pixels)
    root = existing_folder(path, "video")
    train, test, labels_of, class_names = folder_splits(
        root, ENDINGS, label_from_folder=label_from_folder, test_fraction=test_fraction, kind="video"
    )
    reader = _Reader(
        root,
        stamps if memory_gb is None else decode,
        frames,
        stride,
        frame_step,
        max_unreadable,
        most_bytes,
        most_frames,
        len(train) + len(test),
    )
    parts = {name: reader.read(part) for name, part in (("train", train), ("test", test))}
    reader.check_all()
    if not parts["train"].video:
        raise ValueError(f"{shown(root)}: no training video gave a piece of {frames} frames; {reader.found()}")
    if memory_gb is None:
        blank = {"video": np.zeros((frames, *size, channels), np.uint8)}
        options = dict(root=root, max_unreadable=max_unreadable, kind="piece")

        def lazy(part):
            one = lambda i: {"video": load(root / part.file[i], part.video[i].tolist())}
            names = part.names()
            if not names:
                return None
            made = lazy_source(one, names, labels_of(part.file), class_names, blank, **options)
            return dataclasses.replace(made, columns={**made.columns, "file": part.file_numbers()}, group="file")

        return Splits(lazy(parts["train"]), lazy(parts["test"]))
    sources = [_source(part, labels_of, class_names, root) for part in parts.values() if part.video]
    held = parts["test"] if parts["test"].video else parts["train"]
    pairs = _neighbours(held, frames, stride, sources[-1].arrays["video"])
    if pairs is not None:
        sources[-1] = dataclasses.replace(sources[-1], extra={"neighbours": pairs})
    train, pieces = sources[0], parts["train"]

    def part_extra(ids, split):
        pairs = _neighbours(pieces.only(ids), frames, stride, train.arrays["video"][ids]) if split == "test" else None
        return {} if pairs is None else {"neighbours": pairs}

    sources[0] = dataclasses.replace(train, group="file", part_extra=part_extra)
    return Splits(*sources)


@dataclasses.dataclass
class _Pieces:
    """Pieces in order: frames or their times, name of the file, and the taken frame with which each begins."""

    video: list
    file: list
    start: list

    def names(self):
        return [f"{name}, frame {start}" for name, start in zip(self.file, self.start)]

    def file_numbers(self):
        """int32 [N], the number of each piece's file."""
        numbers = {name: i for i, name in enumerate(dict.fromkeys(self.file))}
        return np.array([numbers[name] for name in self.file], np.int32)

    def only(self, ids):
        """File and start of some of the pieces."""
        return _Pieces([], [self.file[i] for i in ids], [self.start[i] for i in ids])


class _Reader:
    """Reads files one after the other, and counts those that could not be read."""

    def __init__(self, root, decode, frames, stride, frame_step, max_unreadable, most_bytes, most_frames, count):
        self.root, self.decode, self.frames, self.stride, self.frame_step = root, decode, frames, stride, frame_step
        self.max_unreadable, self.most_bytes, self.most_frames = max_unreadable, most_bytes, most_frames
        self.count = count
        self.unreadable, self.short, self.bytes, self.done = {}, {}, 0, 0

    def read(self, files):
        pieces = _Pieces([], [], [])
        for name in files:
            taken, error = self.decode(self.root / name)
            self.done += 1
            if error is not None and len(taken) < self.frames:
                self.unreadable[name] = error
                log.warning("unreadable video %s (%s)", shown(self.root / name), shown(error))
                continue
            if error is not None:
                message = "video %s: only its first %d frames can be read (%s)"
                log.warning(message, shown(self.root / name), len(taken), shown(error))
            if len(taken) < self.frames:
                self.short[name] = len(taken)
                message = "video %s left out: %d frames, every %d. of the file, are too few for a piece of %d"
                log.warning(message, shown(self.root / name), len(taken), self.frame_step, self.frames)
                continue
            for start in range(0, len(taken) - self.frames + 1, self.stride):
                pieces.video.append(np.stack(taken[start : start + self.frames]))
                pieces.file.append(name)
                pieces.start.append(start)
                self.bytes += pieces.video[-1].nbytes
            if self.bytes > self.most_bytes or len(taken) > self.most_frames:
                raise ValueError(
                    f"{shown(self.root)}: the first {self.done} of {self.count} videos fill {self.bytes / 1e9:.2f} GB, "
                    f"or all frames of one do, more than memory_gb={self.most_bytes / 1e9:g}; a larger frame_step or "
                    "stride, a smaller size, or more memory_gb would be right"
                )
        return pieces

    def check_all(self):
        """ValueError where more files are unreadable than may be."""
        if len(self.unreadable) > (max(1, self.max_unreadable * self.count) if self.max_unreadable else 0) or (
            self.unreadable and len(self.unreadable) == self.count
        ):
            raise ValueError(
                f"{len(self.unreadable)} of the {self.count} videos in {shown(self.root)} are unreadable, more than "
                f"max_unreadable={self.max_unreadable} allows; among them "
                f"{', '.join(f'{shown(k)} ({shown(v)})' for k, v in list(self.unreadable.items())[:3])}. "
                "Repair or remove them, or raise max_unreadable"
            )

    def found(self):
        """The fate of the files, in words."""
        short = ", ".join(f"{shown(k)}: {v}" for k, v in list(self.short.items())[:3])
        words = f"{len(self.short)} of {self.count} videos are too short (frames: {short})" if short else "none is left"
        return words + "; fewer data.frames or a smaller data.frame_step would be right"


def _decoder(size, frame_step, channels, most_frames, max_file_mb, max_pixels):
    """Three readers: the frames of a file (at most one above the most), all times, and the frames of given times."""
    try:
        import av
    except ImportError as error:
        raise ImportError("data.video.video_folder reads videos with PyAV: pip install av") from error
    height, width = size
    fitting = "rgb24" if channels == 3 else "gray"

    def image(frame):
        check_pixels(frame.width, frame.height, max_pixels)
        turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
        h, w = (width, height) if turns % 2 else (height, width)
        ratio = max(h / frame.height, w / frame.width)
        # A little too large before the cut, never too small.
        new_h, new_w = max(h, round(frame.height * ratio)), max(w, round(frame.width * ratio))
        pixels = frame.reformat(width=new_w, height=new_h, format=fitting, interpolation="AREA").to_ndarray()
        pixels = pixels.reshape(new_h, new_w, channels)
        top, left = (new_h - h) // 2, (new_w - w) // 2
        return np.ascontiguousarray(np.rot90(pixels[top : top + h, left : left + w], turns))

    def guarded(collect):
        """file -> (list, error or None), from what adds to a list until it is through or fails."""

        def run(file):
            taken = []
            try:
                regular_file(file, max_file_mb)
                with av.open(str(file), options={"format_whitelist": FORMATS}) as container:
                    if not container.streams.video:
                        return taken, "it holds no video"
                    stream = container.streams.video[0]
                    check_pixels(stream.width or 0, stream.height or 0, max_pixels)
                    stream.thread_type = "AUTO"
                    collect(container, stream, taken)
            except Exception as error:  # damaged files fail in many ways
                return taken, str(error) or type(error).__name__
            return taken, None if taken else "it holds no frames"

        return run

    @guarded
    def decode(container, stream, taken):
        for i, frame in enumerate(container.decode(stream)):
            if i % frame_step == 0:
                taken.append(image(frame))
            if len(taken) > most_frames:
                return

    @guarded
    def stamps(container, stream, taken):
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        if None in times:
            raise ValueError("frames without times; it can be read with memory_gb set to a number")
        taken.extend(sorted(times)[::frame_step])

    def load(file, times):
        """Frames of these times: uint8 [t, h, w, C]; ValueError where one is missing."""

        def collect(container, stream, taken):
            left = set(times)
            container.seek(times[0], stream=stream)
            for frame in container.decode(stream):
                if frame.pts in left:
                    left.remove(frame.pts)
                    taken.append(image(frame))
                if not left:
                    return

        taken, error = guarded(collect)(file)
        if len(taken) < len(times):
            raise ValueError(error or f"only {len(taken)} of the {len(times)} frames of the piece are there")
        return np.stack(taken)

    return decode, stamps, load


def _source(pieces, labels_of, class_names, root):
    arrays = {
        "video": np.stack(pieces.video),
        "label": labels_of(pieces.file),
        "file": pieces.file_numbers(),
    }
    pieces.video = [None]  # the list is not needed twice in memory
    source = from_arrays(arrays, class_names=class_names, where=shown(root))
    named = pieces.names()
    return dataclasses.replace(source, names=lambda ids: [named[i] for i in ids])


def _neighbours(pieces, frames, stride, video):
    """Pairs of pieces of one video that follow each other without overlap, no piece twice; None without any."""
    if frames % stride:
        return None
    where = {key: i for i, key in enumerate(zip(pieces.file, pieces.start))}
    pairs = []
    for (name, start), i in where.items():
        # Pieces 0 and 1, 2 and 3, ... of those that do not overlap.
        if start % (2 * frames) == 0 and (name, start + frames) in where:
            pairs.append((i, where[name, start + frames]))
    if not pairs:
        return None
    query, target = np.array(pairs[:MAX_PAIRS]).T
    return {"query": {"video": video[query]}, "target": {"video": video[target]}}


def _check_options(frames, size, frame_step, stride, channels, test_fraction, max_unreadable):
    counts = dict(frames=frames, frame_step=frame_step, stride=stride)
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"data.{name}={value!r}: must be a whole number of at least 1.")
    if len(size) != 2 or any(not isinstance(side, int) or side < 1 for side in size):
        raise ValueError(f"data.size={size!r}: pixels, or (height, width), of at least 1 would be right.")
    if channels not in (1, 3):
        raise ValueError(f"data.channels={channels!r}: must be 1 (grey) or 3 (RGB).")
    check_folder_options(test_fraction, max_unreadable)
