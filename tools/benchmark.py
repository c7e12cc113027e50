"""Where the time of a training step goes: speed, share of data and augmentation, FLOPs, memory; in one run.

    .venv/bin/python tools/benchmark.py configs/image/simclr_fashion_mnist_12k.py [--config.batch_size=512 ...] [--data PATH]
        [--steps 30] [--warmup 5] [--peak-tflops 67] [--out FILE.json] [--trace DIR]
    .venv/bin/python tools/benchmark.py --suite [NAME ...] [--config.batch_size=16 ...] --out FILE.json
    .venv/bin/python tools/benchmark.py --compare BEFORE.json AFTER.json

Every step is waited for before the next one begins, so that steps can be told apart. The training loop keeps a few
steps in flight instead and can be somewhat faster where a step is short.

The suite takes the configs of tools/suite/ (or those named), each with all images on the device and with JPEG files of
500 x 375 decoded on the way, every one in a process of its own. Overrides hold for all; on a CPU give smaller batches and
--config.encoder.dtype=float32.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxssl.cli import split_overrides

if TYPE_CHECKING:  # nothing heavy is loaded before the input is checked
    import jax
    import numpy as np
    from jax.sharding import Mesh
    from ml_collections import ConfigDict

    from jaxssl.core import State
    from jaxssl.experiment import Experiment

# Sides of the square products that the peak is measured with; once one takes SLOW seconds, no larger one is tried.
MATMUL_SIZES = (512, 1024, 2048, 4096, 8192)
MATMUL_REPEATS = 5
SLOW = 0.1
TRACED_STEPS = 3
SUITE = Path(__file__).parent / "suite"
CASES = tuple(sorted(file.stem for file in SUITE.glob("*_*.py")))
COMPARED = {"step_ms": "step, ms", "data_share": "waiting", "augment_share": "views", "memory_peak_bytes": "memory"}


def main(argv: list[str] | None = None) -> int:
    """Returns the exit status: 0 well, 2 the input was wrong."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        rest, overrides = split_overrides(argv)
        args = parser().parse_args(rest)
        check(args)
        if args.compare:
            print(compared(*(read_suite(file) for file in args.compare)))
            return 0
        if args.suite is not None:
            return run_suite(args, [f"--config.{k}={v}" for k, v in overrides.items()])
        report = benchmark(args, overrides)
    except (ValueError, TypeError, FileNotFoundError) as error:
        if "--traceback" in argv:
            raise
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    print(table(report))
    if args.out:
        Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments, apart from the overrides."""
    found = argparse.ArgumentParser(prog="benchmark", description=__doc__.splitlines()[0])
    found.add_argument("config", nargs="?", help="FILE.py[:ARG]; --config.section.option=value changes it")
    found.add_argument("--data", metavar="PATH", help="folder or file that the config's data source reads")
    found.add_argument("--suite", nargs="*", metavar="NAME", help=f"run {', '.join(CASES)}, or those named")
    found.add_argument("--compare", nargs=2, metavar="FILE.json", help="two reports of --suite side by side")
    found.add_argument("--steps", type=int, default=30, help="steps that are timed")
    found.add_argument("--warmup", type=int, default=5, help="steps before them")
    found.add_argument("--peak-tflops", type=float, help="peak of one device; default: measured by large products")
    found.add_argument("--out", metavar="FILE.json", help="where the report is written")
    found.add_argument("--trace", metavar="DIR", help=f"write a jax.profiler trace of {TRACED_STEPS} steps")
    found.add_argument("--traceback", action="store_true", help="show the Python traceback of an error")
    return found


def check(args: argparse.Namespace) -> None:
    """Raises ValueError naming the argument, before anything is loaded."""
    if (args.config is not None) + (args.suite is not None) + (args.compare is not None) != 1:
        raise ValueError("give a config, or --suite, or --compare.")
    unknown = set(args.suite or ()) - set(CASES)
    if unknown:
        raise ValueError(f"--suite {' '.join(sorted(unknown))}: must be of {', '.join(CASES)}.")
    if args.suite is not None and not args.out:
        raise ValueError("--suite needs --out FILE.json.")
    if args.steps < 1:
        raise ValueError(f"--steps {args.steps}: must be at least 1.")
    if args.warmup < 0:
        raise ValueError(f"--warmup {args.warmup}: must be 0 or more.")
    if args.peak_tflops is not None and not 0 < args.peak_tflops < float("inf"):
        raise ValueError(f"--peak-tflops {args.peak_tflops}: must be positive.")
    if args.out and (Path(args.out).suffix != ".json" or not Path(args.out).parent.is_dir()):
        raise ValueError(f"--out {args.out}: must be FILE.json in a folder that exists.")
    if args.trace and Path(args.trace).exists() and not Path(args.trace).is_dir():
        raise ValueError(f"--trace {args.trace} is a file; give a folder.")


def benchmark(args: argparse.Namespace, overrides: dict[str, str]) -> dict:
    """All measurements as one flat dict; times in ms unless the name says s, rates per second, memory in bytes."""
    from jaxssl.config import load_config

    config = load_config(args.config, overrides, data=args.data)
    import jax  # after the config: what is wrong there is said before anything heavy is loaded
    import numpy as np

    from jaxssl.experiment import make_feed, setup

    experiment = setup(config)
    devices = experiment.mesh.devices.size
    state = experiment.initial()
    with contextlib.closing(make_feed(experiment)) as feed:
        compiled, lowered, compilation = compile_update(experiment, state, next(feed))
        state, _, _ = run_steps(compiled, state, feed, args.warmup)
        state, waits, times = run_steps(compiled, state, feed, args.steps)
        memory = memory_use(compiled, experiment.mesh)  # before anything else of this run claims memory
        data, augment = measure_parts(experiment, next(feed), state.step, args.warmup, args.steps)
        if args.trace:
            with jax.profiler.trace(args.trace):
                run_steps(compiled, state, feed, TRACED_STEPS)
    step = float(np.median(times))
    quarter, three_quarters = np.percentile(times, [25, 75])
    dtype = compute_dtype(config)
    flops = count_flops(experiment, compiled, lowered)
    peak, how = devices * 1e12 * (args.peak_tflops or 0), "given"
    if not peak:
        peak, how = measure_peak(experiment.mesh, dtype)
    achieved = None if flops["flops"] is None else flops["flops"] / step
    first = experiment.mesh.devices.flat[0]
    return {
        "config": args.config,
        "overrides": overrides,
        "batch_size": config.batch_size,
        "compute_dtype": dtype,
        "data_mode": "resident" if experiment.resident else "stream",
        "platform": first.platform,
        "device_kind": first.device_kind,
        "device_count": devices,
        "jax_version": jax.__version__,
        "steps": args.steps,
        "warmup": args.warmup,
        **compilation,
        "step_ms": 1e3 * step,
        "step_iqr_ms": 1e3 * float(three_quarters - quarter),
        "step_min_ms": 1e3 * float(times.min()),
        "images_per_s": config.batch_size / step,
        "data_ms": 1e3 * float(np.median(waits) if data is None else data),
        "data_share": float(waits.sum() / times.sum() if data is None else data / step),
        "data_measured": "time in next(feed)" if data is None else "gather alone",
        "augment_ms": 1e3 * augment,
        "augment_share": augment / step,
        **flops,
        "flops_per_s": achieved,
        "peak_flops_per_s": peak,
        "peak_measured": how,
        "peak_share": None if achieved is None else achieved / peak,
        **memory,
    }


def run_suite(args: argparse.Namespace, overrides: list[str]) -> int:
    """All cases, one process each; the report is written after every one. Returns 1 if one failed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUITE), os.environ.get("PYTHONPATH", "")])}
    reports, failed = {}, []
    with tempfile.TemporaryDirectory() as folder:
        data = suite_data(Path(folder))
        for case in args.suite or CASES:
            for mode in ("resident", "stream"):
                out = Path(folder) / "report.json"
                out.unlink(missing_ok=True)
                path = data["stream" if mode == "stream" else int(case.rsplit("_", 1)[1])]
                command = [
                    sys.executable,
                    __file__,
                    f"{SUITE / case}.py:{mode}",
                    "--data",
                    str(path),
                    "--out",
                    str(out),
                ]
                command += ["--steps", str(args.steps), "--warmup", str(args.warmup), *overrides]
                command += ["--peak-tflops", str(args.peak_tflops)] if args.peak_tflops else []
                print(f"--- {case}, {mode}", flush=True)
                if subprocess.run(command, env=environment).returncode:
                    failed.append(f"{case}, {mode}")
                    continue
                reports[f"{case}, {mode}"] = {**json.loads(out.read_text()), "config": f"tools/suite/{case}.py:{mode}"}
                Path(args.out).write_text(json.dumps(reports, indent=1) + "\n")
    for name in failed:
        print(f"benchmark: {name} failed, see above", file=sys.stderr)
    return int(bool(failed))


def suite_data(folder: Path) -> dict:
    """{'stream': folder of JPEG files, 32 and 224: packs for views of that many pixels}."""
    import numpy as np
    from benchmark_input import make_files, with_pillow

    from jaxssl.data.readers.packed import write_pack
    from jaxssl.data.source import Splits, from_arrays

    files = make_files(folder / "jpeg", 512, 500, 375)
    found = {"stream": files}
    for size, image_size in ((32, 32), (224, 256)):
        found[size] = folder / f"pack{size}"
        # By Pillow, so that the resident half needs nothing that decodes JPEG files faster.
        images = np.stack([with_pillow(file, image_size) for file in sorted(files.iterdir())])
        write_pack(Splits(from_arrays({"image": images})), str(found[size]))
    return found


def read_suite(file: str) -> dict:
    """The reports that --suite wrote. Raises ValueError if the file is none of these."""
    try:
        found = json.loads(Path(file).read_text())
        if found and all("step_ms" in report for report in found.values()):
            return found
    except (OSError, json.JSONDecodeError, AttributeError, TypeError):
        pass
    raise ValueError(f"--compare {file}: no report of --suite.")


def compared(before: dict, after: dict) -> str:
    """What both reports hold, side by side; the ratio is that of the speeds, above 1 where the second is faster."""
    cell = lambda report, key: report.get(key) if report else None
    rows = [["", *(f"{label} {when}" for label in COMPARED.values() for when in ("before", "after")), "speed"]]
    for name in [*before, *(n for n in after if n not in before)]:
        row, pair = [name], (before.get(name), after.get(name))
        for key in COMPARED:
            for value in (cell(report, key) for report in pair):
                shown = {"step_ms": "{:.1f}", "memory_peak_bytes": "{:.2e}"}.get(key, "{:.1%}")
                row.append("-" if value is None else shown.format(value))
        known = all(pair)
        row.append(f"{pair[1]['images_per_s'] / pair[0]['images_per_s']:.2f}" if known else "-")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths)).rstrip() for row in rows]
    devices = [sorted({report["device_kind"] for report in part.values()}) for part in (before, after)]
    if devices[0] != devices[1]:
        lines.append(f"different devices: {', '.join(devices[0])} and {', '.join(devices[1])}")
    return "\n".join(lines)


def compile_update(experiment: Experiment, state: State, batch: Any) -> tuple[Any, Any, dict[str, Any]]:
    """(compiled, lowered, seconds for both): the one compilation that is timed, counted and run."""
    import jax

    began = time.perf_counter()
    lowered = experiment.update.lower(state, batch)
    traced = time.perf_counter()
    compiled = lowered.compile()
    ended = time.perf_counter()
    # With a persistent cache, the time may be that of reading the program.
    cache = bool(jax.config.jax_enable_compilation_cache and jax.config.jax_compilation_cache_dir)
    return compiled, lowered, {"trace_s": traced - began, "compile_s": ended - traced, "compile_cache": cache}


def run_steps(compiled: Any, state: State, feed: Iterator, count: int) -> tuple[State, np.ndarray, np.ndarray]:
    """(state, seconds in next(feed) [count], seconds of the steps with it [count])."""
    import jax
    import numpy as np

    waits, times = np.zeros(count), np.zeros(count)
    for i in range(count):
        began = time.perf_counter()
        batch = next(feed)
        waits[i] = time.perf_counter() - began
        with jax.profiler.StepTraceAnnotation("train", step_num=i):
            state, metrics = compiled(state, batch)
            jax.block_until_ready((state, metrics))
        times[i] = time.perf_counter() - began
    return state, waits, times


def measure_parts(
    experiment: Experiment, batch: Any, step: jax.Array, warmup: int, steps: int
) -> tuple[float | None, float]:
    """Median seconds of (the gather, None for a stream; the augmentation), each as a function of its own."""
    import jax

    from jaxssl.build import build
    from jaxssl.config import options
    from jaxssl.core import step_keys
    from jaxssl.experiment import gather
    from jaxssl.sharding import batch_sharding

    config, data = experiment.config, None
    if experiment.resident:
        rows = dict(seed=experiment.data_seed, batch_size=config.batch_size, source=experiment.splits.train)
        load = jax.jit(partial(gather, **rows), out_shardings=batch_sharding(experiment.mesh))
        data, arrays = median_time(load, batch, step, warmup=warmup, steps=steps), batch
        batch = load(arrays, step)
    augment, root = build(options(config.augment)), jax.random.key(config.seed)
    views = jax.jit(lambda batch, step: augment(step_keys(root, step)[0], batch))
    return data, median_time(views, batch, step, warmup=warmup, steps=steps)


def median_time(function: Callable, *args: Any, warmup: int, steps: int) -> float:
    """Median seconds of a call; the first one, which compiles, never counts."""
    import jax
    import numpy as np

    times = []
    for _ in range(1 + warmup + steps):
        began = time.perf_counter()
        jax.block_until_ready(function(*args))
        times.append(time.perf_counter() - began)
    return float(np.median(times[1 + warmup :]))


def count_flops(experiment: Experiment, compiled: Any, lowered: Any) -> dict[str, float | None]:
    """FLOPs of a step over all devices, as XLA counts them (the body of a loop once).

    flops_compiled: of the compiled program. flops_traced: of the program as written, before XLA changed it.
    flops: the larger one, since products and convolutions that were given to a vendor's library are missing in
    the first, and work that devices repeat is missing in the second. None where nothing was counted.
    """
    one = cost(compiled)
    compiled_all = None if one is None else one * experiment.mesh.devices.size
    traced = cost(lowered) or cost(lower_on_cpu(experiment))
    counted = [n for n in (compiled_all, traced) if n is not None]
    return {"flops": max(counted, default=None), "flops_compiled": compiled_all, "flops_traced": traced}


def cost(stage: Any) -> float | None:
    """The FLOPs of a lowered or compiled program; some versions give a dict, some a list of dicts, some nothing."""
    found = None if stage is None else stage.cost_analysis()
    found = [found] if isinstance(found, dict) else found or []
    flops = sum(part.get("flops", 0.0) for part in found if part)
    return float(flops) if flops > 0 else None


def lower_on_cpu(experiment: Experiment) -> Any:
    """The update as one CPU would get it, not compiled; some backends count only what they compiled."""
    import jax

    from jaxssl.experiment import setup

    try:
        cpu = jax.devices("cpu")[:1]
    except RuntimeError:
        return None
    config = experiment.config.copy_and_resolve_references()
    with config.unlocked():
        config.mesh.data = config.mesh.model = 1
    other = setup(config, devices=cpu, splits=experiment.splits)
    return other.update.lower(other.abstract, other.feed_shapes())


def measure_peak(mesh: Mesh, dtype: str) -> tuple[float, str]:
    """(FLOP/s of all devices together in the best large matrix product, what it was)."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding, PartitionSpec

    rows, everywhere = NamedSharding(mesh, PartitionSpec(mesh.axis_names)), NamedSharding(mesh, PartitionSpec())
    product = jax.jit(lambda a, b: a @ b, out_shardings=rows)
    best, best_size = 0.0, 0
    draw = lambda key, shape: jax.random.normal(key, shape).astype(dtype)
    for size in MATMUL_SIZES:
        tall, square = (size * mesh.devices.size, size), (size, size)
        a = jax.jit(partial(draw, shape=tall), out_shardings=rows)(jax.random.key(0))
        b = jax.jit(partial(draw, shape=square), out_shardings=everywhere)(jax.random.key(1))
        product(a, b).block_until_ready()
        times = []
        for _ in range(MATMUL_REPEATS):
            began = time.perf_counter()
            product(a, b).block_until_ready()
            times.append(time.perf_counter() - began)
        rate = 2 * a.size * size / min(times)
        best, best_size = max((best, best_size), (rate, size))
        if min(times) > SLOW:
            break
    return best, f"{jnp.dtype(dtype).name} product of side {best_size}"


def compute_dtype(config: ConfigDict) -> str:
    """The type that the encoder computes in."""
    import jax.numpy as jnp

    from jaxssl.build import build
    from jaxssl.config import options

    return jnp.dtype(getattr(build(options(config.encoder)), "dtype", None) or "float32").name


def memory_use(compiled: Any, mesh: Mesh) -> dict[str, int | None]:
    """Bytes on the fullest device: the peak of this process, and what XLA planned for one update; None: unknown."""
    stats = [device.memory_stats() or {} for device in mesh.local_devices]
    plan = compiled.memory_analysis()
    planned = None
    if plan is not None:
        kept = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
        planned = kept + plan.temp_size_in_bytes + plan.generated_code_size_in_bytes
    return {
        "memory_peak_bytes": max((s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s), default=None),
        "memory_planned_bytes": planned,
    }


def table(report: dict) -> str:
    """The report as a table to read."""
    r = report
    gigaflops = lambda name: "unknown" if r[name] is None else f"{r[name] / 1e9:,.3f}"
    share = lambda name: "unknown" if r[name] is None else f"{100 * r[name]:.1f} %"
    mebibytes = lambda name: "unknown" if r[name] is None else f"{r[name] / 2**20:,.1f} MiB"
    cached = ", persistent cache on" if r["compile_cache"] else ""
    rows = [
        ("config", " ".join([r["config"], *(f"{k}={v}" for k, v in r["overrides"].items())])),
        ("devices", f"{r['device_count']} x {r['device_kind']} ({r['platform']}), jax {r['jax_version']}"),
        ("batch", f"{r['batch_size']} images, {r['compute_dtype']}, data {r['data_mode']}"),
        ("compilation", f"{r['trace_s']:.2f} s tracing + {r['compile_s']:.2f} s compiling{cached}"),
        (
            "step",
            f"{r['step_ms']:.3f} ms median, spread {r['step_iqr_ms']:.3f} ms (interquartile),"
            f" {r['step_min_ms']:.3f} ms min, of {r['steps']}",
        ),
        ("speed", f"{r['images_per_s']:,.{2 if r['images_per_s'] < 10 else 0}f} images/s"),
        ("data", f"{share('data_share')} of the step ({r['data_ms']:.3f} ms, {r['data_measured']})"),
        ("augmentation", f"{share('augment_share')} of the step ({r['augment_ms']:.3f} ms alone)"),
        (
            "work",
            f"{gigaflops('flops')} GFLOP a step ({gigaflops('flops_compiled')} compiled,"
            f" {gigaflops('flops_traced')} as written)",
        ),
        (
            "rate",
            f"{gigaflops('flops_per_s')} GFLOP/s = {share('peak_share')} of"
            f" {gigaflops('peak_flops_per_s')} GFLOP/s ({r['peak_measured']})",
        ),
        (
            "memory a device",
            f"peak {mebibytes('memory_peak_bytes')}, planned for the step {mebibytes('memory_planned_bytes')}",
        ),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
