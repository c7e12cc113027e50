"""Every public loss under every kind of mesh: value and gradients are those of the plain call."""

import functools

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from loss_table import CASES, WHERE, Case, N, evaluate

P = PartitionSpec
DEVICES = 2
SETTINGS = ["auto", "explicit", "explicit, the arrays only", "shard_map", "pmap"]


# Each loss once.
CASES = {case.name: case for case in reversed(CASES.values())}


def run(arrays, constants, where):
    """All losses, in one program."""
    return {name: evaluate(case, arrays[name], constants[name], where) for name, case in CASES.items()}


def arguments(seed):
    """Those of all losses; another seed, other numbers."""
    scale = np.float32(1 + 0.3 * seed)
    return {name: tuple(a * scale + 0.1 * seed * a**2 for a in case.arrays) for name, case in CASES.items()}


CONSTANTS = {name: case.constants for name, case in CASES.items()}


@functools.cache
def expected(seed):
    return jax.jit(run)(arguments(seed), CONSTANTS, WHERE)


def sharded(mesh, case: Case, arrays):
    spec = lambda axes: P(*["data" if axes and i == axes[0] else None for i in range(1 + max(axes, default=-1))])
    return tuple(jax.device_put(a, NamedSharding(mesh, spec(axes))) for a, axes in zip(arrays, case.axes))


def assert_same(found, expected):
    for name in expected:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5, err_msg=name), found[name], expected[name]
        )


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_loss_under_every_mesh(setting):
    axis_type = AxisType.Auto if setting == "auto" else AxisType.Explicit
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(axis_type,), devices=jax.devices()[:DEVICES])
    if setting in ("shard_map", "pmap"):
        # A device computes the loss of its own rows.
        seeds = range(DEVICES)
        stacked = jax.tree.map(lambda *a: np.stack(a), *[(arguments(s), CONSTANTS, WHERE) for s in seeds])
        if setting == "pmap":
            out = jax.pmap(run)(*stacked)
        else:
            inside = lambda *a: jax.tree.map(lambda x: x[None], run(*jax.tree.map(lambda x: x[0], a)))
            stacked = jax.device_put(stacked, NamedSharding(mesh, P("data")))
            out = jax.jit(jax.shard_map(inside, mesh=mesh, in_specs=P("data"), out_specs=P("data")))(*stacked)
        for seed in seeds:
            assert_same(jax.tree.map(lambda x: x[seed], out), expected(seed))
        return
    arrays = {name: sharded(mesh, case, arguments(0)[name]) for name, case in CASES.items()}
    if "only" in setting:
        out = jax.jit(run)(arrays, CONSTANTS, WHERE)
    else:
        with jax.set_mesh(mesh):
            out = jax.jit(run)(arrays, CONSTANTS, jax.device_put(WHERE, NamedSharding(mesh, P("data"))))
    assert N % DEVICES == 0
    assert_same(out, expected(0))
