"""How many views a second the augmentations make, beside torchvision on the same images where it is installed.

    .venv/bin/python tools/benchmark_augment.py [--sizes 32 224] [--passes 7] [--out FILE.json]

SimCLR's recipe, bilinear: crop 0.08 to 1, flip, jitter, greyscale, blur with a tenth of the side. The library makes a whole
batch in one compiled call on the default device; torchvision takes Pillow images, one process a core, as a data loader
does. The two take turns, pass by pass, and the medians are reported.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

JITTER, KERNELS = (0.8, 0.8, 0.8, 0.2), {32: 3, 224: 23}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 2 the input was wrong."""
    args = parser().parse_args(argv)
    if args.passes < 1 or min(args.sizes) < 8:
        print("benchmark_augment: --passes must be at least 1, --sizes at least 8", file=sys.stderr)
        return 2
    # Before JAX starts its threads, which a fork would not survive.
    pools = {size: torchvision_pool(size, images_of(size)) for size in args.sizes}
    import jax

    report = {"device": jax.devices()[0].device_kind, "processors": len(os.sched_getaffinity(0)), "passes": args.passes}
    for size in args.sizes:
        rates = {name: [] for name in ("jaxssl", "torchvision") if name == "jaxssl" or pools[size]}
        make = library(size, images_of(size))
        for turn in range(args.passes + 1):
            for name, found in rates.items():
                run = make if name == "jaxssl" else pools[size]
                began = time.perf_counter()
                views = run()
                if turn:
                    found.append(views / (time.perf_counter() - began))
        report[str(size)] = {name: float(np.median(found)) for name, found in rates.items()}
        for name, rate in report[str(size)].items():
            print(f"{size:4} px  {name:12} {rate:10,.0f} views/s")
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(prog="benchmark_augment", description=__doc__.splitlines()[0])
    found.add_argument("--sizes", type=int, nargs="+", default=[32, 224], help="pixels of the sides of the views")
    found.add_argument("--passes", type=int, default=7, help="passes that count")
    found.add_argument("--out", metavar="FILE.json", help="where the report is written")
    return found


def images_of(size: int) -> np.ndarray:
    """uint8 [N, S, S, 3]: crops of two photographs, a little larger than large views."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    side, count = (size, 1024) if size < 64 else (round(size * 8 / 7), 64)
    photographs, random = [Image.fromarray(x) for x in load_sample_images().images], np.random.default_rng(0)
    images = np.zeros((count, side, side, 3), np.uint8)
    for i in range(count):
        left, top = (int(random.integers(photographs[i % 2].size[axis] - side + 1)) for axis in (0, 1))
        images[i] = np.asarray(photographs[i % 2].crop((left, top, left + side, top + side)))
    return images


def kernel(size: int) -> int:
    """Taps of the blur, odd, near a tenth of the side."""
    return KERNELS.get(size, max(3, 2 * (size // 20) + 1))


def library(size: int, images: np.ndarray) -> Callable[[], int]:
    """A pass over the images; returns the number of views."""
    import jax

    from jaxssl.augment.image import simclr

    options = dict(size=size, mean=0.5, std=0.25, num_views=1, interpolation="bilinear", blur_kernel=kernel(size))
    augment, batch, key = jax.jit(simclr(**options)), {"image": jax.device_put(images)}, jax.random.key(0)

    def run():
        jax.block_until_ready(augment(key, batch))
        return len(images)

    return run


def torchvision_pool(size: int, images: np.ndarray) -> Callable[[], int] | None:
    """As `library`, by processes; None without torchvision."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        return None
    workers = len(os.sched_getaffinity(0))
    pool = multiprocessing.get_context("fork").Pool(workers, _start, (size, images))
    parts = np.array_split(np.arange(len(images)), workers)

    def run():
        pool.map(_views, parts, chunksize=1)
        return len(images)

    return run


def _start(size, images):
    """In a worker: the images as Pillow images, the chain of torchvision."""
    global _chain, _images
    import torch
    from PIL import Image
    from torchvision import transforms as t

    torch.set_num_threads(1)
    _images = [Image.fromarray(image) for image in images]
    _chain = t.Compose(
        [
            t.RandomResizedCrop(size, scale=(0.08, 1.0)),
            t.RandomHorizontalFlip(),
            t.RandomApply([t.ColorJitter(*JITTER)], p=0.8),
            t.RandomGrayscale(p=0.2),
            t.RandomApply([t.GaussianBlur(kernel(size), (0.1, 2.0))], p=0.5),
            t.ToTensor(),
            t.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )


def _views(rows):
    for i in rows:
        _chain(_images[i])


if __name__ == "__main__":
    sys.exit(main())
