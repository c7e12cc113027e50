"""How many JPEG files a second come out of the input pipeline, beside a plain Pillow loader on the same files.

    .venv/bin/python tools/benchmark_input.py [--count 600] [--size 224] [--side 500x375] [--data FOLDER] [--out FILE.json]

Without --data the files are made: crops of the two photographs of scikit-learn, quality 90. Each way reads, decodes, cuts
the centre square and resizes it. The ways take turns, pass by pass, and the medians are reported, so that a machine that
is slower for a while is slower for all; the first pass is not counted. With torch installed, its DataLoader is timed too,
one worker a core.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 2 the input was wrong."""
    args = parser().parse_args(argv)
    try:
        width, height = (int(n) for n in args.side.split("x"))
    except ValueError:
        print(f"benchmark_input: --side {args.side}: WIDTHxHEIGHT, as in 500x375", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as made:
        folder = Path(args.data) if args.data else make_files(Path(made) / "jpeg", args.count, width, height)
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[: args.count]
        if not files:
            print(f"benchmark_input: {folder} holds no .jpg or .jpeg file", file=sys.stderr)
            return 2
        processors = len(os.sched_getaffinity(0))
        ways = {
            "Pillow, 1 thread": timed(lambda: [with_pillow(f, args.size) for f in files]),
            "jaxssl decoder, 1 thread": timed(decode_all(files, args.size)),
            f"jaxssl stream, {processors} threads": stream_pass(folder, args.size, len(files)),
            "jaxssl stream of a pack": pack_pass(folder, args.size, Path(made) / "pack", len(files)),
        }
        loader = torch_loader(files, args.size, processors)
        if loader:
            ways[f"torch DataLoader, {processors} workers"] = loader
        rates = median_rates(ways, len(files), args.passes)
    report = {"files": len(files), "size": args.size, "processors": processors, "passes": args.passes}
    report["images_per_s"] = rates
    base = next(iter(rates.values()))
    for name, value in rates.items():
        print(f"{name:32} {value:7.0f} images/s   {value / base:.2f} times Pillow")
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(prog="benchmark_input", description=__doc__.splitlines()[0])
    found.add_argument("--count", type=int, default=600, help="files")
    found.add_argument("--passes", type=int, default=7, help="passes over the files that count")
    found.add_argument("--size", type=int, default=224, help="pixels of the square that comes out")
    found.add_argument("--side", default="500x375", help="WIDTHxHEIGHT of the files that are made")
    found.add_argument("--data", metavar="FOLDER", help="JPEG files of one's own")
    found.add_argument("--out", metavar="FILE.json", help="where the report is written")
    return found


def make_files(folder: Path, count: int, width: int, height: int) -> Path:
    """Random crops of two photographs, resized to width x height."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder.mkdir()
    photographs, random = [Image.fromarray(x) for x in load_sample_images().images], np.random.default_rng(0)
    for i in range(count):
        photograph = photographs[i % 2]
        scale = random.uniform(0.5, 1)
        w, h = int(photograph.width * scale), int(photograph.height * scale)
        left, top = random.integers(photograph.width - w + 1), random.integers(photograph.height - h + 1)
        crop = photograph.crop((left, top, left + w, top + h)).resize((width, height), Image.Resampling.BICUBIC)
        crop.save(folder / f"{i:05d}.jpg", quality=90)
    return folder


def median_rates(ways: dict[str, Callable[[], float]], count: int, passes: int) -> dict[str, float]:
    """Images a second of each way, a function that returns the seconds of a pass: the median, less a first pass."""
    seconds = {name: [] for name in ways}
    for turn in range(passes + 1):
        for name, run in ways.items():
            found = run()
            if turn:
                seconds[name].append(found)
    return {name: count / float(np.median(found)) for name, found in seconds.items()}


def timed(run: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> Callable[[], float]:
    """A function: does `before`, then `run`, and returns the seconds that `run` took."""

    def call():
        before()
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return call


def with_pillow(file: Path, size: int) -> np.ndarray:
    """A file as a plain loader reads it: decoded, its centre square cut and resized, uint8 [size, size, 3]."""
    from PIL import Image

    with Image.open(file) as image:
        image = image.convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def decode_all(files: Sequence[Path], size: int) -> Callable[[], Any]:
    """A pass of the library's decoder in one thread."""
    from jaxssl.data.decode import decoder

    decode = decoder(size, 3)
    return lambda: [decode(f.read_bytes()) for f in files]


def stream_pass(folder: Path, size: int, count: int) -> Callable[[], float]:
    """A pass of the training stream, all processors."""
    from jaxssl.data.readers.image_folder import image_folder

    return source_pass(image_folder(path=str(folder), image_size=size).train, count)


def pack_pass(folder: Path, size: int, out: Path, count: int) -> Callable[[], float]:
    """A pass of the training stream over a pack of the same files."""
    from jaxssl.data.readers.image_folder import image_folder
    from jaxssl.data.readers.packed import packed, write_pack

    write_pack(image_folder(path=str(folder), image_size=size), str(out))
    return source_pass(packed(path=str(out)).train, count)


def source_pass(source: Any, count: int) -> Callable[[], float]:
    """A pass of the training stream over a source."""
    from jaxssl.data.pipeline import stream

    batch = 50
    batches = stream(source, seed=0, batch_size=batch)
    take = lambda number: [next(batches) for _ in range(number)]
    # What the stream has made ready while the others ran is taken first.
    return timed(lambda: take(-(-count // batch)), before=lambda: take(8))


def torch_loader(files: Sequence[Path], size: int, workers: int) -> Callable[[], float] | None:
    """A pass of torch's DataLoader around `with_pillow`, or None without torch."""
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return None

    class Files:
        def __len__(self):
            return len(files)

        def __getitem__(self, i):
            return with_pillow(files[i], size)

    loader = DataLoader(Files(), batch_size=50, num_workers=workers, persistent_workers=True)
    return timed(lambda: [None for _ in loader])


if __name__ == "__main__":
    sys.exit(main())
