"""NT-Xent with and without the matrix of all pairs: time and memory of value and gradient, and the largest batch that fits.

    .venv/bin/python tools/benchmark_losses.py [--sizes 1024 4096 16384] [--dim 128] [--block 1024] [--peak-tflops 67]
        [--out FILE.json]

N embeddings a view; 2 N x 2 N pairs. A product counts 2 FLOPs; value and gradient need 3 products of all pairs stored,
and 5 where they are made again. Memory is what the compiler plans beside the arguments.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

PASSES = 5
LOSSES = {"nt_xent": 3, "nt_xent_chunked": 5}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 2 the input was wrong."""
    args = parser().parse_args(argv)
    if min(*args.sizes, args.dim, args.block) < 1:
        print("benchmark_losses: --sizes, --dim and --block must be at least 1", file=sys.stderr)
        return 2
    import jax

    from jaxssl import losses

    report = {
        "device": jax.devices()[0].device_kind,
        "dim": args.dim,
        "block": args.block,
        "passes": PASSES,
        "rows": [],
    }
    for size in args.sizes:
        for name, products in LOSSES.items():
            options = dict(block_size=args.block) if name.endswith("chunked") else {}
            row = measure(partial(getattr(losses, name), temperature=0.1, **options), size, args.dim)
            row = {"loss": name, "n": size, **row}
            if row["ms"]:
                row["flops_per_s"] = products * 2 * (2 * size) ** 2 * args.dim / row["ms"] * 1e3
                row["peak_share"] = row["flops_per_s"] / (1e12 * args.peak_tflops) if args.peak_tflops else None
            report["rows"].append(row)
            print(describe(row), flush=True)
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    found = argparse.ArgumentParser(prog="benchmark_losses", description=__doc__.splitlines()[0])
    found.add_argument("--sizes", type=int, nargs="+", default=[1024, 4096, 16384], help="embeddings a view")
    found.add_argument("--dim", type=int, default=128)
    found.add_argument("--block", type=int, default=1024, help="rows and columns of a block")
    found.add_argument("--peak-tflops", type=float, help="peak of the device in float32 products")
    found.add_argument("--out", metavar="FILE.json", help="where the report is written")
    return found


def measure(loss: Callable, size: int, dim: int) -> dict[str, Any]:
    """{'ms': median of a call or None where it does not fit, 'bytes': planned beside the arguments}."""
    import jax
    import numpy as np

    keys = jax.random.split(jax.random.key(0))
    try:
        z1, z2 = (jax.random.normal(key, (size, dim)) for key in keys)
        compiled = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(z1, z2).compile()
        planned = compiled.memory_analysis()
        planned = None if planned is None else planned.temp_size_in_bytes
        if planned and planned > free_bytes():
            return {"ms": None, "bytes": planned}
        times = []
        for _ in range(PASSES + 1):
            began = time.perf_counter()
            jax.block_until_ready(compiled(z1, z2))
            times.append(time.perf_counter() - began)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {"ms": None, "bytes": None}
    return {"ms": 1e3 * float(np.median(times[1:])), "bytes": planned}


def free_bytes() -> float:
    """Memory that a program may still take on the first device; on a CPU what the system says is available."""
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable"):
            return 1024 * float(line.split()[1])
    return float("inf")


def describe(row: dict[str, Any]) -> str:
    """A row of the report as a line to read."""
    took = "does not fit" if row["ms"] is None else f"{row['ms']:10.1f} ms"
    memory = "" if row["bytes"] is None else f"{row['bytes'] / 2**20:10,.0f} MiB"
    share = f"{100 * row['peak_share']:6.1f} % of peak" if row.get("peak_share") else ""
    return f"{row['loss']:16} N = {row['n']:>9,}  {took}  {memory}  {share}"


if __name__ == "__main__":
    sys.exit(main())
