"""DenseCL and VICRegL: what they compute against the parts they are made of, in chunks, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jaxssl import losses, ops
from jaxssl.chunks import chunked_value_and_grad
from jaxssl.methods.densecl import densecl
from jaxssl.methods.vicregl import vicregl
from jaxssl.models.convnet import convnet
from jaxssl.models.mlp import mlp
from jaxssl.models.vit import vit
from jaxssl.sharding import make_mesh
from jaxssl.skeletons.dense import flat, forward_maps, networks_with_maps

N = 8
HEADS = dict(hidden_dims=(8,), dim=6)
DENSE_HEADS = dict(dense_hidden_dims=(7,), dense_dim=5)
MATCHES = dict(position_matches=(6, 2), feature_matches=(5, 3))
KEY, STEP = jax.random.key(1), jnp.int32(0)


def make_batch(num_local=0):
    """Two views of 16 x 16 pixels, and small ones of 8 x 8, with the crops that they show."""
    random = np.random.default_rng(0)

    def group(count, size):
        views = [random.normal(size=(N, size, size, 3)) for _ in range(count)]
        boxes = [
            np.concatenate([random.uniform(0, 20, (N, 2)), random.uniform(10, 40, (N, 2))], 1) for _ in range(count)
        ]
        flips = [random.random(N) < 0.5 for _ in range(count)]
        return {
            "views": tuple(jnp.float32(x) for x in views),
            "boxes": tuple(jnp.float32(x) for x in boxes),
            "flips": tuple(jnp.asarray(x) for x in flips),
        }

    local = {f"local_{name}": value for name, value in group(num_local, 8).items()} if num_local else {}
    return {**group(2, 16), **local, "label": jnp.arange(N)}


def make_vicregl(**options):
    encoder = convnet(widths=(6, 8), strides=(2, 2), norm="group", pool="mean")
    return vicregl(encoder, **{**HEADS, **DENSE_HEADS, **MATCHES, "norm": False, **options})


def make_densecl(**options):
    encoder = convnet(widths=(6, 8), strides=(2, 2), pool="mean")
    return densecl(encoder, **{**HEADS, "queue_size": 20, **options})


def begin(method, batch):
    return jax.jit(method.init)(jax.random.key(0), batch)


run = lambda method, *args: jax.jit(jax.value_and_grad(method.loss, has_aux=True))(*args, KEY, STEP)


def test_vicregl_is_the_mean_over_all_pairs_of_views():
    """The loss against its definition, over ordered pairs of a large view and any other."""
    batch, method = make_batch(1), make_vicregl(global_weight=0.6)
    params, memory = begin(method, batch)
    (value, out), _ = run(method, params, memory, batch)
    embeddings, _ = jax.jit(method.split.embed)(params, memory, batch, KEY, STEP)
    z, maps = np.asarray(embeddings["projector"]).swapaxes(0, 1), embeddings["maps"]
    boxes, flips = ([*batch[k], *batch.get(f"local_{k}", ())] for k in ("boxes", "flips"))
    centres = [ops.patch_centres(b, f, m.shape[1:3]) for b, f, m in zip(boxes, flips, maps, strict=True)]
    invariance, local, criterion = [], [], jax.jit(losses.vicreg_local, static_argnames=MATCHES)
    for i in range(2):
        for j in (j for j in range(len(z)) if j != i):
            side = [0, int(j >= 2)]
            by = {name: tuple(MATCHES[name][s] for s in side) for name in MATCHES}
            local.append(criterion(flat(maps[i]), flat(maps[j]), centres[i], centres[j], **by))
            invariance.append(np.mean((z[i] - z[j]) ** 2))
    variance = np.mean([losses.vicreg_variance(view) for view in z])
    covariance = np.mean([losses.vicreg_covariance(view) for view in z])
    whole = 25 * np.mean(invariance) + 25 * variance + covariance
    np.testing.assert_allclose(value, 0.6 * whole + 0.4 * np.mean(local), rtol=1e-5)
    np.testing.assert_allclose(out.metrics["local"], np.mean(local), rtol=1e-5)


def test_vicregl_reads_boxes_and_flips():
    batch, method = make_batch(), make_vicregl(feature_matches=(0, 0))
    params, memory = begin(method, batch)
    (value, _), _ = run(method, params, memory, batch)
    for name, other in (("boxes", batch["boxes"][::-1]), ("flips", tuple(~f for f in batch["flips"]))):
        changed = {**batch, name: (other[0], batch[name][1])}
        assert not np.isclose(run(method, params, memory, changed)[0][0], value, rtol=1e-4), name
    # Without the local part they say nothing.
    method = make_vicregl(global_weight=1.0)
    (value, _), gradient = run(method, params, memory, batch)
    (other, _), _ = run(method, params, memory, {**batch, "boxes": batch["boxes"][::-1]})
    assert other == value and not any(np.any(g) for g in jax.tree.leaves(gradient["dense_projector"]))


def close(found, expected):
    (value, out), gradient = found
    (whole, whole_out), whole_gradient = expected
    np.testing.assert_allclose(value, whole, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(whole_gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * np.abs(b).max())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), out.metrics, whole_out.metrics)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), out.memory, whole_out.memory)


def sharded(batch, mesh):
    return jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P("data"))), batch)


def test_vicregl_in_chunks_and_on_eight_devices_is_that_of_the_whole_batch():
    """Two views and two chunks: were the boxes cut along their views, nothing would say so."""
    batch, method = make_batch(1), make_vicregl()
    params, memory = begin(method, batch)
    expected = run(method, params, memory, batch)
    chunked = jax.jit(chunked_value_and_grad(method.split, 2))
    close(chunked(params, memory, batch, KEY, STEP), expected)
    close(chunked(params, memory, sharded(batch, make_mesh(8)), KEY, STEP), expected)


def test_densecl_on_eight_devices_is_that_of_one():
    batch, method = make_batch(), make_densecl()
    params, memory = begin(method, batch)
    close(run(method, params, memory, sharded(batch, make_mesh(8))), run(method, params, memory, batch))


def test_densecl_is_made_of_its_two_terms():
    batch, method = make_batch(), make_densecl(dense_weight=0.3, shuffle=False)
    params, memory = begin(method, batch)
    (value, out), _ = run(method, params, memory, batch)
    encoder = convnet(widths=(6, 8), strides=(2, 2), pool="mean")
    from jaxssl.models.heads import projector

    heads = [projector((8,), 6, norm=False) for _ in range(2)]
    networks = networks_with_maps("a test", encoder, *heads)
    x1, x2 = batch["views"]
    query, _ = forward_maps(networks, params, memory["stats"], x1, train=True)
    keys, _ = forward_maps(networks, memory["teacher"], memory["teacher_stats"], x2, train=True)
    matches, _ = ops.nearest_by_feature(flat(query["patches"]), flat(keys["patches"]))
    dense = losses.dense_info_nce(
        flat(query["dense_projector"]), flat(keys["dense_projector"]), memory["dense_queue"], matches
    )
    whole = losses.info_nce(query["projector"], keys["projector"], memory["queue"])
    np.testing.assert_allclose(value, 0.7 * whole + 0.3 * dense, rtol=1e-5)
    # Each queue takes N rows of length 1: the pooled dense key lies in the second.
    pooled = np.asarray(flat(keys["dense_projector"]).mean(1))
    pooled = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(out.memory["dense_queue"][:N], pooled, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(out.memory["queue"], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out.memory["dense_queue"][N:], memory["dense_queue"][N:])
    assert int(out.memory["cursor"]) == N


def test_densecl_s_order_of_the_teacher_changes_nothing_without_groups():
    batch = make_batch()
    values = []
    for shuffle in (False, True):
        method = make_densecl(shuffle=shuffle)
        params, memory = begin(method, batch)
        values.append(run(method, params, memory, batch)[0][0])
    np.testing.assert_allclose(*values, rtol=1e-5)


def test_densecl_s_dense_term_waits():
    batch, method = make_batch(), make_densecl(dense_weight=0.5, dense_start=3)
    params, memory = begin(method, batch)
    loss = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    for step, waits in ((2, True), (3, False)):
        (value, out), gradient = loss(params, memory, batch, KEY, jnp.int32(step))
        expected = out.metrics["global"] if waits else (out.metrics["global"] + out.metrics["dense"]) / 2
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert waits == (not any(np.any(g) for g in jax.tree.leaves(gradient["dense_projector"])))


@pytest.mark.parametrize("make", [make_densecl, make_vicregl])
def test_predict_gives_maps(make):
    batch, method = make_batch(), make()
    params, memory = begin(method, batch)
    found = jax.jit(method.predict)(params, memory, {"x": batch["views"][0]})
    assert found["features"].shape == (N, 8) and found["patches"].shape == (N, 4, 4, 8)
    np.testing.assert_allclose(found["patches"].mean((1, 2)), found["features"], rtol=1e-4, atol=1e-6)


def test_a_transformer_has_maps_too():
    batch = make_batch()
    method = vicregl(
        vit(patch_size=4, embed_dim=8, depth=1, num_heads=2), norm=False, **HEADS, **DENSE_HEADS, **MATCHES
    )
    params, memory = begin(method, batch)
    (value, _), gradient = run(method, params, memory, batch)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    assert method.predict(params, memory, {"x": batch["views"][0]})["patches"].shape == (N, 4, 4, 8)


def test_what_does_not_fit_is_refused():
    batch, method = make_batch(), make_vicregl()
    for name in ("boxes", "flips"):
        lacking = {key: value for key, value in batch.items() if key != name}
        with pytest.raises(ValueError, match=f"needs `{name}` in the batch: set augment.return_boxes=True"):
            jax.eval_shape(method.init, KEY, lacking)
    with pytest.raises(ValueError, match=r"method.position_matches=\(17, 2\): a large view has 16 places"):
        jax.eval_shape(make_vicregl(position_matches=(17, 2)).init, KEY, batch)
    with pytest.raises(ValueError, match=r"method.feature_matches=\(5, 9\): a small view has 4 places"):
        jax.eval_shape(make_vicregl(feature_matches=(5, 9)).init, KEY, make_batch(1))
    with pytest.raises(ValueError, match="method.global_weight=2"):
        make_vicregl(global_weight=2)
    with pytest.raises(ValueError, match="method.dense_weight=-1"):
        make_densecl(dense_weight=-1)
    with pytest.raises(ValueError, match="method.queue_size=7: must be at least the batch size 8"):
        jax.eval_shape(make_densecl(queue_size=7).init, KEY, batch)
    with pytest.raises(TypeError, match="methods.densecl needs an encoder that gives a token for every patch"):
        densecl(mlp(hidden_dims=(8,), out_dim=4))
