"""A run that trains nothing: the function that section `study` names, its results in a run folder as of any other run.

    study = dict(name="studies.coreset", embeddings="runs/simclr/embed.npz", budget=1000)

The function gets the data and the folder, and its options: (splits, workdir, *, ...) -> {name: value}, or one such dict for
each row of the table, {row: {name: value}}. Its columns are declared as those of an evaluator.
"""

import contextlib
import logging
from collections.abc import Mapping
from pathlib import Path

import jax
from ml_collections import ConfigDict

from jaxssl.build import build, resolve
from jaxssl.changes import record_config
from jaxssl.config import options
from jaxssl.evaluate import device_name, print_table, write_summary
from jaxssl.evaluators.columns import Column, declared
from jaxssl.experiment import load_splits
from jaxssl.folder import occupied
from jaxssl.runlog import logged_to

log = logging.getLogger("jaxssl")

Rows = dict[str, dict[str, float]]


def run_study(config: ConfigDict, workdir: str | Path) -> Rows:
    """Runs the study of a config; the folder gets config.json, log.txt, summary.json and what the study writes.

    The same command does it again.

    Returns:
      Results by row.

    Raises:
      ValueError, TypeError: options or data that do not fit.
      lock.Occupied: another process works in the folder.
    """
    workdir = Path(workdir)
    with occupied(workdir):
        logged = logged_to(workdir / "log.txt") if jax.process_index() == 0 else contextlib.nullcontext()
        with logged:
            splits = load_splits(config)
            record_config(config, workdir, 0)
            found = build(options(config.study), splits, workdir)
            name = config.study.name.rpartition(".")[2]
            rows = found if found and all(isinstance(row, Mapping) for row in found.values()) else {name: found}
            rows = {row: {key: float(value) for key, value in results.items()} for row, results in rows.items()}
            if jax.process_index() == 0:
                known = declared(resolve(config.study.name))
                keys = dict.fromkeys(key for results in rows.values() for key in results)
                print_table(rows, known or tuple(Column(key, key, "", "") for key in keys))
                content = dict(
                    step=0,
                    data=config.data.name,
                    part="test" if splits.test is None else splits.test.part,
                    train_examples=splits.train.epoch_size,
                    test_examples=0 if splits.test is None else splits.test.size,
                    device=device_name(),
                    results=rows,
                )
                write_summary(workdir / "summary.json", content)
            return rows
