"""Pipelines: ordinary runs one after the other, joined by files, so that a killed pipeline resumes exactly.

A file `configs/stages/NAME.py` has `get_stages(arg) -> list[Stage]`. Stage number i is a run in `workdir/0i_name`. Where
an option of a config is text that begins with `{name}`, the folder of that earlier stage stands for it:

    Stage("select", select_config, {"study.embeddings": "{pretrain}/embed.npz"})
"""

import functools
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import rich.console
import rich.table
from ml_collections import ConfigDict

from jaxssl.build import nearest
from jaxssl.changes import differences
from jaxssl.config import load_config, override, validate
from jaxssl.config_files import import_config, stage_files
from jaxssl.evaluate import TRAINED
from jaxssl.evaluators.columns import cell, column_of
from jaxssl.files import to_json, write_whole
from jaxssl.measured import mean_and_spread

log = logging.getLogger("jaxssl")

# In the folder of a stage: its options, and its progress.
RECORD = "stage.json"
STARTED, TRAINED_STATE, FINISHED = "started", "trained", "finished"
EARLIER = re.compile(r"^\{(\w+)\}(?=/|$)")


class Stage(NamedTuple):
    """One run of a pipeline.

    name: of the stage; its folder is `workdir/0i_name`.
    config: a config, or FILE.py[:ARG] or the name of one of the project's configs.
    overrides: {'section.option': value}.
    start: name of an earlier stage whose run this one begins from (`config.start`); '' begins anew.
    after: functions of the run folder that write files there for later stages, as `after.embed`; with options by
        functools.partial. They run when the run is at its end, and again from the first where they were interrupted.
    row: of the table; stages of one row are shown as mean and spread. '' is the name of the stage; None: no row.
    """

    name: str
    config: ConfigDict | str
    overrides: Mapping[str, Any] = {}
    start: str = ""
    after: Sequence[Callable[[Path], Any]] = ()
    row: str | None = ""


def load_stages(path: str) -> list[Stage]:
    """The stages of `FILE.py[:ARG]`, or of one of the project's pipelines by its name.

    Raises:
      ValueError: naming the file where there is none, or it has no stages.
    """
    name, _, arg = path.partition(":")
    known = stage_files()
    file = Path(name) if Path(name).is_file() else known.get(name)
    if file is None:
        raise ValueError(f"pipeline '{name}' does not exist.{nearest(name, known)}")
    module = import_config(file)
    if not hasattr(module, "get_stages"):
        raise ValueError(f"pipeline '{file}' defines no function get_stages(arg).")
    return list(module.get_stages(arg or None))


def run_stages(stages: Iterable[Stage], workdir: str | Path) -> dict[str, dict[str, float]]:
    """Runs the unfinished stages of a pipeline, in order, and prints a table of all stages.

    The same call on the same folder resumes: a finished stage is passed over, a run goes on from its last checkpoint, and
    `after` is done again unless all of it was done.

    Returns:
      Results by row, also in `workdir/summary.json`.

    Raises:
      ValueError: two stages of one name, a stage that needs a later one or a file that no stage writes, other options
        than a stage was begun with; what `train` raises.
    """
    stages, workdir = list(stages), Path(workdir)
    folders = check_stages(stages, workdir)
    configs = [resolved(stage, folders) for stage in stages]  # what is wrong in any is said before any runs
    for stage, config in zip(stages, configs, strict=True):
        _run_stage(stage, config, folders, workdir)
    return _report(stages, folders, workdir)


def check_stages(stages: Sequence[Stage], workdir: Path) -> dict[str, Path]:
    """{name: folder} of the stages. Raises ValueError for names that do not fit, or are taken."""
    folders: dict[str, Path] = {}
    names = [stage.name for stage in stages]
    for i, stage in enumerate(stages):
        if not re.fullmatch(r"\w+", stage.name):
            raise ValueError(f"stage '{stage.name}': a name is letters, digits and underscores.")
        if stage.name in folders:
            raise ValueError(f"two stages are called '{stage.name}'.")
        if stage.start and stage.start not in folders:
            wrong = "which comes after it" if stage.start in names else "which does not exist"
            raise ValueError(f"stage '{stage.name}' starts from '{stage.start}', {wrong}.")
        folders[stage.name] = workdir / f"{i:02d}_{stage.name}"
    if not folders:
        raise ValueError("the pipeline has no stage.")
    return folders


def resolved(stage: Stage, folders: Mapping[str, Path]) -> ConfigDict:
    """The config of a stage, the names of earlier stages in braces still in it. Raises ValueError naming the stage."""
    try:
        if isinstance(stage.config, str):
            config = ConfigDict(load_config(stage.config, stage.overrides).to_dict())
        else:
            config = ConfigDict(stage.config.to_dict())
            for name, value in stage.overrides.items():
                override(config, name, value)
            validate(config)
    except (ValueError, TypeError) as error:
        raise ValueError(f"stage '{stage.name}': {error}") from None
    if stage.start:
        config.start.run = f"{{{stage.start}}}"
    before = list(folders)[: list(folders).index(stage.name)]
    for where, text in _texts(config.to_dict()):
        name = EARLIER.match(text)[1]
        if name not in before:
            wrong = "which comes after it" if name in folders else f"which does not exist.{nearest(name, before)}"
            raise ValueError(f"stage '{stage.name}': {where}='{text}' needs the stage '{name}', {wrong}")
    return config


def _run_stage(stage: Stage, config: ConfigDict, folders: Mapping[str, Path], workdir: Path) -> None:
    folder, wanted = folders[stage.name], json.loads(to_json(config.to_dict()))
    record = _read(folder / RECORD)
    if record is not None:
        changed = differences(record["config"], wanted)
        if record["after"] != names_of(stage.after):
            changed["after"] = record["after"], names_of(stage.after)
        if changed:
            said = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in list(changed.items())[:5])
            raise ValueError(
                f"{folder} was made with other options ({said}); take a new --workdir, or delete that folder and those"
                " after it."
            )
    state = record["state"] if record is not None else ""
    if state == FINISHED:
        log.info("stage %s is finished: %s", stage.name, folder)
        return
    record = dict(config=wanted, after=names_of(stage.after))
    if not state:
        _write(folder, {**record, "state": STARTED})
    if state != TRAINED_STATE:
        log.info("stage %s: %s", stage.name, folder)
        _train(_placed(stage, config, folders), folder)
        _write(folder, {**record, "state": TRAINED_STATE})
    for function in stage.after:
        function(folder)
    _write(folder, {**record, "state": FINISHED})


def _train(config: ConfigDict, folder: Path) -> None:
    if config.study.name:
        from jaxssl.study import run_study

        run_study(config, folder)
    else:
        from jaxssl.train import train

        train(config, folder)


def _placed(stage: Stage, config: ConfigDict, folders: Mapping[str, Path]) -> ConfigDict:
    """The config with folders in the place of names of stages. Raises ValueError where a file is not there."""
    placed = {}
    for where, text in _texts(config.to_dict()):
        name = EARLIER.match(text)[1]
        path = folders[name] / text[len(name) + 2 :].lstrip("/")
        if not path.exists():
            written = (
                ", ".join(sorted(p.name for p in folders[name].iterdir() if p.suffix in (".npy", ".npz"))) or "no file"
            )
            raise ValueError(
                f"stage '{stage.name}': {where}='{text}' does not exist: stage '{name}' has no `after` that writes it; it"
                f" writes {written}."
            )
        placed[where] = str(path)

    def put(node: Any, where: str) -> Any:
        if isinstance(node, dict):
            return {k: put(v, f"{where}.{k}" if where else k) for k, v in node.items()}
        if isinstance(node, tuple | list):
            return tuple(put(v, f"{where}.{i}") for i, v in enumerate(node))
        return placed.get(where, node)

    return ConfigDict(put(config.to_dict(), "")).lock()


def _texts(node: Any, where: str = "") -> Iterable[tuple[str, str]]:
    """(path, text) of all options that begin with the name of a stage in braces."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{where}.{name}" if where else name)
    elif isinstance(node, tuple | list):
        for i, value in enumerate(node):
            yield from _texts(value, f"{where}.{i}")
    elif isinstance(node, str) and EARLIER.match(node) and not where.startswith("optim."):
        yield where, node


def names_of(functions: Sequence[Callable]) -> list[str]:
    """Functions and their options as text."""
    names = []
    for function in functions:
        options = {}
        while isinstance(function, functools.partial):
            options, function = {**function.keywords, **options}, function.func
        module = function.__module__.rpartition(".")[2].removeprefix("jaxssl_config_")
        names.append(f"{module}.{function.__qualname__}{options or ''}")
    return names


def _read(file: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_bytes())
        record["config"], record["after"], record["state"]
        return record
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{file} is damaged; delete its folder and those after it, and the pipeline makes them anew."
        ) from None


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / RECORD, to_json(record, indent=2) + "\n")


def _report(stages: Sequence[Stage], folders: Mapping[str, Path], workdir: Path) -> dict[str, dict[str, float]]:
    """Prints and writes the results of all stages, those of one row as mean and spread."""
    grouped: dict[str, list[dict[str, float]]] = {}
    for stage in stages:
        file = folders[stage.name] / "summary.json"
        if stage.row is None or not file.is_file():
            continue
        results = json.loads(file.read_bytes())["results"]
        if TRAINED in results:
            grouped.setdefault(stage.row or stage.name, []).append(results[TRAINED])
        for row, values in results.items():
            if TRAINED in results and row != TRAINED and row not in grouped:
                grouped[row] = [values]  # floors: of the first run that has them
    rows = {row: mean_and_spread(results) for row, results in grouped.items()}
    if rows and jax.process_index() == 0:
        counts = {row: len(results) for row, results in grouped.items()}
        print_rows(rows, counts)
        write_whole(workdir / "summary.json", to_json(dict(results=rows, runs=counts), indent=2) + "\n")
    return rows


def print_rows(rows: Mapping[str, Mapping[str, float]], counts: Mapping[str, int]) -> None:
    """The table of a pipeline: floors and stages. counts: runs of each row."""
    keys = [key for key in dict.fromkeys(key for results in rows.values() for key in results) if key[-4:] != "_std"]
    columns = [column_of(key) for key in keys]
    table = rich.table.Table(title="mean ± spread: over runs where a row has several, else over draws of labels")
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="right", min_width=max(len(w) for w in column.title.split()))
    for row, results in rows.items():
        cells = [cell(results, column) for column in columns]
        table.add_row(f"{row} ({counts[row]} runs)" if counts[row] > 1 else row, *cells)
    console = rich.console.Console()
    (console if console.is_terminal else rich.console.Console(width=140)).print(table)
