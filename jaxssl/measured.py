"""What `tools/measure.py` has recorded of a config: one run, or one for each of several seeds, all of one config.

`configs/results.json` is {config file: record}. The record of one seed is that of its run; that of several is
{"seeds": {"0": record, "1": record, ...}}.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxssl.files import to_json

Record = dict[str, Any]
# What of a config changes no result.
IDLE = ("seed", "log", "checkpoint")


def digest(config: Mapping[str, Any]) -> str:
    """sha256 of a resolved config without its seed, and without what changes no result."""
    content = {name: value for name, value in config.items() if name not in IDLE}
    if "evaluate" in content:  # which result the tables show is no matter of the run
        content["evaluate"] = {name: value for name, value in content["evaluate"].items() if name != "headline"}
    return hashlib.sha256(json.dumps(json.loads(to_json(content)), sort_keys=True).encode()).hexdigest()


def runs(record: Mapping[str, Any]) -> dict[int, Record]:
    """{seed: record of its run}, by seed; {} where nothing is recorded."""
    if "seeds" in record:
        return {int(seed): run for seed, run in sorted(record["seeds"].items(), key=lambda item: int(item[0]))}
    return {int(record.get("seed", 0)): dict(record)} if record else {}


def joined(found: Mapping[int, Mapping[str, Any]]) -> Record:
    """The record of the runs of several seeds, or of one."""
    if len(found) == 1:
        return dict(next(iter(found.values())))
    return {"seeds": {str(seed): dict(found[seed]) for seed in sorted(found)}}


def first(record: Mapping[str, Any]) -> Record:
    """The record of the first seed: what all have alike, as data, steps and headline."""
    return next(iter(runs(record).values()), {})


def averaged(record: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """{row: results}: of one seed as they are, of several as `mean_and_spread`. A row that no seed changes stays as it is."""
    found = [run["results"] for run in runs(record).values() if "results" in run]
    names = dict.fromkeys(name for results in found for name in results)
    return {name: _of_seeds([results[name] for results in found if name in results]) for name in names}


def _of_seeds(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return dict(results[0]) if all(one == results[0] for one in results) else mean_and_spread(results)


def mean_and_spread(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """One run as it is; of several the mean of each result, and the sample deviation of the runs: 'x', or 'x_mean', and 'x_std'."""
    if len(results) == 1:
        return dict(results[0])
    found = {}
    for key in results[0]:
        values = [r[key] for r in results if r.get(key) is not None]
        if not key.endswith("_std") and len(values) > 1:
            found[key] = statistics.mean(values)
            found[key.removesuffix("_mean") + "_std"] = statistics.stdev(values)
    return found


def missing(record: Mapping[str, Any], seeds: Iterable[int], config: str) -> list[int]:
    """The seeds of which no finished run of the config with that digest is recorded."""
    found = runs(record)
    return [seed for seed in dict.fromkeys(seeds) if found.get(seed, {}).get("config") != config]


def added(record: Mapping[str, Any], seed: int, run: Mapping[str, Any]) -> Record:
    """The record with one more run; runs of another config than its own leave it."""
    kept = {s: r for s, r in runs(record).items() if r.get("config") == run.get("config")}
    return joined({**kept, seed: run})
