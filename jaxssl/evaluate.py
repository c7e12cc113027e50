"""Evaluation: the trained encoder beside raw input and the untrained encoder, under the same probes."""

import itertools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table

from jaxssl.aliases import current_name
from jaxssl.build import build, nearest, resolve
from jaxssl.config import options
from jaxssl.core import State
from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.source import Source
from jaxssl.data.views import places_of
from jaxssl.evaluators.columns import Column, cell, declared, find
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.experiment import Experiment
from jaxssl.files import check_writable, to_json, unused, write_whole
from jaxssl.sharding import put_batch

log = logging.getLogger("jaxssl")

UNTRAINED, TRAINED = "untrained encoder", "trained encoder"


def device_batches(source: Source, experiment: Experiment, batch_size: int) -> Iterator[dict[str, Any]]:
    """A finite pass over a source, in order; the rows that fill up the last batch carry `_mask` False.

    batch_size is rounded up to what the devices can divide: no result depends on it.
    """
    batch_size += -batch_size % experiment.mesh.shape["data"]
    ways = jax.process_index(), jax.process_count()
    for batch in evaluation_batches(source, batch_size=batch_size, process_index=ways[0], process_count=ways[1]):
        yield put_batch(batch, experiment.mesh)


class Evaluation:
    """The evaluators of a config over the data of an experiment."""

    def __init__(self, experiment: Experiment, names: Iterable[str] | None = None):
        self.experiment, section = experiment, experiment.config.evaluate
        serve = lambda source: device_batches(source, experiment, section.batch_size)
        self.data = EvaluationData(lambda: iter(()), serve=serve).of(experiment.splits)
        test = experiment.splits.test
        # What evaluators read beside (`transfer`, `ood`) is then held out alike.
        self.part = self.data.part = "test" if test is None else test.part
        self.evaluators, self.skipped, self.missed, self.columns = {}, {}, {}, {}
        for name in section.evaluators if names is None else names:
            spec = evaluator_spec(section.evaluators, name)
            try:
                self.evaluators[name] = build(spec, self.data)
                self.columns[name] = declared(self.evaluators[name]) or declared(resolve(spec["name"]))
            except NotApplicable as reason:
                self.skipped[name] = str(reason)
        self.floors = {
            name: build(options(spec), self.data, experiment.preprocess) for name, spec in section.floors.items()
        }

    def run(
        self, state: State, *, predict: Callable | None = None, names: Iterable[str] | None = None
    ) -> dict[str, float]:
        """{name: value} of all evaluators, or of those named, for one state; those short of labels are left out."""
        results, predict = {}, self.experiment.predict if predict is None else predict
        for name in self.evaluators if names is None else [n for n in names if n in self.evaluators]:
            try:
                found = self.evaluators[name](predict, state)
                self.columns[name] = self.columns[name] or tuple(Column(key, key, "", "") for key in found)
                results.update(found)
            except LabelsNeeded as reason:  # known only now that the labels have been counted
                if name not in self.skipped:
                    log.info("evaluator %s skipped: %s", name, reason)
                self.skipped[name] = str(reason)
            except NotApplicable as reason:  # of this row alone
                self.missed[name] = str(reason)
                log.debug("evaluator %s skipped for one row: %s", name, reason)
        return results

    def final(self, state: State, workdir: Path, *, baselines: bool = True) -> dict[str, dict[str, float]]:
        """Evaluates the state, its floors and the untrained encoder, prints the table, writes summary.json.

        If the folder cannot be written, a warning comes first and the table is only printed.

        Raises:
          OSError: naming summary.json where it could not be written, after the table.
        """
        writable = check_folder(workdir)
        for name, reason in self.skipped.items():
            log.info("evaluator %s skipped: %s", name, reason)
        summary = {}
        if baselines:
            summary.update({name: self.run(state, predict=floor) for name, floor in self.floors.items()})
            summary[UNTRAINED] = self.run(self.experiment.initial())
        self.missed.clear()
        summary[TRAINED] = self.run(state)
        for name, reason in self.missed.items():  # of floors it is no news that they lack an output
            log.warning("evaluator %s says nothing of the trained encoder: %s", name, reason)
        if jax.process_index() == 0:
            content = dict(
                step=int(state.step),
                data=self.experiment.config.data.name,
                part=self.part,
                train_examples=self.experiment.splits.train.epoch_size,
                test_examples=0 if self.experiment.splits.test is None else self.experiment.splits.test.size,
                device=device_name(),
                results=summary,
            )
            print_table(summary, itertools.chain(*self.columns.values()), self.part)
            if writable:
                write_summary(workdir / "summary.json", content)
        return summary


def check_folder(workdir: Path) -> bool:
    """Whether summary.json can be written; says so before anything is computed where it cannot."""
    if jax.process_index() != 0:
        return False
    try:
        check_writable(workdir)
    except OSError as error:
        log.warning("%s cannot be written (%s): the results are only printed", workdir / "summary.json", error.strerror)
        return False
    return True


def write_summary(file: Path, content: dict) -> None:
    """summary.json, whole or not at all; results of the same state by other evaluators stay in it."""
    try:
        earlier = json.loads(file.read_bytes()) if file.is_file() else {}
        same = earlier.get("step") == content["step"] and current_name(str(earlier.get("data"))) == content["data"]
        same &= earlier.get("part", "test") == content.get("part", "test")
        found = {str(row): dict(values) for row, values in earlier["results"].items()} if same else {}
    except (ValueError, TypeError, KeyError, AttributeError):
        aside = unused(file.with_name("summary.damaged.json"))
        file.rename(aside)
        log.warning("%s cannot be read: set aside as %s", file, aside.name)
        found = {}
    content["results"] = {**found, **{r: {**found.get(r, {}), **v} for r, v in content["results"].items()}}
    try:
        write_whole(file, to_json(content, indent=2) + "\n")
    except OSError as error:
        raise OSError(
            error.errno, f"the results stand above, but could not be written: {error.strerror}", str(file)
        ) from None


def evaluator_spec(evaluators: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The config's options of an evaluator; one of jaxssl.evaluators that it does not have runs with its defaults."""
    if name in evaluators:
        return options(evaluators[name])
    try:
        resolve(f"evaluators.{name}", trusted=False)
    except ValueError:
        raise ValueError(f"no evaluator '{name}' in the config.{nearest(name, evaluators)}") from None
    return {"name": f"evaluators.{name}"}


def device_name() -> str:
    """The devices of the run, in words."""
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    return f"{os.cpu_count()} CPU cores" if kind == "cpu" else f"{count} x {kind}"


def print_table(summary: dict[str, dict[str, float]], known: Iterable[Column], part: str = "test") -> None:
    """A row for each encoder or floor, a column for each measure, with its unit and an arrow to its better side."""
    known = tuple(known)
    where = "on held-out examples" if part == "test" else f"on the {part} part of the training data"
    table = rich.table.Table(title=f"{where} (mean ± spread over draws of labels; ↑ higher is better, ↓ lower)")
    table.add_column("", no_wrap=True)
    # The last row, the trained encoder, has every result that any row has.
    shown = [column for key in summary[list(summary)[-1]] if (column := find(key, known)) is not None]
    for column in shown:
        table.add_column(column.title, justify="right", min_width=max(len(w) for w in column.title.split()))
    for row, results in summary.items():
        table.add_row(row, *[cell(results, column) for column in shown])
    # A fixed width where there is no terminal, so that nothing is cut off in a log.
    console = rich.console.Console()
    (console if console.is_terminal else rich.console.Console(width=120)).print(table)


def embed(
    experiment: Experiment, state: State, source: Source
) -> tuple[np.ndarray, list[str] | None, np.ndarray, np.ndarray]:
    """Features of every readable example of a source: (features [N, D], names or None, labels [N], ids [N])."""
    data = EvaluationData(
        train_batches=lambda: device_batches(source, experiment, experiment.config.evaluate.batch_size)
    )
    found = data.features(experiment.predict, state)
    names = None if source.names is None else list(source.names(places_of(source, found.train_index, "embed")))
    return found.train_x, names, found.train_y, found.train_index
