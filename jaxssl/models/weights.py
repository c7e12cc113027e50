"""Backbone weights as safetensors files: timm's names and layouts for ResNet and ViT, paths for the rest."""

import dataclasses
import json
import logging
import math
import os
import re
from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from jaxssl.files import whole_file
from jaxssl.models.positions import resample
from jaxssl.models.resnet import ResNet
from jaxssl.models.vit import ViT

log = logging.getLogger(__name__)


class WeightsMisfit(ValueError):
    """Weights that do not fit a network. `lines`: those of the message, one for each array that does not fit."""

    def __init__(self, *lines: str):
        super().__init__("\n".join(lines))
        self.lines = lines


# Applied in turn to the dotted path of a parameter; together they spell timm's names.
RENAMES = (
    (r"^block(\d+)", r"blocks.\1"),
    (r"^layer(\d+)_(\d+)", r"layer\1.\2"),
    (r"downsample_conv", "downsample.0"),
    (r"downsample_bn", "downsample.1"),
    (r"\.(fc[12])\.", r".mlp.\1."),
    (r"^patch_embed", "patch_embed.proj"),
    (r"(ls[12])$", r"\1.gamma"),
    (r"\.(kernel|scale)$", ".weight"),
    (r"\.mean$", ".running_mean"),
    (r"\.var$", ".running_var"),
)
TOKENS = ("cls_token", "reg_token", "pos_embed")
COUNTER = "num_batches_tracked"
# Parts of timm's networks that change the features: a file that has one which the network lacks is of another network.
BACKBONE = {"cls_token", "reg_token", "dist_token", "pos_embed", "patch_embed", "norm_pre", "norm", "fc_norm"}
BACKBONE |= {"attn_pool", "rope", "blocks", "stem", "conv", "bn", "layer"}


def _is_timm(module):
    return isinstance(module, (ResNet, ViT))


def _names(module, params, stats):
    """{file name: path}, path led by 'params' or 'stats'; a mask token has no place in timm's networks."""
    paths = [("params", *path) for path in flatten_dict(params)] + [("stats", *path) for path in flatten_dict(stats)]
    names = {}
    for path in paths:
        name = ".".join(path[1:])
        if _is_timm(module):
            if name == "mask_token":
                continue
            for pattern, replacement in RENAMES:
                name = re.sub(pattern, replacement, name)
        names[name] = path
    return names


def _to_file(module, path, value):
    """Array in the file's layout: convolutions [O, I, h, w], linear maps [O, I], tokens with a leading 1."""
    value = np.asarray(value)
    if not _is_timm(module):
        return value
    if path[-1] in TOKENS:
        return value[None]
    if path[-1] == "kernel":
        return value.transpose((3, 2, 0, 1) if value.ndim == 4 else (1, 0))
    return value


def _from_file(module, path, value):
    """Inverse of `_to_file`."""
    if not _is_timm(module):
        return value
    if path[-1] in TOKENS:
        return value[0]
    if path[-1] == "kernel":
        return value.transpose((2, 3, 1, 0) if value.ndim == 4 else (1, 0))
    return value


def _file_shape(module, path, leaf):
    return _to_file(module, path, np.broadcast_to(np.float32(0), leaf.shape)).shape


def _counters(module, names):
    """Names of the batch counters that timm's batch norms keep beside their running mean."""
    suffix = ".running_mean"
    if not _is_timm(module):
        return []
    return [f"{name.removesuffix(suffix)}.{COUNTER}" for name in names if name.endswith(suffix)]


def _has_fixed_positions(module):
    return isinstance(module, ViT) and module.positions == "fixed"


def _config(module):
    fields = {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.name not in ("parent", "name")}
    return json.dumps({"class": type(module).__name__, **fields}, default=str)


def export_timm(path: str | os.PathLike[str], module: nn.Module, params: Any, stats: Any) -> None:
    """Writes backbone weights to a safetensors file that timm reads.

    ResNet and ViT take timm's names and layouts: num_batches_tracked is written as 0, fixed positions as
    pos_embed, a mask token is left out; pool='mean' is timm's global_pool='avg', fc_norm=False. Other modules
    take the dotted paths of their parameters and statistics, in their own layout. The metadata `config` holds
    the module's options.

    Args:
      path: file to write.
      module: the Flax backbone.
      params, stats: its trees from `setup` or a training state.
    """
    leaves = flatten_dict({"params": params, "stats": stats})
    names = _names(module, params, stats)
    arrays = {name: _to_file(module, path, leaves[path]) for name, path in names.items()}
    arrays |= {name: np.zeros((), np.int64) for name in _counters(module, names)}
    if _has_fixed_positions(module):
        arrays["pos_embed"] = module.fixed_positions(module.grid)[None]
    # The writer stores raw memory, so transposed views must be copied into C order first.
    arrays = {name: np.array(value, order="C") for name, value in arrays.items()}
    content = save(arrays, metadata={"format": "pt", "config": _config(module)})
    with whole_file(path) as file:
        file.write(content)


def import_timm(
    path: str | os.PathLike[str],
    module: nn.Module,
    params: Any,
    stats: Any,
    *,
    grey_from_rgb: bool = False,
    ignore: Iterable[str] = (),
) -> tuple[Any, Any]:
    """Reads backbone weights from a safetensors file with the names that `export_timm` writes.

    Arrays beyond the backbone, such as a classifier's, are left out, and the log names them. Further parts of the backbone
    itself, such as more blocks, are refused. Learned positions of another grid are resampled (bicubic, antialiased), with
    a note in the log.

    Args:
      path: file to read.
      module: the Flax backbone.
      params, stats: its trees (arrays or ShapeDtypeStructs); they give the structure, shapes and dtypes.
      grey_from_rgb: for a network with 1 input channel, sum a 3-channel first layer over its input channels, so that a
        grey image gives the output of its RGB copy.
      ignore: prefixes of names in the file to leave out, e.g. ('blocks.11.',).

    Returns:
      (params, stats) with the values of the file; a mask token, which timm has not, keeps its value.

    Raises:
      ValueError: if it is no safetensors file, or keys of the backbone are missing, unexpected, misshapen or no
        floats (all listed).
    """
    try:
        with safe_open(path, "numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    found = {name: value for name, value in found.items() if not name.startswith(tuple(ignore))}
    leaves = flatten_dict({"params": params, "stats": stats})
    names = _names(module, params, stats)
    counters = _counters(module, names)
    problems = _check_fixed_positions(module, found)
    problems += [f"missing {name}" for name in sorted(names) if name not in found]
    unexpected = sorted(set(found) - set(names) - set(counters))
    parts = {_part(name) for name in names} | (BACKBONE if _is_timm(module) else set())
    beyond = [name for name in unexpected if _part(name) not in parts]
    problems += [f"unexpected {name}" for name in unexpected if name not in beyond]
    values = {}
    for name, leaf_path in names.items():
        if name not in found:
            continue
        wanted = _file_shape(module, leaf_path, leaves[leaf_path])
        value = _fit(module, name, found[name], wanted, grey_from_rgb)
        if value.shape != wanted:
            problems.append(f"{name} is {list(value.shape)} in the file, {list(wanted)} in the network")
            continue
        if not jnp.issubdtype(value.dtype, jnp.floating):
            problems.append(f"{name} is {value.dtype} in the file, {leaves[leaf_path].dtype} in the network")
            continue
        values[leaf_path] = jnp.asarray(_from_file(module, leaf_path, value), leaves[leaf_path].dtype)
    if problems:
        hint = _hint(problems, names, found)
        listed = problems + [f"unexpected {name}, which would be left out" for name in beyond]
        raise WeightsMisfit(f"{path} does not fit {type(module).__name__}:", *(f"  {line}" for line in listed), hint)
    if beyond:
        log.warning("%s: left out, as no part of the encoder: %s", path, ", ".join(beyond))
    trees = unflatten_dict({**leaves, **values})
    return trees["params"], trees.get("stats", {})


def _part(name):
    """The part of a network that a name in a file belongs to: its first word without a number."""
    return re.sub(r"\d.*", "", name.split(".")[0])


def _check_fixed_positions(module, found):
    """Takes fixed positions out of `found`; complains if the file's are others."""
    if not _has_fixed_positions(module) or "pos_embed" not in found:
        return []
    stored = found.pop("pos_embed")
    expected = module.fixed_positions(module.grid)[None]
    if stored.shape == expected.shape and np.allclose(stored, expected, atol=1e-5):
        return []
    return [f"pos_embed {list(stored.shape)} differs from the fixed positions {list(expected.shape)}"]


def _fit(module, name, value, wanted, grey_from_rgb):
    """Adapts positions of another grid and, if asked, an RGB first layer to a grey one."""
    if not _is_timm(module) or value.shape == wanted:
        return value
    if name == "pos_embed" and value.ndim == 3 and value.shape[2] == wanted[2]:
        return _fit_positions(module, value)
    first = name in ("conv1.weight", "patch_embed.proj.weight")
    if grey_from_rgb and first and value.ndim == 4 and value.shape[1] == 3 and wanted[1] == 1:
        return value.sum(1, keepdims=True)
    return value


def _fit_positions(module, value):
    prefix = 0 if module.no_embed_class else module.num_prefix
    side = math.isqrt(max(value.shape[1] - prefix, 0))
    if side == 0 or side * side != value.shape[1] - prefix:
        return value
    log.warning("pos_embed resampled from a %dx%d grid to %dx%d", side, side, *module.grid)
    patches = np.asarray(resample(jnp.asarray(value[0, prefix:]), (side, side), module.grid))
    return np.concatenate([value[0, :prefix], patches])[None]


def _hint(problems, names, found):
    text = " ".join(problems)
    hints = []
    led = {n.removesuffix(name) for name in names for n in found if n.endswith(f".{name}")} if "missing" in text else ()
    if len(led) == 1:
        hints.append(f"the file's names begin with {led.pop()!r}; without it they would be those of the network")
    if "unexpected" in text:
        hints.append("ignore=('name.',), or `jaxssl import --ignore name.`, passes over names that begin so")
    if "unexpected fc_norm" in text:
        hints.append("a norm after pooling (fc_norm) is not supported: the network pools after the final norm")
    if re.search(r"(conv1|patch_embed\.proj)\.weight is \[\d+, 3,", text):
        grey = "for grey images pass grey_from_rgb=True (`jaxssl import --grey-from-rgb`)"
        hints.append(f"{grey}; otherwise check the number of input channels")
    if "pos_embed" in text:
        hints.append("check positions, class_token, registers, no_embed_class and the width of the network")
    if re.search(r"unexpected (blocks|layer)|missing (blocks|layer)", text):
        hints.append("check block type, depth and layers of the network, qkv_bias and layer_scale")
    return "Hint: " + ("; ".join(hints) if hints else "the file must come from a network of the same options") + "."
