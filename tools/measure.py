"""Trains and evaluates configs, one after the other, and records what came out in configs/results.json.

    .venv/bin/python tools/measure.py configs/image/simclr_fashion_mnist_12k.py ... [--seeds 0,1,2] [--again]
        [--runs RUN ...] [--config.optim.learning_rate=0.1 ...]

--runs: finished run folders of that one config are recorded, in the place of training anew.
--seeds: one run for each; the record holds all of them. Without it the one seed of the config is run. A seed that is
recorded for the same resolved config is not run again, so that the same command goes on after it was killed; --again does
it again. Pipelines (configs/stages) say their seeds themselves. Results are those of the test set:
`--config.evaluate.part=validation` is for `jaxssl train`.

Afterwards `.venv/bin/python tools/results_table.py` renews the table of the README.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from jaxssl import measured
from jaxssl.changes import differences
from jaxssl.cli import split_overrides
from jaxssl.config import load_config
from jaxssl.config_files import find_config, import_config, stage_files
from jaxssl.evaluate import device_name
from jaxssl.files import to_json
from jaxssl.index import HEADLINE
from jaxssl.stages import check_stages, load_stages, names_of, resolved

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "configs" / "results.json"


def measure(config: str, overrides: dict[str, str]) -> dict[str, Any]:
    """The summary of one fresh run, with the settings that it depends on."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"--config.{k}={v}" for k, v in overrides.items()]
        command = [sys.executable, "-m", "jaxssl", "train", config, "--workdir", folder, *changes]
        subprocess.run(command, check=True, cwd=ROOT)
        return found_in(Path(folder), overrides)


def found_in(folder: Path, overrides: dict[str, str]) -> dict[str, Any]:
    """The summary of a finished run folder, with the settings that it depends on."""
    summary = json.loads((folder / "summary.json").read_text())
    resolved = json.loads((folder / "config.json").read_text())
    written = folder / "metrics.jsonl"  # a study, which trains nothing, has none
    rows = [json.loads(line) for line in written.read_text().splitlines()] if written.is_file() else [{}]
    speeds = sorted(row["time/images_per_s"] for row in rows if "time/images_per_s" in row)
    return {
        **summary,
        "headline": resolved["evaluate"]["headline"],
        "seed": resolved["seed"],
        "batch_size": resolved["batch_size"],
        "sources": _sources(resolved["data"]),
        "overrides": overrides,
        "images_per_s": round(speeds[len(speeds) // 2]) if speeds else None,
        "final": {k: v for k, v in rows[-1].items() if k.startswith("train/")},
    }


def record_runs(config: str, overrides: dict[str, str], folders: list[str], file: Path = RESULTS) -> None:
    """Records finished run folders of a config, each under its seed.

    Raises:
      ValueError: a folder that is no finished run of this config.
    """
    wanted, name = load_config(config, overrides).to_dict(), find_config(config.partition(":")[0]).name
    digest = measured.digest(wanted)
    for folder in map(Path, folders):
        if not (folder / "summary.json").is_file():
            raise ValueError(
                f"{folder}: has no summary.json; a run that has been trained and evaluated would be right."
            )
        resolved = load_config(str(folder / "config.json")).to_dict()
        if measured.digest(resolved) != digest:
            other = differences(json.loads(to_json(resolved)), json.loads(to_json(wanted)))
            named = [
                option
                for option in other
                if option.split(".")[0] not in measured.IDLE and option != "evaluate.headline"
            ]
            raise ValueError(f"{folder}: is a run of another config than {config}: {', '.join(named)}.")
        found = {**found_in(folder, overrides), "headline": wanted["evaluate"]["headline"]}
        if found["step"] != resolved["total_steps"]:
            raise ValueError(f"{folder}: was evaluated at step {found['step']} of {resolved['total_steps']}.")
        record = measured.added(_read(file).get(name, {}), found["seed"], {**found, "config": digest})
        _write(file, name, record)


def measure_seeds(
    config: str, overrides: dict[str, str], seeds: list[int] | None, *, again: bool = False, file: Path = RESULTS
) -> None:
    """Records one run for each seed (None: that of the config), each as soon as it is finished.

    Raises ValueError for a run that would not read the test set.
    """
    resolved = load_config(config, overrides).to_dict()
    if resolved["evaluate"]["part"] != "test" or "data.subset.validation" in _sources(resolved["data"]):
        raise ValueError(
            f"{config}: evaluate.part='validation' is for `jaxssl train`; results are those of the test set."
        )
    digest, name = measured.digest(resolved), find_config(config.partition(":")[0]).name
    wanted = [resolved["seed"]] if seeds is None else seeds
    left = wanted if again else measured.missing(_read(file).get(name, {}), wanted, digest)
    for seed in wanted:
        if seed not in left:
            print(f"{name}, seed {seed}: recorded already with the same config; --again runs it again.", flush=True)
            continue
        changes = overrides if seeds is None else {**overrides, "seed": str(seed)}
        found = {**measure(config, changes), "overrides": overrides, "config": digest}
        # Read again: another process may have recorded something in the meantime.
        record = measured.added(_read(file).get(name, {}), seed, found)
        _write(file, name, record)


def measure_stages(pipeline: Path, arg: str = "") -> dict[str, Any]:
    """The table of a pipeline, the row that its file names as its own first.

    OWN_ROW of the file: its own row, else the first. FLOOR_ROWS: those that count as floors, else all others.
    HEADLINE: the measure of its row in the tables.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jaxssl", "stages", f"{pipeline}{arg}", "--workdir", folder]
        subprocess.run(command, check=True, cwd=ROOT)
        summary = json.loads((Path(folder) / "summary.json").read_text())
        last = json.loads(sorted(Path(folder).glob("*/summary.json"))[-1].read_text())
        configs = [json.loads(file.read_text()) for file in sorted(Path(folder).glob("*/config.json"))]
    module, found = import_config(pipeline), summary["results"]
    own = getattr(module, "OWN_ROW", next(iter(found)))
    if own not in found:
        raise ValueError(f"{pipeline}: OWN_ROW={own!r} is no row; one of {', '.join(found)} would be right.")
    count = summary["runs"][own]
    results = {own: found.pop(own), **found}
    floors = {"floors": list(module.FLOOR_ROWS)} if hasattr(module, "FLOOR_ROWS") else {}
    return {
        "data": last["data"],
        "sources": sorted({name for config in configs for name in _sources(config["data"])}),
        "results": results,
        "runs": count,
        **floors,
        "headline": getattr(module, "HEADLINE", HEADLINE),
        "device": device_name(),
        "overrides": {},
        "config": stages_digest(pipeline, arg),
    }


def stages_digest(pipeline: Path, arg: str = "") -> str:
    """`measured.digest` of all stages of a pipeline."""
    stages = load_stages(f"{pipeline}{arg}")
    folders = check_stages(stages, Path())
    content = {
        f"{i} {stage.name} {stage.row} {names_of(stage.after)}": resolved(stage, folders).to_dict()
        for i, stage in enumerate(stages)
    }
    return measured.digest(content)


def _sources(section: dict[str, Any]) -> list[str]:
    """Names of a data section and of those within it."""
    inner = [value for value in section.values() if isinstance(value, dict) and "name" in value]
    return [section["name"], *(name for value in inner for name in _sources(value))]


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.is_file() else {}


def _write(file: Path, name: str, record: dict[str, Any]) -> None:
    """Puts one record into the file, which is there whole at every moment."""
    fresh = file.with_suffix(".tmp")
    fresh.write_text(json.dumps(dict(sorted({**_read(file), name: record}.items())), indent=1) + "\n")
    fresh.replace(file)


def main(argv: list[str] | None = None) -> int:
    """Measures every config named on the command line."""
    rest, overrides = split_overrides(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG")
    parser.add_argument("--seeds", type=_seeds, help="numbers with commas between them, as in 0,1,2")
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="finished run folders of the one config")
    parser.add_argument("--again", action="store_true", help="run what is recorded already, too")
    args = parser.parse_args(rest)
    if args.seeds is not None and "seed" in overrides:
        parser.error("--seeds and --config.seed: give one of them.")
    if args.runs:
        if len(args.configs) != 1 or args.seeds is not None or args.again:
            parser.error("--runs: goes with one config, and without --seeds and --again.")
        record_runs(args.configs[0], overrides, args.runs, RESULTS)
        return 0
    for config in args.configs:
        name, colon, arg = config.partition(":")
        known = stage_files().items()
        pipeline = next((f for n, f in known if name in (n, str(f), f"configs/stages/{f.name}")), None)
        if pipeline is None:
            measure_seeds(config, overrides, args.seeds, again=args.again, file=RESULTS)
        elif overrides or args.seeds is not None:
            parser.error(f"{config}: a pipeline takes neither overrides nor seeds; its file says all options.")
        elif not args.again and _read(RESULTS).get(pipeline.name, {}).get("config") == stages_digest(
            pipeline, colon + arg
        ):
            print(f"{pipeline.name}: recorded already with the same stages; --again runs it again.", flush=True)
        else:
            _write(RESULTS, pipeline.name, measure_stages(pipeline, colon + arg))
    return 0


def _seeds(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers with commas between them would be right") from None


if __name__ == "__main__":
    sys.exit(main())
