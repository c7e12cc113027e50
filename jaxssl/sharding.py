"""Where arrays live: a mesh with the axes ('data', 'model') and rules over paths. Nothing else knows of devices.

A batch is sharded over 'data'. A leaf of the state goes where the first matching rule says:

    'replicate'         a copy on every device
    'fsdp'              its largest axis that the 'data' axis divides is sharded over it; small leaves are replicated
    (None, 'model')     an explicit partition, one entry an axis

Optimiser and teacher follow their parameters without rules of their own, since their paths end alike.
"""

import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxssl.optim import path_name

Rules = Sequence[tuple[str, Any]]

# Rules for mesh.rules: the wide products of transformers and heads are divided over 'model', columns first, then rows, so
# that one sum over the devices ends each pair; fused queries, keys and values are laid out anew for the heads.
_HEADS = r"(^|/)(head|projector|predictor)/"
TENSOR_PARALLEL = (
    (r"/(qkv|fc1)/(kernel|bias)$", (None, "model")),
    (r"/(proj|fc2)/kernel$", ("model", None)),
    (_HEADS + r"(linear[02]/kernel|last_layer)$", (None, "model")),
    (_HEADS + r"(linear[02]/bias|norm[02]/(scale|bias))$", ("model",)),
    (_HEADS + r"linear1/kernel$", ("model", None)),
    (".*", "replicate"),
)


def make_mesh(data: int = -1, model: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """The mesh; -1 means: as many as there are. Raises ValueError when the devices cannot be laid out so."""
    devices = list(jax.devices() if devices is None else devices)
    if data == -1:
        data = len(devices) // max(model, 1)
    if data < 1 or model < 1 or data * model > len(devices):
        raise ValueError(f"mesh.data={data}, mesh.model={model}: {len(devices)} devices cannot be laid out so.")
    if jax.process_count() > 1 and data * model != len(devices):
        raise ValueError(
            f"mesh.data={data}, mesh.model={model}: with several processes all {len(devices)} devices take part."
        )
    if jax.process_count() > 1 and jax.local_device_count() % model:
        # Every process reads rows of its own, so that no row may span two of them.
        raise ValueError(f"mesh.model={model}: must divide the {jax.local_device_count()} devices of one process.")
    # Auto: the compiler finds the collectives, so that losses are written for the global batch.
    return Mesh(
        np.asarray(devices[: data * model]).reshape(data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading axis over 'data'."""
    return NamedSharding(mesh, P("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, P())


def check_batch(batch_size: int, mesh: Mesh, option: str = "batch_size") -> None:
    """Raises ValueError when the batch cannot be divided over the 'data' axis and the processes."""
    ways = mesh.shape["data"]
    if batch_size % ways or batch_size % jax.process_count():
        lower = batch_size - batch_size % ways
        raise ValueError(
            f"{option}={batch_size} cannot be divided over {ways} devices; take {lower or ways} or {lower + ways},"
            " or set mesh.data to a divisor."
        )


def partition(path: str, shape: Sequence[int], mesh: Mesh, rules: Rules, fsdp_min_size: int = 2**14) -> P:
    """Partition of one leaf by the first rule whose pattern is found in its path.

    Args:
      path: of the leaf.
      shape: of the leaf.
      mesh: the devices.
      rules: (pattern, what) pairs.
      fsdp_min_size: leaves of fewer numbers are replicated by 'fsdp'.
    """
    for pattern, what in rules:
        if not re.search(pattern, path):
            continue
        if what == "replicate":
            return P()
        if what == "fsdp":
            return _fsdp(shape, mesh.shape["data"], fsdp_min_size)
        if isinstance(what, str):
            raise ValueError(
                f"mesh.rules: '{what}' for '{pattern}' is neither 'replicate', 'fsdp' nor a tuple of axes."
            )
        return _explicit(path, shape, mesh, pattern, tuple(what))
    raise ValueError(f"mesh.rules: no rule matches '{path}'; end the rules with ('.*', 'replicate').")


def _fsdp(shape: Sequence[int], ways: int, min_size: int) -> P:
    if int(np.prod(shape)) < min_size:
        return P()
    axes = [i for i in np.argsort(shape)[::-1] if shape[i] % ways == 0]
    return P(*("data" if i == axes[0] else None for i in range(len(shape)))) if axes else P()


def _explicit(path: str, shape: Sequence[int], mesh: Mesh, pattern: str, spec: tuple) -> P:
    # A vector that belongs to a sharded matrix (optimiser statistics, biases) keeps the last entries.
    spec = spec[len(spec) - len(shape) :] if len(shape) < len(spec) else spec
    for size, axis in zip(shape, spec):
        if axis is not None and axis not in mesh.shape:
            raise ValueError(f"mesh.rules: '{axis}' for '{pattern}' is no axis of the mesh {tuple(mesh.shape)}.")
        if axis is not None and size % mesh.shape[axis]:
            raise ValueError(
                f"mesh.rules: '{pattern}': {path} {tuple(shape)} cannot be divided by {mesh.shape[axis]} over '{axis}'."
            )
    return P(*spec)


def tree_shardings(tree: Any, mesh: Mesh, rules: Rules, fsdp_min_size: int = 2**14) -> Any:
    """The sharding of every leaf of a tree of arrays or shapes."""
    return jax.tree_util.tree_map_with_path(
        lambda p, x: NamedSharding(mesh, partition(path_name(p), x.shape, mesh, rules, fsdp_min_size)), tree
    )


def put_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's rows of a batch -> one global array a leaf, sharded over 'data'."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, np.asarray(v)) for k, v in batch.items()}


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """The same host arrays on every device; each process must hold the same."""
    sharding = replicated(mesh)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)
