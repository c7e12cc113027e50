"""The command line: train, evaluate, embed, export, import, list."""

import argparse
import contextlib
import logging
import math
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jaxssl.processes import RESUME

if TYPE_CHECKING:  # imported late, so that --help is quick
    from jaxssl.core import State
    from jaxssl.experiment import Experiment

log = logging.getLogger("jaxssl")

OVERRIDE = "--config."


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status.

    0 finished; 1 the run itself failed; 2 the input was wrong; 75 stopped before the end: the same command resumes.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        argv, overrides = split_overrides(argv)
        args = parser().parse_args(argv)
        if overrides and args.run is _list:
            raise ValueError(f"{OVERRIDE}...: {args.command} takes no overrides.")
        keep_compiled()
        with terminated():
            return args.run(args, overrides) or 0
    except KeyboardInterrupt:
        return _said("stopped; the same command does it again, or resumes.", RESUME)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in TRAIN_MODULES or "--traceback" in argv:
            raise
        return _said(f"the module {missing} is not installed; pip install 'jaxssl[train]' brings it.", 2)
    except (ValueError, TypeError, *WRONG_FILES) as error:
        if "--traceback" in argv:
            raise
        return _said(error, 2)
    except (OSError, RuntimeError) as error:
        status = _status(error)
        if status is None or "--traceback" in argv:
            raise
        return _said(error, status)


# Modules of the extra `train`, which every command needs.
TRAIN_MODULES = (
    "av",
    "cv2",
    "ml_collections",
    "orbax",
    "PIL",
    "pyarrow",
    "rich",
    "safetensors",
    "scipy",
    "simplejpeg",
    "sklearn",
    "soundfile",
    "tensorboardX",
    "tensorflow",
    "tensorflow_datasets",
)


# Errors of files that the caller named; other errors of files are failures of the run.
WRONG_FILES = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def _said(error: Exception | str, status: int) -> int:
    from jaxssl.names import shown

    lines = getattr(error, "lines", (str(error),))
    print("jaxssl: " + "\n".join(map(shown, lines)), file=sys.stderr)
    return status


def _status(error: Exception) -> int | None:
    """The exit status of an error that needs no traceback, or None."""
    if isinstance(error, OSError):
        return 1
    from jaxssl.checkpoint import NotSaved
    from jaxssl.lock import Occupied
    from jaxssl.monitor import Collapse, NonFinite
    from jaxssl.train import Stopped

    if isinstance(error, Stopped | Occupied):
        return RESUME
    return 1 if isinstance(error, NonFinite | Collapse | NotSaved) else None


@contextlib.contextmanager
def terminated() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does; training has handlers of its own, which save first."""

    def stop(_number, _frame):
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_compiled() -> None:
    """Compiled programs go to the user's cache folder, so that the same command starts faster the next time.

    JAX_COMPILATION_CACHE_DIR names another folder; empty, it turns this off.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(cache, "jaxssl", "compiled"))


def split_overrides(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """Takes `--config.section.option=value` (or `... value`) out of the arguments."""
    rest, overrides, words = [], {}, iter(argv)
    for word in words:
        if not word.startswith(OVERRIDE):
            rest.append(word)
            continue
        name, equals, value = word.removeprefix(OVERRIDE).partition("=")
        value = value if equals else next(words, None)
        if value is None:
            raise ValueError(f"{word}: give a value, as in {word}=...")
        overrides[name] = value
    return rest, overrides


def parser() -> argparse.ArgumentParser:
    """The arguments of all commands."""
    top = argparse.ArgumentParser(prog="jaxssl", description="Self-supervised learning in JAX.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text, aliases=()):
        sub = commands.add_parser(name, help=text, description=text, aliases=aliases)
        sub.set_defaults(run=run)
        sub.add_argument("--traceback", action="store_true", help="show the Python traceback of an error")
        if name != "list":
            sub.add_argument(
                "--trust",
                action="store_true",
                help="import and run what a run folder's config.json names outside jaxssl",
            )
        return sub

    sub = command("train", _train, "Train an encoder; a folder that holds checkpoints is resumed.")
    sub.add_argument("config", help="FILE.py[:ARG], or a config's name as in simclr_fashion_mnist_12k:quick")
    sub.add_argument("--workdir", required=True, help="run folder")
    sub.add_argument("--data", help="path of the data, for sources that take one")
    sub.add_argument("--coordinator", metavar="HOST:PORT", help="several processes: address of process 0, or auto")
    sub.add_argument("--num-processes", type=int, help="several processes: how many")
    sub.add_argument("--process-id", type=int, help="several processes: which one this is, from 0")
    sub.add_argument("--mesh", metavar="DATAxMODEL", help="devices along both axes of the mesh, e.g. 8x1")
    sub.add_argument(
        "--allow-changes", action="store_true", help="resume with another seed, batch size, method or other data"
    )
    sub.add_argument(
        "--init", metavar="FILE.safetensors|RUN", help="begin with the encoder of a file or of a run folder"
    )
    sub.add_argument("--restart", action="store_true", help="begin at step 0; moves what the folder holds to earlier/")

    sub = command("stages", _stages, "Run a pipeline of runs, one after the other; the same command resumes it.")
    sub.add_argument("pipeline", help="FILE.py[:ARG], or the name of a file in configs/stages")
    sub.add_argument("--workdir", required=True, help="folder of the pipeline; its runs are folders in it")

    sub = command("evaluate", _evaluate, "Evaluate a run and its floors: raw input and the untrained encoder.")
    sub.add_argument("workdir", help="run folder")
    sub.add_argument("--evaluators", help="comma-separated names; default: all of the config")
    sub.add_argument("--step", type=int, help="checkpoint to evaluate; default: the newest")
    sub.add_argument("--data", help="evaluate on other data of the same kind")
    sub.add_argument("--no-baselines", action="store_true", help="only the trained encoder")

    sub = command("embed", _embed, "Write the features of examples, with their names, to .npz or .parquet.")
    sub.add_argument("workdir", help="run folder")
    sub.add_argument(
        "--data", help="a folder of images, or the path that the run's data source takes; default: the run's data"
    )
    sub.add_argument(
        "--out",
        required=True,
        help=r"FILE.npz or FILE.parquet; in names a byte that is no UTF-8, and a backslash, is written \xNN",
    )
    sub.add_argument("--step", type=int, help="checkpoint; default: the newest")

    sub = command("export", _export, "Write the encoder's weights as safetensors with timm's names.")
    sub.add_argument("workdir", help="run folder")
    sub.add_argument("--out", required=True, help="FILE.safetensors")
    sub.add_argument("--step", type=int, help="checkpoint; default: the newest")

    sub = command("import", _import, "Start a run folder from a safetensors file with timm's names.")
    sub.add_argument("config", help="FILE.py[:ARG], or a config's name")
    sub.add_argument("--weights", required=True, help="FILE.safetensors")
    sub.add_argument("--workdir", required=True, help="run folder to make; `train` goes on from it")
    sub.add_argument("--data", help="path of the data, for sources that take one")
    sub.add_argument("--grey-from-rgb", action="store_true", help="sum the colours of the first layer for grey images")
    sub.add_argument("--ignore", metavar="PREFIX", action="append", default=[], help="pass over names that begin so")

    sub = command("list", _list, "Every system with its paper, configs and measured numbers.", aliases=["methods"])
    sub.add_argument("--modality", help="only those of one kind of data, as image, audio or table")
    sub.add_argument("--family", help="only those of one family, as contrast or reconstruction")
    sub.add_argument("--kind", help="only those of one kind: pre-training, adaptation, evaluation or study")
    return top


def _train(args, overrides):
    from jaxssl.config import load_config
    from jaxssl.processes import join, stopped_by_others
    from jaxssl.runlog import setup_logging

    if args.mesh:
        data, _, model = args.mesh.partition("x")
        overrides = {**overrides, "mesh.data": data, "mesh.model": model or "1"}
    if args.init:
        overrides = {**overrides, f"start.{init_option(args.init)}": args.init}
    config = load_config(args.config, overrides, data=args.data, trust=args.trust)
    workdir = Path(args.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir {workdir} is a file; give a folder.")
    if config.study.name:
        from jaxssl.study import run_study

        setup_logging()
        run_study(config, workdir)
        return
    join(args.coordinator, args.num_processes, args.process_id)
    import jax

    from jaxssl.train import train  # after the config: what is wrong there is said before anything heavy is loaded

    # The others say nothing, or every line would be there as often as there are processes.
    setup_logging(quiet=jax.process_index() != 0)
    with stopped_by_others():
        train(config, workdir, allow_changes=args.allow_changes, restart=args.restart)


def init_option(path: str) -> str:
    """The option of section `start` for the value of --init. Raises ValueError where it is neither file nor run."""
    if Path(path).is_dir():
        return "run"
    if Path(path).is_file() and path.endswith(".safetensors"):
        return "file"
    raise ValueError(f"--init {path}: give a run folder, or FILE.safetensors.")


def _stages(args, overrides):
    from jaxssl.runlog import setup_logging
    from jaxssl.stages import load_stages, run_stages

    if overrides:
        raise ValueError(f"{OVERRIDE}...: stages takes no overrides; the pipeline's file says all options.")
    setup_logging()
    run_stages(load_stages(args.pipeline), args.workdir)


def open_run(
    workdir: str,
    overrides: Mapping[str, str] | None = None,
    *,
    data: str | None = None,
    step: int | None = None,
    trust: bool = False,
) -> tuple["Experiment", "State"]:
    """(experiment, state) of a run folder.

    Args:
      workdir: the run folder.
      overrides: as in `config.load_config`.
      data: as in `config.load_config`; the rows are then scaled as those that the run was trained on.
      step: of the checkpoint; None: the newest.
      trust: config.json may name factories that are not of jaxssl.
    """
    import jax

    from jaxssl.checkpoint import Checkpoints
    from jaxssl.config import load_config, options
    from jaxssl.experiment import setup
    from jaxssl.frozen import redirected

    folder = Path(workdir)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} is no run folder: it has no config.json; `jaxssl train --workdir {folder}` makes one."
        )
    config = load_config(str(folder / "config.json"), overrides, data=data, trust=trust)
    if "evaluate.part" in (overrides or {}) and config.evaluate.part == "validation" and data is None:
        if load_config(str(folder / "config.json"), trust=trust).evaluate.part != "validation":
            raise ValueError(
                "evaluate.part='validation': this run was trained on the examples of that part; train it with the same"
                " option, in a new --workdir."
            )
    if data is not None:
        trained_on = load_config(str(folder / "config.json"), trust=trust).data
        with config.unlocked():
            config.data.update(scaled_as(options(trained_on)))
    if "mesh.data" not in (overrides or {}):
        # The run may have been trained on another number of devices.
        with config.unlocked():
            config.mesh.data = math.gcd(config.batch_size, max(jax.device_count() // config.mesh.model, 1))
    experiment = setup(redirected(config, folder))
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    state = checkpoints.restore(experiment.like(), step)
    checkpoints.close()
    if state is None:
        raise ValueError(f"{folder}/checkpoints is empty: nothing has been trained yet.")
    return experiment, state


def _evaluate(args, overrides):
    from jaxssl.runlog import setup_logging

    setup_logging()
    experiment, state = open_run(args.workdir, overrides, data=args.data, step=args.step, trust=args.trust)
    from jaxssl.evaluate import Evaluation

    names = args.evaluators.split(",") if args.evaluators else None
    Evaluation(experiment, names).final(state, Path(args.workdir), baselines=not args.no_baselines)


def _embed(args, overrides):
    import numpy as np

    from jaxssl.outputs import check_output, stored_name, write_features

    out = check_output(args.out, ".npz", ".parquet")
    experiment, state = open_run(args.workdir, overrides, step=args.step, trust=args.trust)
    from jaxssl.evaluate import embed

    parts = list(_sources(args.data, experiment))
    columns = [embed(experiment, state, source) for _, source in parts]
    features = np.concatenate([c[0] for c in columns])
    labels = np.concatenate([c[2] for c in columns])
    names = [n for (split, _), c in zip(parts, columns) for n in (c[1] or [f"{split}/{i}" for i in c[3]])]
    write_features(out, features, labels, names)
    print(f"{stored_name(str(out))}: {features.shape[0]} rows of {features.shape[1]} features")


def _sources(data: str | None, experiment):
    """(split, source) pairs to embed: those of the run, or all images below a folder."""
    from jaxssl.build import build, options_of, resolve
    from jaxssl.config import options

    if data is None:
        yield from experiment.splits.sources().items()
        return
    from jaxssl.data.readers.packed import is_pack

    section = {k: v for k, v in options(experiment.config.data).items() if k != "mode"}
    if is_pack(data):
        section = dict(name="data.readers.packed")
    if "path" not in options_of(resolve(section["name"])):
        example = experiment.splits.train.fetch([0])
        if "image" not in example:
            raise ValueError(f"--data: the run's data source {section['name']} takes no path.")
        size, channels = example["image"].shape[-2:]
        section = dict(name="data.readers.image_folder", image_size=int(size), channels=int(channels))
    yield from build({**section, **scaled_as(section), "path": data}).sources().items()


def scaled_as(section: dict) -> dict:
    """Where a data source says by an option `like` how new rows are scaled: by those that the run was trained on."""
    from jaxssl.build import options_of, resolve

    takes = "like" in options_of(resolve(section["name"])) and not section.get("like")
    return {"like": section["path"]} if takes else {}


def _export(args, overrides):
    from jaxssl.build import build
    from jaxssl.config import options
    from jaxssl.outputs import check_output, stored_name

    check_output(args.out, ".safetensors")
    experiment, state = open_run(args.workdir, overrides, step=args.step, trust=args.trust)
    from jaxssl.models.weights import export_timm

    encoder = build(options(experiment.config.encoder))
    params, stats = experiment.method.networks(state.params, state.memory)
    export_timm(args.out, encoder, params["encoder"], stats.get("encoder", {}))
    print(f"{stored_name(args.out)}: encoder {experiment.config.encoder.name} at step {int(state.step)}")


def _import(args, overrides):
    from jaxssl.build import build
    from jaxssl.changes import write_config
    from jaxssl.checkpoint import Checkpoints
    from jaxssl.config import load_config, options

    if not Path(args.weights).is_file():
        raise ValueError(f"--weights {args.weights} does not exist.")
    config = load_config(args.config, overrides, data=args.data, trust=args.trust)
    workdir = Path(args.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir {workdir} is a file; give a folder.")
    if (workdir / "checkpoints").exists():
        raise ValueError(f"--workdir {workdir} holds checkpoints already; give a new folder.")
    from jaxssl.core import statistics
    from jaxssl.experiment import setup, with_encoder
    from jaxssl.models.weights import import_timm
    from jaxssl.runlog import setup_logging

    setup_logging()
    experiment = setup(config)
    state = experiment.initial()
    stats = statistics(state.memory).get("encoder", {})
    chosen = dict(grey_from_rgb=args.grey_from_rgb, ignore=args.ignore)
    weights = import_timm(args.weights, build(options(config.encoder)), state.params["encoder"], stats, **chosen)
    state = with_encoder(experiment, state, *weights)
    write_config(config, workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", config.checkpoint.keep)
    checkpoints.save(state, 0)
    checkpoints.close()
    print(f"{workdir}: step 0 with the encoder of {args.weights}; heads are new. `jaxssl train` goes on from here.")


def _list(args, overrides):
    import rich.console
    import rich.table

    from jaxssl.index import rows, shown

    head = ("system", "paper", "modality", "family", "kind", "config", "measure", "trained", "seeds")
    table = rich.table.Table(*head[:1], *(rich.table.Column(name, no_wrap=name == "config") for name in head[1:]))
    for row in rows(modality=args.modality, family=args.family, kind=args.kind):
        card, config = row.system.card, shown(row.config) if row.config is not None else "none"
        table.add_row(
            card.name,
            card.paper,
            row.modality,
            card.family,
            card.kind,
            config,
            row.column.title,
            row.value,
            str(row.seeds or ""),
        )
    console = rich.console.Console()
    (console if console.is_terminal else rich.console.Console(width=200)).print(table)


if __name__ == "__main__":
    sys.exit(main())
