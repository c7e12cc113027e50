"""Networks that never change, for methods that learn from them: of a run, of a file of weights, or random.

A method takes one as an option, `teacher=dict(name="pretrained.run", path="runs/simclr")`, returns
`Method(..., frozen=teacher.load)`, and finds the arrays in `memory["frozen"]`; `teacher.chain` are the modules to apply
to them with `skeletons.chain.forward_chain`. What a run has used is copied to its folder (`jaxssl.frozen`).
"""

import os
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jaxssl.build import build, resolve
from jaxssl.models.heads import head_like
from jaxssl.models.module import Module, setup
from jaxssl.skeletons.frozen import Pretrained
from jaxssl.stored import Networks, picked, read_config, read_networks, to_host, unflat

WEIGHTS, SPEC = "weights.safetensors", "spec.json"


def run(
    *,
    path: str,
    parts: tuple[str, ...] = ("encoder",),
    step: int | None = None,
    check: bool = True,
) -> Pretrained:
    """Networks of a run, in the way that `export` takes them.

    Args:
      path: run folder.
      parts: networks by name, in order: the encoder, then heads of linear layers, as ('encoder', 'head').
      step: of the checkpoint; default the newest.
      check: refuse a config that shows its views with another mean or deviation than the run was trained with.

    Raises:
      ValueError: no run folder, no such checkpoint or network, a head that is not made of linear layers.
    """
    where = f"pretrained.run.path='{path}'"
    trust = _trusted()
    try:
        config = read_config(path)
        found = picked(read_networks(path, step, trust=trust), parts, path, f"pretrained.run.parts={parts}")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    spec = config["encoder"]
    about = dict(encoder=spec, preprocess=config.get("preprocess", {}) if check else {}, step=found.step)

    def load():
        again = picked(read_networks(path, found.step, trust=trust), parts, path, "parts")
        return {"params": again.params, "stats": again.stats}

    return Pretrained(_chain(_build_stored(spec), parts, found), load, about)


def file(
    *,
    path: str,
    encoder: Module,
    ignore: tuple[str, ...] = (),
    grey_from_rgb: bool = False,
    shape: tuple[int, ...] = (),
) -> Pretrained:
    """An encoder with the weights of a safetensors file, as `models.weights.import_timm` reads it.

    Args:
      path: FILE.safetensors with timm's names for ResNet and ViT.
      encoder: the encoder, a section of its own: dict(name="models.vit.vit", ...).
      ignore: name prefixes in the file to pass over.
      grey_from_rgb: sum the colours of the first layer for grey images.
      shape: of one example that the encoder takes; () for encoders of images.

    Raises:
      ValueError: there is no such file, or it does not fit the encoder.
    """
    from jaxssl.models.weights import import_timm

    if not Path(path).is_file():
        raise ValueError(f"pretrained.file.path='{path}': there is no such file.")

    def load():
        problem = None
        for example in _shapes(encoder, shape):
            params, stats = jax.eval_shape(lambda e=example: _begin(encoder, e, 0))
            try:
                params, stats = import_timm(path, encoder, params, stats, grey_from_rgb=grey_from_rgb, ignore=ignore)
            except ValueError as error:
                problem = problem or error
                continue
            # What the file has no place for, as a mask token, is not used.
            fill = lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else np.asarray(x)
            params, stats = jax.tree.map(fill, (params, stats))
            return {"params": {"encoder": params}, "stats": {"encoder": stats}}
        raise problem

    return Pretrained({"encoder": encoder}, load)


def random(*, encoder: Module, seed: int = 0, shape: tuple[int, ...] = (28, 28, 1)) -> Pretrained:
    """An encoder with random weights, the baseline of a teacher.

    Args:
      encoder: the encoder, a section of its own.
      seed: of its weights.
      shape: of one example that the encoder takes.
    """

    def load():
        params, stats = to_host(jax.jit(lambda: _begin(encoder, shape, seed))())
        return {"params": {"encoder": params}, "stats": {"encoder": stats}}

    return Pretrained({"encoder": encoder}, load)


def copy(*, path: str, encoder: Module = None) -> Pretrained:
    """Networks that `jaxssl.frozen` has copied to a run folder.

    Args:
      path: folder below RUN/frozen.
      encoder: the encoder, a section of its own; None: the one that the copy describes.

    Raises:
      ValueError: it lacks a file, or holds other bytes than were written.
    """
    from jaxssl.frozen import read_copy

    about, arrays = read_copy(path)
    tree = unflat(arrays)
    named = lambda kind: {name: tree.get(kind, {}).get(name, {}) for name in about["parts"]}
    found = Networks(named("params"), named("stats"), about.get("step") or 0)
    encoder = _build_stored(about["encoder"]) if encoder is None else encoder
    chain = _chain(encoder, about["parts"], found)

    def load():
        arrays = unflat(read_copy(path)[1])
        return {
            kind: {name: arrays.get(kind, {}).get(name, {}) for name in about["parts"]} for kind in ("params", "stats")
        }

    return Pretrained(chain, load, about)


def _chain(encoder, parts, found):
    chain = {}
    for name in parts:
        if name == "encoder":
            chain[name] = encoder
            continue
        try:
            chain[name] = head_like(found.params[name], found.stats.get(name, {}))
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(
                f"pretrained: parts={tuple(parts)}: '{name}' is no head of linear layers; the encoder and such heads can"
                " be taken from a run."
            ) from None
    return chain


def _trusted() -> bool:
    return os.environ.get("JAXSSL_TRUST") == "1"


def _build_stored(spec):
    """The object of a section in a run folder, which may name factories of jaxssl only."""

    def look(node):
        if isinstance(node, Mapping):
            if "name" in node:
                resolve(node["name"], trusted=_trusted())
            for inner in node.values():
                look(inner)

    look(spec)
    return build(spec)


def _begin(encoder, shape, seed):
    return setup(encoder, jax.random.key(seed), np.zeros((1, *shape), np.float32))


def _shapes(encoder, shape):
    """Shapes of an example to try: that which is given, or images of one or three colours."""
    if shape:
        return [tuple(shape)]
    size = getattr(encoder, "image_size", 32)
    size = tuple(size) if isinstance(size, tuple | list) else (size, size)
    return [(*size, channels) for channels in (3, 1)]
