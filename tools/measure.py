"""Trains and evaluates configs, one after the other, and records what came out in configs/results.json.

    .venv/bin/python tools/measure.py configs/image/simclr_fashion_mnist_12k.py ... [--config.seed=1 ...]

Afterwards `.venv/bin/python tools/results_table.py` renews the table of the README.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from jaxssl.cli import split_overrides
from jaxssl.config_files import find_config, import_config, stage_files
from jaxssl.evaluate import device_name
from jaxssl.index import HEADLINE

ROOT = Path(__file__).resolve().parent.parent


def measure(config: str, overrides: dict[str, str]) -> dict:
    """The summary of one fresh run, with the settings that it depends on."""
    with tempfile.TemporaryDirectory() as folder:
        changes = [f"--config.{k}={v}" for k, v in overrides.items()]
        command = [sys.executable, "-m", "jaxssl", "train", config, "--workdir", folder, *changes]
        subprocess.run(command, check=True, cwd=ROOT)
        summary = json.loads((Path(folder) / "summary.json").read_text())
        resolved = json.loads((Path(folder) / "config.json").read_text())
        written = Path(folder) / "metrics.jsonl"  # a study, which trains nothing, has none
        rows = [json.loads(line) for line in written.read_text().splitlines()] if written.is_file() else [{}]
    speeds = sorted(row["time/images_per_s"] for row in rows if "time/images_per_s" in row)
    return {
        **summary,
        "headline": resolved["evaluate"]["headline"],
        "seed": resolved["seed"],
        "batch_size": resolved["batch_size"],
        "overrides": overrides,
        "images_per_s": round(speeds[len(speeds) // 2]) if speeds else None,
        "final": {k: v for k, v in rows[-1].items() if k.startswith("train/")},
    }


def measure_stages(pipeline: Path, overrides: dict[str, str]) -> dict:
    """The table of a pipeline, the row that its file names as its own first."""
    if overrides:
        raise ValueError(f"{pipeline}: a pipeline takes no overrides.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jaxssl", "stages", str(pipeline), "--workdir", folder]
        subprocess.run(command, check=True, cwd=ROOT)
        found = json.loads((Path(folder) / "summary.json").read_text())["results"]
    own = getattr(import_config(pipeline), "OWN_ROW", next(iter(found)))
    results = {own: found.pop(own), **found}
    return {"results": results, "headline": HEADLINE, "device": device_name(), "overrides": {}}


def main() -> int:
    """Measures every config named on the command line."""
    configs, overrides = split_overrides(sys.argv[1:])
    if not configs:
        print(__doc__, file=sys.stderr)
        return 2
    file = ROOT / "configs" / "results.json"
    for config in configs:
        pipeline = next(
            (f for name, f in stage_files().items() if config in (name, str(f), f"configs/stages/{f.name}")), None
        )
        found = measure(config, overrides) if pipeline is None else measure_stages(pipeline, overrides)
        measured = json.loads(file.read_text()) if file.is_file() else {}
        measured[(pipeline or find_config(config.partition(":")[0])).name] = found
        fresh = file.with_suffix(".tmp")
        fresh.write_text(json.dumps(dict(sorted(measured.items())), indent=1) + "\n")
        fresh.replace(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
