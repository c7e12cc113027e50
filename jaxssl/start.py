"""Begin from another run, or from a file of weights, with a report key by key."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.build import build, nearest
from jaxssl.checkpoint import Checkpoints
from jaxssl.config import options
from jaxssl.core import STATS, TEACHER, TEACHER_STATS, State
from jaxssl.experiment import Experiment
from jaxssl.models.positions import resample
from jaxssl.stored import flat, read_networks, unflat, within

log = logging.getLogger("jaxssl")

LOADED, RESIZED, FRESH = "loaded", "resized", "left fresh"


def started(experiment: Experiment, start: Mapping[str, Any]) -> State:
    """The first state of a run: that of `experiment.initial`, with the weights that section `start` takes.

    The log says of every array whether it was loaded, resized (tables of positions) or left fresh, and why.

    Args:
      experiment: of the new run.
      start: run: run folder, or ''. file: FILE.safetensors for the encoder, or ''. step: of the run's checkpoint; None
        is the newest. parts: networks by name, or {name here: name there}, as {'encoder/video': 'encoder'}; into student,
        teacher and statistics alike. state: take all, optimiser and step too; the config must be that of the run.

    Raises:
      ValueError: no such run, step or file; a part that matches nothing here or there; run and file both.
    """
    start = {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in dict(start).items()}
    run, file = start.get("run"), start.get("file")
    if run and file:
        raise ValueError(f"start.run='{run}', start.file='{file}': one of them, or none.")
    if file:
        return _from_file(experiment, file)
    if not run:
        return experiment.initial()
    if start.get("state"):
        return _whole(experiment, run, start.get("step"))
    parts = start.get("parts") or ("encoder",)
    return _from_run(experiment, run, start.get("step"), parts if isinstance(parts, Mapping) else {p: p for p in parts})


def _whole(experiment: Experiment, run: str, step: int | None) -> State:
    checkpoints = Checkpoints(Path(run) / "checkpoints", read_only=True)
    try:
        state = checkpoints.restore(experiment.like(), step)
    finally:
        checkpoints.close()
    if state is None:
        raise ValueError(f"start.run='{run}': holds no checkpoint.")
    log.info("start: all of %s at step %d, optimiser and step too", run, int(state.step))
    return state


def _from_run(experiment: Experiment, run: str, step: int | None, parts: Mapping[str, str]) -> State:
    try:
        there = read_networks(run, step, trust=True)
    except ValueError as error:
        raise ValueError(f"start.run='{run}': {error}") from None
    state = experiment.initial()
    params, memory = dict(state.params), dict(state.memory)
    places = [("params", params, there.params, None)]
    for name, source in ((STATS, there.stats), (TEACHER, there.params), (TEACHER_STATS, there.stats)):
        if isinstance(memory.get(name), Mapping):
            memory[name] = dict(memory[name])
            places.append((name, memory[name], source, memory))
    for here, origin in parts.items():
        if within(there.params, origin) is None:
            raise ValueError(f"start.parts: '{origin}' matches nothing in {run}.{nearest(origin, there.params)}")
        if within(params, here) is None:
            raise ValueError(f"start.parts: '{here}' matches nothing in this config.{nearest(here, params)}")
        matched = 0
        for label, tree, source, _ in places:
            old, new = within(tree, here), within(source, origin)
            if old is None:
                continue
            merged, report = merge(old, {} if new is None else new)
            matched += _say(report, f"{label}/{here}")
            _put(tree, here, merged)
        if not matched:
            raise ValueError(f"start.parts: no array of '{here}' has name and shape of one of '{origin}' in {run}.")
    log.info("start: %s of %s at step %d", ", ".join(parts), run, there.step)
    return _placed(experiment, state._replace(params=params, memory=memory))


def _from_file(experiment: Experiment, file: str) -> State:
    from jaxssl.core import replace_encoder, statistics
    from jaxssl.models.weights import import_timm

    if not Path(file).is_file():
        raise ValueError(f"start.file='{file}': there is no such file.")
    state = experiment.initial()
    if "encoder" not in state.params:
        raise ValueError(f"start.file='{file}': this method has no network 'encoder', only {sorted(state.params)}.")
    stats = statistics(state.memory).get("encoder", {})
    encoder = build(options(experiment.config.encoder))
    weights = import_timm(file, encoder, state.params["encoder"], stats)
    for tree, old in zip(weights, (state.params["encoder"], stats), strict=True):
        before = flat(old)
        kept = lambda path, x: x is before[path]
        _say({p: (FRESH, "not in the file") if kept(p, x) else (LOADED, "") for p, x in flat(tree).items()}, "encoder")
    log.info("start: encoder of %s", file)
    return _placed(experiment, replace_encoder(experiment.method, state, *weights))


def merge(old: Any, new: Any) -> tuple[Any, dict[str, tuple[str, str]]]:
    """The tree `old` with the arrays of `new` that have the same path and fit.

    Returns:
      (tree, {path: (LOADED | RESIZED | FRESH, reason)}). Tables of positions [P + L, D] of another square grid are
      resampled; an array of another shape, or one that `new` lacks, is left as it is.
    """
    if not isinstance(old, Mapping):
        old, new, bare = {"": old}, {"": new} if not isinstance(new, Mapping) else {}, True
    else:
        bare = False
    here, there, report, merged = flat(old), flat(new), {}, {}
    for path, value in here.items():
        found = there.get(path)
        merged[path], report[path] = value, (FRESH, "not there")
        if found is None:
            continue
        if found.shape == value.shape:
            merged[path], report[path] = jnp.asarray(found, value.dtype), (LOADED, "")
        elif path.endswith("pos_embed") and (table := resized(found, value.shape)) is not None:
            report[path] = RESIZED, f"{list(found.shape)} to {list(value.shape)}"
            merged[path] = jnp.asarray(table, value.dtype)
        else:
            report[path] = FRESH, f"{list(found.shape)} there, {list(value.shape)} here"
    return (merged[""] if bare else _like(old, merged)), report


def resized(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A table of positions [P + h h, D] for another grid [P + k k, D], P the same; None where it is none."""
    if table.ndim != 2 or len(shape) != 2 or table.shape[1] != shape[1]:
        return None
    for prefix in range(6):
        sides = [math.isqrt(max(length - prefix, 0)) for length in (table.shape[0], shape[0])]
        if all(side and side**2 + prefix == length for side, length in zip(sides, (table.shape[0], shape[0]))):
            (old, new), patches = sides, jnp.asarray(table[prefix:])
            return np.concatenate([table[:prefix], np.asarray(resample(patches, (old, old), (new, new)))])
    return None


def _like(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """`tree` with these arrays; what it has of empty dicts stays."""
    found = unflat(arrays)

    def fill(old, new):
        return {k: fill(v, new.get(k, {})) for k, v in old.items()} if isinstance(old, Mapping) else new

    return fill(tree, found)


def _put(tree: dict, path: str, value: Any) -> None:
    *names, last = path.split("/")
    for name in names:
        tree[name] = dict(tree[name])
        tree = tree[name]
    tree[last] = value


def _say(report: Mapping[str, tuple[str, str]], where: str) -> int:
    """Writes the report to the log; the number of arrays that were taken."""
    for path, (what, why) in report.items():
        log.info("start: %s: %s%s", "/".join(filter(None, (where, path))), what, f" ({why})" if why else "")
    return sum(what != FRESH for what, _ in report.values())


def _placed(experiment: Experiment, state: State) -> State:
    return jax.device_put(state, jax.tree.map(lambda x: x.sharding, experiment.abstract))
