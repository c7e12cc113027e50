"""Every public loss under every kind of mesh: value and gradients are those of the plain call."""

import contextlib
import functools

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from loss_table import CASES, WHERE, Case, evaluate, normal

from jaxssl import losses

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
        same = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-5, err_msg=name)
        jax.tree.map(same, found[name], expected[name])


def place(setting):
    """`run` for the setting, its arguments, and what it is called under."""
    axis_type = AxisType.Auto if setting == "auto" else AxisType.Explicit
    mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(axis_type,), devices=jax.devices()[:DEVICES])
    rows = NamedSharding(mesh, P("data"))
    if setting in ("shard_map", "pmap"):
        # A device computes the loss of its own rows.
        stacked = jax.tree.map(lambda *a: np.stack(a), *[(arguments(s), CONSTANTS, WHERE) for s in range(DEVICES)])
        if setting == "pmap":
            return jax.pmap(run), stacked, contextlib.nullcontext
        inside = lambda *a: jax.tree.map(lambda x: x[None], run(*jax.tree.map(lambda x: x[0], a)))
        inside = jax.shard_map(inside, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
        return jax.jit(inside), jax.device_put(stacked, rows), contextlib.nullcontext
    arrays = {name: sharded(mesh, case, arguments(0)[name]) for name, case in CASES.items()}
    around = contextlib.nullcontext if "only" in setting else functools.partial(jax.set_mesh, mesh)
    return jax.jit(run), (arrays, CONSTANTS, jax.device_put(WHERE, rows)), around


@pytest.mark.parametrize("setting", ["explicit", "explicit, the arrays only", "shard_map"])
def test_every_loss_has_a_program_under_every_mesh(setting):
    """What Explicit axes and shard_map refuse they refuse while tracing."""
    function, args, around = place(setting)
    with around():
        function.trace(*args)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_loss_has_its_value_under_every_mesh(setting):
    function, args, around = place(setting)
    with around():
        out = jax.device_get(function(*args))
    if setting in ("shard_map", "pmap"):
        for seed in range(DEVICES):
            assert_same(jax.tree.map(lambda x: x[seed], out), expected(seed))
    else:
        assert_same(out, expected(0))


def test_chunked_losses_ring_over_a_mesh_of_any_kind_and_are_one_device_inside_shard_map():
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    auto = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4], axis_types=(AxisType.Auto,))
    z1, z2 = normal(0, 8, 3), normal(1, 8, 3)
    queue = normal(2, 4, 3)
    chunked = jax.value_and_grad(losses.info_nce_chunked, argnums=(0, 2))
    plain = jax.jit(jax.value_and_grad(losses.info_nce, argnums=(0, 2)))(z1, z2, queue)
    split = NamedSharding(mesh, P("data"))
    given = lambda *a: chunked(*a, mesh=mesh, block_size=1)
    ambient = lambda *a: chunked(*a, block_size=1)
    for call, around in ((given, False), (given, True), (ambient, True)):
        with jax.set_mesh(mesh) if around else contextlib.nullcontext():
            program = jax.jit(call).lower(*jax.device_put((z1, z2, queue), split))
            assert "collective_permute" in program.as_text()
            jax.tree.map(
                functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
                program.compile()(*jax.device_put((z1, z2, queue), split)),
                plain,
            )
    bare = jax.jit(given)(z1, z2, queue)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), bare, plain)
    with pytest.raises(ValueError, match="mesh: inside shard_map"):
        jax.shard_map(lambda z: losses.nt_xent_chunked(z, z, mesh=mesh), mesh=mesh, in_specs=P(), out_specs=P())(z1)
    # Rows of a device against a queue that all share: the queue's gradient, 0 here, is that of all.
    for m in (mesh, auto):
        inside = jax.shard_map(
            lambda *a: jax.tree.map(lambda x: jax.lax.pmean(x, "data"), losses.info_nce_chunked(*a, block_size=1)),
            mesh=m,
            in_specs=(P("data"), P("data"), P()),
            out_specs=P(),
        )
        args = *jax.device_put((z1, z2), NamedSharding(m, P("data"))), jax.device_put(queue, NamedSharding(m, P()))
        program = jax.jit(jax.value_and_grad(inside, argnums=(0, 2))).lower(*args)
        assert "collective_permute" not in program.as_text()
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), program.compile()(*args), plain
        )
