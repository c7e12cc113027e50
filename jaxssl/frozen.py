"""RUN/frozen/: the networks that a run learns from and never changes, copied there with all that rebuilds them.

At the start of a run every `pretrained....` section of its config is read once and copied to `frozen/<section>/`:
weights.safetensors, and spec.json with the encoder's section and the sha256 of the weights. From then on the run reads
its copy, so that resume, embed, evaluate and export work when the teacher's file or run folder has moved. A resume that
finds other weights at the original path is refused.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from safetensors.numpy import load, save

from jaxssl.build import build
from jaxssl.config import FACTORIES
from jaxssl.files import to_json, whole_file, write_whole
from jaxssl.pretrained import SPEC, WEIGHTS, Pretrained
from jaxssl.processes import agreed
from jaxssl.stored import flat

log = logging.getLogger("jaxssl")

FOLDER = "frozen"
# Sections that a kind of pretrained network must find at its path.
ORIGINALS = ("pretrained.run", "pretrained.file")


def sections(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """{'method.teacher': its options} of all sections that name a pretrained network, at any depth."""
    found = {}

    def look(node: Any, where: str) -> None:
        if isinstance(node, Mapping):
            if str(node.get("name", "")).removeprefix("jaxssl.").startswith("pretrained."):
                found[where] = {**node, "name": node["name"].removeprefix("jaxssl.")}
            else:
                for name, inner in node.items():
                    look(inner, f"{where}.{name}")

    for section in FACTORIES:
        look(config[section].to_dict(), section)
    return found


def begin(config: ConfigDict, workdir: Path, *, begun: bool, allow_changes: bool = False) -> ConfigDict:
    """Copies the pretrained networks of a run to its folder, or compares them with those there; the config to run with.

    Args:
      begun: whether the run has a checkpoint, and the networks must be the ones that it began with, unless
        allow_changes.

    Raises:
      ValueError: naming the section whose network is missing, does not fit, or is another one.
    """
    named = sections(config)
    if not named:
        return config

    def look() -> str:
        for where, spec in named.items():
            folder = workdir / FOLDER / where
            kept = begun and (folder / SPEC).is_file()
            try:
                if kept and not allow_changes:
                    compare(where, spec, folder)
                else:
                    write_copy(folder, spec)
            except (ValueError, OSError) as error:
                return str(error) if str(error).startswith(where) else f"{where}: {error}"
        return ""

    refused = agreed(look)
    if refused:
        raise ValueError(refused)
    for where in named:
        check_views(config, where, _about(workdir / FOLDER / where))
    return redirected(config, workdir)


def redirected(config: ConfigDict, workdir: Path) -> ConfigDict:
    """The config with every pretrained network that has a copy in the run folder taken from there."""
    changed = ConfigDict(config.to_dict())
    for where, spec in sections(config).items():
        folder = workdir / FOLDER / where
        if (folder / SPEC).is_file():
            *names, last = where.split(".")
            node = changed
            for name in names:
                node = node[name]
            with node.ignore_type():
                # The config's own word for the encoder counts: it has been checked with the config.
                own = {"encoder": spec["encoder"]} if "encoder" in spec else {}
                node[last] = ConfigDict(dict(name="pretrained.copy", path=str(folder), **own))
    return changed.lock()


def write_copy(folder: Path, spec: Mapping[str, Any]) -> None:
    """Copies a pretrained network: the weights first, then spec.json with their digest, each whole or not at all."""
    network: Pretrained = build(spec)
    content = _bytes(network)
    about = dict(
        source={name: value for name, value in spec.items() if name != "encoder"},
        parts=list(network.chain),
        encoder=network.about.get("encoder", spec.get("encoder")),
        preprocess=network.about.get("preprocess", {}),
        step=network.about.get("step"),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC).unlink(missing_ok=True)
    with whole_file(folder / WEIGHTS) as file:
        file.write(content)
    write_whole(folder / SPEC, to_json(about, indent=2) + "\n")


def read_copy(folder: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(spec.json, arrays by path) of a copy. Raises ValueError where it differs from what was written."""
    folder = Path(folder)
    about = _about(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise ValueError(f"{folder / WEIGHTS} cannot be read ({error.strerror}); put it back.") from None
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise ValueError(f"{folder / WEIGHTS} is not what was written: its sha256 differs from that in {SPEC}.")
    return about, load(content)


def compare(where: str, spec: Mapping[str, Any], folder: Path) -> None:
    """Raises ValueError if a pretrained network differs from its copy; the log says if it has moved."""
    about = read_copy(folder)[0]
    path = spec.get("path")
    if spec["name"] in ORIGINALS and not Path(path).exists():
        log.info("%s.path='%s' is not there any more: its copy %s is used", where, path, folder)
        return
    if spec["name"] == "pretrained.run" and spec.get("step") is None:
        spec = {**spec, "step": about["step"]}
        if not (Path(path) / "checkpoints" / str(about["step"])).is_dir():
            log.info("%s.path='%s' holds step %s no more: its copy is used", where, path, about["step"])
            return
    found = hashlib.sha256(_bytes(build(spec))).hexdigest()
    if found != about["sha256"]:
        value = f".path='{path}'" if path else ""
        raise ValueError(
            f"{where}{value}: these are other weights than those that the run began with (sha256 {found[:12]}..., was"
            f" {about['sha256'][:12]}...); put those back, take another --workdir, or --allow-changes to go on with these."
        )


def check_views(config: ConfigDict, where: str, about: Mapping[str, Any]) -> None:
    """Raises ValueError where views have another mean or deviation than the network was trained with."""
    shown = about.get("preprocess") or {}
    for option in ("mean", "std"):
        here, there = config.augment.get(option), shown.get(option)
        if here is not None and there is not None and not np.allclose(tuple(here), tuple(there)):
            raise ValueError(
                f"{where}: was trained with {option}={tuple(there)}, this config shows {option}={tuple(here)}: set augment"
                f".{option} as there, or {where}.check=False."
            )


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / SPEC).read_text(encoding="utf-8"), object_pairs_hook=_with_tuples)
        about["sha256"], about["parts"], about["encoder"]
        return about
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / SPEC} cannot be read ({type(error).__name__}); put it back.") from None


def _with_tuples(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tuples = lambda value: tuple(map(tuples, value)) if isinstance(value, list) else value
    return {name: tuples(value) for name, value in pairs}


def _bytes(network: Pretrained) -> bytes:
    """The weights of a network as the bytes of a safetensors file: equal weights, equal bytes."""
    arrays = flat(jax.tree.map(np.ascontiguousarray, network.load()))
    return save(dict(sorted(arrays.items())))


def paths(workdir: Path) -> Iterator[Path]:
    """The copies of a run folder."""
    yield from sorted(p.parent for p in (workdir / FOLDER).glob(f"*/{SPEC}"))
