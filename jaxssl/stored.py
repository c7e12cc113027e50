"""Run folders, read without their data or experiment: sections of the config, networks by name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxssl.build import kinds_of, nearest, resolve
from jaxssl.checkpoint import Checkpoints
from jaxssl.core import networks_of, student


class Networks(NamedTuple):
    """Networks of a run: {name: parameters}, {name: batch statistics}, NumPy arrays, and the step they are of."""

    params: dict[str, Any]
    stats: dict[str, Any]
    step: int


def read_config(folder: str | Path) -> dict[str, Any]:
    """config.json of a run folder as plain sections. Raises ValueError where there is none that can be read."""
    folder = Path(folder)
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} is no run folder: it has no config.json.") from None
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} is damaged: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{folder / 'config.json'} is damaged: it holds no sections.")
    return _tuples(content)


def read_networks(folder: str | Path, step: int | None = None, *, trust: bool = False) -> Networks:
    """All networks of the newest checkpoint of a run, or of that of `step`: those that `export` and `embed` use.

    Of a method with a teacher they are the teacher's where it is evaluated (`predict_from`), and the student's for names
    that the teacher has not.

    Args:
      trust: the config may name a method that is not of jaxssl.

    Raises:
      ValueError: where the folder is no run, holds no such checkpoint, or none that can be read.
    """
    config = read_config(folder)
    checkpoints = Checkpoints(Path(folder) / "checkpoints", read_only=True)
    try:
        step, tree = checkpoints.arrays(step)
    finally:
        checkpoints.close()
    params, stats = student(tree["params"], tree["memory"])
    if _predict_from(config.get("method", {}), trust) == "teacher":
        own_params, own_stats = networks_of("teacher")(tree["params"], tree["memory"])
        params, stats = {**params, **own_params}, {**stats, **own_stats}
    return Networks(dict(params), dict(stats), step)


def _predict_from(method: Mapping[str, Any], trust: bool) -> str:
    """The network that a method evaluates: its option, or the default that its factory has for it."""
    import inspect

    if "predict_from" in method:
        return method["predict_from"]
    factory = resolve(method.get("name"), trusted=trust)
    if "predict_from" not in kinds_of(factory):
        return "student"
    return inspect.signature(factory).parameters["predict_from"].default


def within(tree: Mapping[str, Any], path: str) -> Any:
    """The sub-tree at a path of names, as 'encoder/video'; None where there is none."""
    for name in path.split("/"):
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def picked(networks: Networks, parts: Sequence[str], folder: str | Path, option: str) -> Networks:
    """The networks of these names. Raises ValueError naming the option where the run has no such network."""
    for name in parts:
        if within(networks.params, name) is None:
            raise ValueError(f"{option}: '{name}' is no network of {folder}.{nearest(name, networks.params)}")
    stats = {name: within(networks.stats, name) or {} for name in parts}
    return Networks({name: within(networks.params, name) for name in parts}, stats, networks.step)


def flat(tree: Any) -> dict[str, Any]:
    """{path: array} of a tree of dicts, in the order of the paths: 'encoder/conv0/kernel'."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def unflat(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of dicts that `flat` took apart."""
    tree: dict[str, Any] = {}
    for path, value in arrays.items():
        *names, last = path.split("/")
        node = tree
        for name in names:
            node = node.setdefault(name, {})
        node[last] = value
    return tree


def to_host(tree: Any) -> Any:
    """A tree of arrays as NumPy arrays."""
    return jax.tree.map(np.asarray, tree)


def _tuples(node: Any) -> Any:
    """JSON has lists only; factories take tuples, which are hashable."""
    if isinstance(node, dict):
        return {name: _tuples(value) for name, value in node.items()}
    return tuple(_tuples(value) for value in node) if isinstance(node, list) else node
