import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxssl.ops.meshes import any_mesh

P = PartitionSpec
AXES = {
    "auto": (AxisType.Auto, AxisType.Auto),
    "explicit": (AxisType.Explicit, AxisType.Explicit),
    "explicit-auto": (AxisType.Explicit, AxisType.Auto),
    "auto-explicit": (AxisType.Auto, AxisType.Explicit),
}


def plain(tree, *, temperature=1.0, where=None, kind="mean"):
    """Has a product over the sharded axis, a diagonal and a boolean choice, all of which Explicit axes refuse."""
    a, b = tree["a"], tree["b"]
    pairs = (a @ b.T) / temperature
    rows = jax.nn.logsumexp(pairs, axis=1) - jnp.diagonal(pairs)
    if where is not None:
        rows = jnp.where(where, rows, 0)
    return {"loss": jnp.mean(rows), "rows": rows} if kind == "mean" else rows


any_mesh_twin = any_mesh(plain)


@functools.cache
def arrays():
    a, b = np.random.default_rng(0).normal(size=(2, 8, 3)).astype(np.float32)
    return a, b, np.arange(8) < 6


def total(function, a, b, where, temperature):
    out = function({"a": a, "b": b}, temperature=temperature, where=where)
    return out["loss"] + jnp.sum(jnp.square(out["rows"])), out


@functools.cache
def expected():
    return value_and_gradient(plain, *arrays(), 0.5)


def value_and_gradient(function, *args):
    return jax.jit(jax.value_and_grad(functools.partial(total, function), argnums=(0, 1, 3), has_aux=True))(*args)


def assert_same(actual, expected):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), actual, expected)


def sharded(mesh):
    return tuple(jax.device_put(x, NamedSharding(mesh, P("data"))) for x in arrays())


@pytest.mark.parametrize("axes", AXES)
def test_every_kind_of_axis(axes):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=AXES[axes])
    assert_same(value_and_gradient(any_mesh_twin, *sharded(mesh), 0.5), expected())
    with jax.set_mesh(mesh):
        assert_same(value_and_gradient(any_mesh_twin, *sharded(mesh), 0.5), expected())
        assert_same(value_and_gradient(any_mesh_twin, *arrays(), 0.5), expected())
        # shard_map over one axis, with the other as it was.
        whole = functools.partial(jax.shard_map, out_specs=P(), in_specs=P(), axis_names={"model"})
        assert_same(value_and_gradient(whole_twin(whole), *sharded(mesh), 0.5), expected())


def whole_twin(shard_map):
    def function(tree, *, temperature, where):
        inside = lambda tree, temperature, where: any_mesh_twin(tree, temperature=temperature, where=where)
        return shard_map(inside)(tree, temperature, where)

    return function


def test_sharding_of_results():
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    a, b, where = sharded(mesh)
    out = any_mesh_twin({"a": a, "b": b})
    assert out["loss"].sharding.spec == P() and out["rows"].sharding.spec == P("data")
    rows = any_mesh_twin({"a": a, "b": b}, kind="none")
    np.testing.assert_allclose(rows, out["rows"])


def test_arrays_without_mesh_beside_sharded_ones():
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    a, b, where = sharded(mesh)
    for other in (arrays()[1], jnp.asarray(arrays()[1])):
        np.testing.assert_allclose(any_mesh_twin({"a": a, "b": other})["loss"], any_mesh_twin({"a": a, "b": b})["loss"])


def test_inside_shard_map_pmap_and_vmap():
    mesh = jax.make_mesh((8,), ("data",))
    inside = jax.shard_map(
        lambda tree: any_mesh_twin(tree)["loss"][None], mesh=mesh, in_specs=P("data"), out_specs=P("data")
    )
    per_device = np.random.default_rng(1).normal(size=(8, 2, 3)).astype(np.float32)
    both = lambda x: {"a": x, "b": x + 1}
    losses = jax.jit(jax.vmap(lambda x: plain(both(x))["loss"]))(per_device)
    split = jax.device_put(per_device.reshape(16, 3), NamedSharding(mesh, P("data")))
    np.testing.assert_allclose(jax.jit(inside)(both(split)), losses, rtol=1e-5)
    np.testing.assert_allclose(jax.pmap(lambda x: any_mesh_twin(both(x))["loss"])(per_device), losses, rtol=1e-5)
    mapped = jax.jit(jax.vmap(lambda x: any_mesh_twin(both(x))["loss"]))
    for spec in (P("data"), P(None, "data")):
        mesh = jax.make_mesh((2,), ("data",))
        np.testing.assert_allclose(mapped(jax.device_put(per_device, NamedSharding(mesh, spec))), losses, rtol=1e-5)


def test_costs_nothing_without_explicit_axes():
    a, b, where = arrays()
    trace = lambda f: str(jax.make_jaxpr(lambda a, b: f({"a": a, "b": b}, where=where))(a, b))
    assert trace(any_mesh_twin) == trace(plain)
    with jax.set_mesh(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))):
        assert trace(any_mesh_twin) == trace(plain)


def test_no_array_is_gathered_that_auto_axes_would_leave():
    def collectives(axes):
        mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=AXES[axes])
        text = jax.jit(any_mesh(lambda a: jnp.mean(jnp.square(a)))).lower(sharded(mesh)[0]).compile().as_text()
        return "all-gather" in text

    assert not collectives("auto") and not collectives("explicit")
