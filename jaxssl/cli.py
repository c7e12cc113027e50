"""The command line: train, evaluate, embed, export, import, methods."""

import argparse
import logging
import math
import os
import sys
from pathlib import Path

log = logging.getLogger("jaxssl")

OVERRIDE = "--config."


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 well, 1 the run itself failed, 2 the input was wrong."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        argv, overrides = split_overrides(argv)
        args = parser().parse_args(argv)
        if overrides and args.command not in ("train", "evaluate", "import"):
            raise ValueError(f"{OVERRIDE}...: only train, evaluate and import take overrides.")
        keep_compiled()
        return args.run(args, overrides) or 0
    except (ValueError, TypeError, FileNotFoundError, NotADirectoryError) as error:
        if "--traceback" in argv:
            raise
        print(f"jaxssl: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        from jaxssl.monitor import Collapse, NonFinite

        if not isinstance(error, NonFinite | Collapse):
            raise
        log.error("%s", error)
        print(f"jaxssl: {error}", file=sys.stderr)
        return 1


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

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--traceback", action="store_true", help="show the Python traceback of an error")
        return sub

    sub = command("train", _train, "Train an encoder; a folder that holds checkpoints is resumed.")
    sub.add_argument("config", help="FILE.py[:ARG], e.g. configs/simclr_fashion_mnist_12k.py:quick")
    sub.add_argument("--workdir", required=True, help="run folder")
    sub.add_argument("--data", help="path of the data, for sources that take one")
    sub.add_argument("--coordinator", metavar="HOST:PORT", help="several processes: address of process 0, or auto")
    sub.add_argument("--num-processes", type=int, help="several processes: how many")
    sub.add_argument("--process-id", type=int, help="several processes: which one this is, from 0")
    sub.add_argument("--mesh", metavar="DATAxMODEL", help="devices along both axes of the mesh, e.g. 8x1")

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
    sub.add_argument("--out", required=True, help="FILE.npz or FILE.parquet")
    sub.add_argument("--step", type=int, help="checkpoint; default: the newest")

    sub = command("export", _export, "Write the encoder's weights as safetensors with timm's names.")
    sub.add_argument("workdir", help="run folder")
    sub.add_argument("--out", required=True, help="FILE.safetensors")
    sub.add_argument("--step", type=int, help="checkpoint; default: the newest")

    sub = command("import", _import, "Start a run folder from a safetensors file with timm's names.")
    sub.add_argument("config", help="FILE.py[:ARG]")
    sub.add_argument("--weights", required=True, help="FILE.safetensors")
    sub.add_argument("--workdir", required=True, help="run folder to make; `train` goes on from it")
    sub.add_argument("--data", help="path of the data, for sources that take one")

    command("methods", _methods, "Every method with its paper, config and measured number.")
    return top


def _train(args, overrides):
    from jaxssl.config import load_config
    from jaxssl.processes import join, stopped_by_others
    from jaxssl.runlog import setup_logging

    if args.mesh:
        data, _, model = args.mesh.partition("x")
        overrides = {**overrides, "mesh.data": data, "mesh.model": model or "1"}
    config = load_config(args.config, overrides, data=args.data)
    workdir = Path(args.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir {workdir} is a file; give a folder.")
    join(args.coordinator, args.num_processes, args.process_id)
    import jax

    from jaxssl.train import train  # after the config: what is wrong there is said before anything heavy is loaded

    first = jax.process_index() == 0
    workdir.mkdir(parents=True, exist_ok=True)
    # The others say warnings only, or every line would be there as often as there are processes.
    setup_logging(workdir if first else None, quiet=not first)
    with stopped_by_others():
        train(config, workdir)


def open_run(workdir: str, overrides=None, *, data=None, step=None):
    """(experiment, state) of a run folder."""
    import jax

    from jaxssl.checkpoint import Checkpoints
    from jaxssl.config import load_config, options
    from jaxssl.experiment import setup

    folder = Path(workdir)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder} is no run folder: it has no config.json; `jaxssl train --workdir {folder}` makes one."
        )
    config = load_config(str(folder / "config.json"), overrides, data=data)
    if data is not None:
        trained_on = load_config(str(folder / "config.json")).data
        with config.unlocked():
            config.data.update(scaled_as(options(trained_on)))
    if "mesh.data" not in (overrides or {}):
        # The run may have been trained on another number of devices.
        with config.unlocked():
            config.mesh.data = math.gcd(config.batch_size, max(jax.device_count() // config.mesh.model, 1))
    experiment = setup(config)
    checkpoints = Checkpoints(folder / "checkpoints", read_only=True)
    state = checkpoints.restore(experiment.like(), step)
    checkpoints.close()
    if state is None:
        raise ValueError(f"{folder}/checkpoints is empty: nothing has been trained yet.")
    return experiment, state


def _evaluate(args, overrides):
    from jaxssl.runlog import setup_logging

    setup_logging()
    experiment, state = open_run(args.workdir, overrides, data=args.data, step=args.step)
    from jaxssl.evaluate import Evaluation

    names = args.evaluators.split(",") if args.evaluators else None
    Evaluation(experiment, names).final(state, Path(args.workdir), baselines=not args.no_baselines)


def _embed(args, overrides):
    import numpy as np

    out = Path(args.out)
    if out.suffix not in (".npz", ".parquet"):
        raise ValueError(f"--out {out}: the name must end in .npz or .parquet.")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out}: the folder {out.parent} does not exist.")
    experiment, state = open_run(args.workdir, step=args.step)
    from jaxssl.evaluate import embed

    parts = list(_sources(args.data, experiment))
    columns = [embed(experiment, state, source) for _, source in parts]
    features = np.concatenate([c[0] for c in columns])
    labels = np.concatenate([c[2] for c in columns])
    names = [n for (split, _), c in zip(parts, columns) for n in (c[1] or [f"{split}/{i}" for i in c[3]])]
    if out.suffix == ".npz":
        np.savez_compressed(out, features=features, label=labels, name=np.asarray(names))
    else:
        import pyarrow
        import pyarrow.parquet

        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(features.reshape(-1)), features.shape[1])
        pyarrow.parquet.write_table(pyarrow.table({"name": names, "label": labels, "features": rows}), out)
    print(f"{out}: {features.shape[0]} rows of {features.shape[1]} features")


def _sources(data: str | None, experiment):
    """(split, source) pairs to embed: those of the run, or all images below a folder."""
    from jaxssl.build import build, options_of, resolve
    from jaxssl.config import options

    if data is None:
        yield from experiment.splits.sources().items()
        return
    from jaxssl.data.packed import is_pack

    section = {k: v for k, v in options(experiment.config.data).items() if k != "mode"}
    if is_pack(data):
        section = dict(name="data.packed")
    if "path" not in options_of(resolve(section["name"])):
        example = experiment.splits.train.fetch([0])
        if "image" not in example:
            raise ValueError(f"--data: the run's data source {section['name']} takes no path.")
        size, channels = example["image"].shape[-2:]
        section = dict(name="data.image_folder", image_size=int(size), channels=int(channels))
    yield from build({**section, **scaled_as(section), "path": data}).sources().items()


def scaled_as(section: dict) -> dict:
    """Where a data source says by an option `like` how new rows are scaled: by those that the run was trained on."""
    from jaxssl.build import options_of, resolve

    takes = "like" in options_of(resolve(section["name"])) and not section.get("like")
    return {"like": section["path"]} if takes else {}


def _export(args, overrides):
    from jaxssl.build import build
    from jaxssl.config import options

    if Path(args.out).suffix != ".safetensors":
        raise ValueError(f"--out {args.out}: the name must end in .safetensors.")
    experiment, state = open_run(args.workdir, step=args.step)
    from jaxssl.models.weights import export_timm

    encoder = build(options(experiment.config.encoder))
    params, stats = experiment.method.networks(state.params, state.memory)
    export_timm(args.out, encoder, params["encoder"], stats.get("encoder", {}))
    print(f"{args.out}: encoder {experiment.config.encoder.name} at step {int(state.step)}")


def _import(args, overrides):
    from jaxssl.build import build
    from jaxssl.checkpoint import Checkpoints
    from jaxssl.config import load_config, options

    if not Path(args.weights).is_file():
        raise ValueError(f"--weights {args.weights} does not exist.")
    config = load_config(args.config, overrides, data=args.data)
    workdir = Path(args.workdir)
    if (workdir / "checkpoints").exists():
        raise ValueError(f"--workdir {workdir} holds checkpoints already; give a new folder.")
    from jaxssl.experiment import setup, with_encoder
    from jaxssl.models.weights import import_timm
    from jaxssl.train import write_config

    experiment = setup(config)
    state = experiment.initial()
    stats = state.memory.get("stats", {}).get("encoder", {})
    weights = import_timm(args.weights, build(options(config.encoder)), state.params["encoder"], stats)
    state = with_encoder(experiment, state, *weights)
    write_config(config, workdir)
    checkpoints = Checkpoints(workdir / "checkpoints", config.checkpoint.keep)
    checkpoints.save(state, 0)
    checkpoints.close()
    print(f"{workdir}: step 0 with the encoder of {args.weights}; heads are new. `jaxssl train` goes on from here.")


def _methods(args, overrides):
    import rich.console
    import rich.table

    from jaxssl.evaluate import heading
    from jaxssl.results import table_rows

    table = rich.table.Table("method", "paper", "config", "measure", "trained")
    for name, paper, config, headline, value in table_rows():
        table.add_row(name, paper, config, heading(headline), value)
    console = rich.console.Console()
    (console if console.is_terminal else rich.console.Console(width=160)).print(table)


if __name__ == "__main__":
    sys.exit(main())
