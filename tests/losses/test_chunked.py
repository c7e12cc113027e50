"""Every chunked loss against its dense twin: value and gradients, block sizes that divide and that do not, 8 devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from loss_reference import normal, x64

from jaxssl import losses
from jaxssl.sharding import make_mesh

PAIRS = {
    "nt_xent": (losses.nt_xent, losses.nt_xent_chunked, 2),
    "info_nce": (losses.info_nce, losses.info_nce_chunked, 2),
    "info_nce_queue": (losses.info_nce, losses.info_nce_chunked, 3),
}

SCALARS = {  # in the place of the temperature; every gradient is taken
    "clip": (losses.clip, losses.clip_chunked, (2.5,)),
    "clip_at_its_bound": (losses.clip, losses.clip_chunked, (5.0,)),
    "sigmoid_pairs": (losses.sigmoid_pairs, losses.sigmoid_pairs_chunked, (2.3, -3.0)),
}


@pytest.mark.parametrize("name", SCALARS)
def test_two_towers_in_float64_and_on_eight_devices(name):
    dense, chunked, scalars = SCALARS[name]
    run = lambda loss, arrays, **options: jax.jit(
        jax.value_and_grad(lambda *a: loss(*a, **options), argnums=tuple(range(2 + len(scalars))))
    )(*arrays, *scalars)
    with x64():
        arrays = normal(0, 16, 3), normal(1, 16, 3)
        expected = run(dense, arrays)
        for block_size in (1, 5, 100):
            found = run(chunked, arrays, block_size=block_size)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), found, expected)
    mesh = make_mesh(8)
    arrays = [jnp.float32(a) for a in arrays]
    sharded = [jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))) for x in arrays]
    found, expected = run(chunked, sharded, block_size=1, mesh=mesh), run(dense, arrays)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, expected)


def value_and_gradients(loss, arrays, temperature, **options):
    """Value, gradients of all arrays, gradient of the temperature."""
    call = lambda t, *a: loss(*a, temperature=t, **options)
    return jax.jit(jax.value_and_grad(call, argnums=tuple(range(len(arrays) + 1))))(temperature, *arrays)


@pytest.mark.parametrize("block_size", [1, 4, 100])
@pytest.mark.parametrize("name", PAIRS)
def test_the_dense_twin_s_value_and_gradients_in_float64(name, block_size):
    dense, chunked, count = PAIRS[name]
    arrays = [normal(i, n, 3) for i, n in zip(range(count), (10, 10, 7))]
    with x64():
        expected = value_and_gradients(dense, arrays, 0.07)
        found = value_and_gradients(chunked, arrays, 0.07, block_size=block_size)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), found, expected)


@pytest.mark.parametrize("name", PAIRS)
def test_eight_devices_in_a_ring_in_float32(name):
    dense, chunked, count = PAIRS[name]
    mesh = make_mesh(8)
    arrays = [jnp.asarray(normal(i, n, 5), jnp.float32) for i, n in zip(range(count), (24, 24, 16))]
    expected = value_and_gradients(dense, arrays, 0.2)
    sharded = [jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))) for x in arrays]
    given = value_and_gradients(chunked, sharded, 0.2, block_size=2, mesh=mesh)
    with jax.set_mesh(mesh):
        ambient = value_and_gradients(chunked, sharded, 0.2, block_size=2)
    for found in (given, ambient):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)
        assert all(g.sharding.spec[0] == "data" for g in found[1][1:2])


@pytest.mark.parametrize("name", PAIRS)
def test_low_temperature_zero_vectors_and_one_example(name):
    dense, chunked, count = PAIRS[name]
    arrays = [np.float32(normal(i, 6, 4)) for i in range(count)]
    for a in arrays:
        a[2] = 0
    for rows, block_size in ((6, 4), (1, 4)):
        cut = [a[:rows] for a in arrays]
        expected = value_and_gradients(dense, cut, 0.01)
        found = value_and_gradients(chunked, cut, 0.01, block_size=block_size)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)
        # Logits of 1 / T = 100 are rounded to 1e-5; the temperature's gradient is a sum of such over T.
        for a, b, atol in zip(found[1], expected[1], [1e-2] + [1e-4] * count, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


@pytest.mark.parametrize("name", PAIRS)
def test_no_matrix_of_all_pairs_is_ever_made(name):
    dense, chunked, count = PAIRS[name]
    arrays = [jax.ShapeDtypeStruct((4096, 8), jnp.float32)] * count
    compiled = {}
    for kind, loss, options in (("dense", dense, {}), ("chunked", chunked, dict(block_size=128))):
        gradient = jax.jit(jax.grad(lambda *a, loss=loss, options=options: loss(*a, temperature=0.1, **options)))
        compiled[kind] = gradient.lower(*arrays).compile().memory_analysis().temp_size_in_bytes
    # Embeddings are 128 KiB, a block of logits 64 KiB, all logits 64 MiB.
    assert compiled["chunked"] < 4 * 2**20 < 2**26 <= compiled["dense"]


def test_what_does_not_fit_is_refused():
    z, mesh = np.ones((6, 3), np.float32), make_mesh(4)
    with pytest.raises(ValueError, match="rows: 6 cannot be divided over the 4 devices of mesh axis 'data'"):
        losses.nt_xent_chunked(z, z, mesh=mesh)
    with pytest.raises(ValueError, match="axis_name='rows': the mesh has the axes"):
        losses.nt_xent_chunked(z, z, mesh=mesh, axis_name="rows")
    with pytest.raises(ValueError, match="negatives: 6 cannot be divided"):
        losses.info_nce_chunked(np.ones((4, 3)), np.ones((4, 3)), z, mesh=mesh)
    with pytest.raises(ValueError, match="block_size=.*: must be at least 1"):
        losses.nt_xent_chunked(z, z, block_size=0)
