"""Functions of arrays that work under any mesh."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec, get_abstract_mesh, use_abstract_mesh

Function = TypeVar("Function", bound=Callable[..., Any])


def any_mesh(function: Function) -> Function:
    """`function` for meshes with Explicit axes too: it computes as if these were Auto.

    Under Explicit axes (the default of `jax.make_mesh`) every operation must say how its result is sharded. Here the
    compiler finds the shardings inside the function, as it does under Auto axes. A result with as many rows as the
    first array that has rows is sharded along its first axis like that array; all other results are replicated.
    Without a mesh that has an Explicit axis (no mesh, Auto axes, `jax.shard_map` over all axes, `jax.pmap`), the function
    is called unchanged.

    Arguments may be trees of arrays, None and static values, by position or by keyword; results are trees of arrays.
    """

    @functools.wraps(function)
    def under_any_mesh(*args, **kwargs):
        leaves, tree = jax.tree.flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
        types = [jax.typeof(leaves[i]) for i in places]
        meshes = [t.sharding.mesh for t in types] + [get_abstract_mesh()]
        mesh = next((m for m in meshes if AxisType.Explicit in m.axis_types), None)
        if mesh is None:
            return function(*args, **kwargs)
        auto = _with_auto_axes(mesh)
        like = next((t for t in types if t.ndim), None)

        def outside(x):
            shares_rows = like is not None and x.ndim and x.shape[0] == like.shape[0]
            spec = like.sharding.spec[:1] if shares_rows else ()
            return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec(*spec)))

        def run(arrays):
            filled = list(leaves)
            with use_abstract_mesh(auto):
                for i, x in zip(places, arrays):
                    filled[i] = jax.sharding.reshard(x, NamedSharding(auto, PartitionSpec(*[None] * x.ndim)))
                args, kwargs = jax.tree.unflatten(tree, filled)
                out = function(*args, **kwargs)
            return jax.tree.map(outside, out)

        if AxisType.Manual in mesh.axis_types:
            # Inside shard_map no intermediate result may leave for the backward pass: its axes would be Auto there.
            run = jax.checkpoint(run)
        return run([leaves[i] for i in places])

    return cast(Function, under_any_mesh)


def _with_auto_axes(mesh: AbstractMesh) -> AbstractMesh:
    explicit = [name for name, kind in zip(mesh.axis_names, mesh.axis_types) if kind == AxisType.Explicit]
    return mesh.update_axis_types(dict.fromkeys(explicit, AxisType.Auto))
