"""A batch embedded in chunks gives the loss and the gradient of the whole batch, or is refused with a reason."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from loss_reference import x64

from jaxssl.chunks import chunked_value_and_grad
from jaxssl.config import load_config
from jaxssl.core import init_state, make_update
from jaxssl.experiment import resident_feed, setup
from jaxssl.methods.barlow_twins import barlow_twins
from jaxssl.methods.clan import clan
from jaxssl.methods.clip import clip
from jaxssl.methods.clmr import clmr
from jaxssl.methods.cvrl import cvrl
from jaxssl.methods.dino import dino
from jaxssl.methods.mae import mae
from jaxssl.methods.simclr import simclr
from jaxssl.methods.swav import swav
from jaxssl.methods.vicreg import vicreg
from jaxssl.models.mlp import mlp
from jaxssl.models.text import text_encoder
from jaxssl.models.two_tower import two_tower
from jaxssl.models.vit import vit
from jaxssl.sharding import make_mesh

N = 16


def simclr_parts():
    random = np.random.default_rng(0)
    batch = {"views": tuple(jnp.asarray(random.normal(size=(2, N, 6)), jnp.float32)), "label": jnp.arange(N)}
    return simclr(mlp(hidden_dims=(8,), out_dim=5), hidden_dims=(7,), dim=4, norm=False), batch


def clip_parts():
    random = np.random.default_rng(0)
    image = vit(patch_size=4, embed_dim=8, depth=1, num_heads=2)
    text = text_encoder(vocab_size=20, embed_dim=8, depth=1, num_heads=2, max_length=5, dropout=0.0)
    view = {
        "image": jnp.asarray(random.normal(size=(N, 8, 8, 1)), jnp.float32),
        "tokens": jnp.asarray(random.integers(0, 20, (N, 5))),
        "mask": jnp.ones((N, 5), bool),
    }
    batch = {"views": (view,), "group": jnp.asarray(random.integers(0, 12, N))}
    return clip(two_tower(image=image, text=text), dim=6, multi_positive=True), batch


def pair_parts(make, **options):
    """A method of two views of a vector, none of whose networks has a batch norm."""
    _, batch = simclr_parts()
    return make(mlp(hidden_dims=(8,), out_dim=5), **options), batch


HEAD = dict(hidden_dims=(7,), dim=4)
PARTS = {
    "simclr": simclr_parts,
    "clip": clip_parts,
    "vicreg": partial(pair_parts, vicreg, norm=False, **HEAD),
    "barlow_twins": partial(pair_parts, barlow_twins, norm=False, **HEAD),
    "clmr": partial(pair_parts, clmr, **HEAD),
    "cvrl": partial(pair_parts, cvrl, norm=False, **HEAD),
    "clan": partial(pair_parts, clan),
}


@pytest.fixture(scope="module", params=PARTS.values(), ids=PARTS)
def parts(request):
    method, batch = request.param()
    params, memory = jax.jit(method.init)(jax.random.key(0), batch)
    return method, params, memory, batch


def check(found, expected):
    (value, (memory, *seen)), gradient = found
    (whole, (_, *whole_seen)), whole_gradient = expected
    np.testing.assert_allclose(value, whole, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(whole_gradient), strict=True):
        # Relative to the largest entry: sums in another order round differently where terms cancel.
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), seen, whole_seen)
    assert not jax.tree.leaves(memory)


def test_loss_and_gradient_are_those_of_the_batch(parts, request):
    """On one device, and for SimCLR on eight."""
    method, params, memory, batch = parts
    options = params, memory, batch, jax.random.key(1), jnp.int32(0)
    expected = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(*options)
    chunked = jax.jit(chunked_value_and_grad(method.split, 2))
    check(chunked(*options), expected)
    if "[simclr]" not in request.node.name:
        return  # the sharding of one method is enough to compile for
    mesh = make_mesh(8)
    sharded = jax.device_put(batch, NamedSharding(mesh, P("data")))
    check(chunked(params, memory, sharded, *options[3:]), expected)


def test_masks_are_drawn_chunk_by_chunk_and_the_rest_is_exact():
    """MAE: its loss is the mean over images, so that the chunks' own losses and gradients have the batch's as their mean."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(N, 8, 8, 1)), jnp.float32)
    method = mae(vit(patch_size=4, embed_dim=8, depth=1, num_heads=2), decoder_dim=8, decoder_depth=1, decoder_heads=2)
    params, memory = jax.jit(method.init)(jax.random.key(0), {"views": (images,)})
    key, step = jax.random.key(1), jnp.int32(0)

    def of_chunks(params):
        losses = []
        for j, key_chunk in enumerate(jax.random.split(jax.random.split(key)[0], 2)):
            found, _ = method.split.embed(params, memory, {"views": (images[j::2],)}, key_chunk, step)
            losses.append(found["losses"])
        return jnp.concatenate(losses).mean()

    expected, expected_gradient = jax.jit(jax.value_and_grad(of_chunks))(params)
    (value, _), gradient = jax.jit(chunked_value_and_grad(method.split, 2))(
        params, memory, {"views": (images,)}, key, step
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected_gradient), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_an_update_in_chunks_is_the_update_of_the_batch_with_less_memory():
    batch = {"views": tuple(jnp.asarray(np.random.default_rng(0).normal(size=(2, 1024, 64)), jnp.float32))}
    method = simclr(mlp(hidden_dims=(512, 512, 512), out_dim=8), hidden_dims=(), dim=8, norm=False)
    same, tx = lambda key, batch: batch, optax.sgd(0.1)
    state = jax.jit(lambda: init_state(method, same, tx, jax.random.key(0), batch))()
    found, sizes = [], []
    for chunks in (1, 8):
        in_chunks = chunked_value_and_grad(method.split, chunks) if chunks > 1 else None
        update = jax.jit(make_update(method, same, tx, jax.random.key(0), value_and_grad=in_chunks))
        update = update.lower(state, batch).compile()
        sizes.append(update.memory_analysis().temp_size_in_bytes)
        found.append(update(state, batch))
    (after, metrics), (after_chunks, metrics_chunks) = found
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after_chunks, after)
    np.testing.assert_allclose(metrics_chunks["grad_norm"], metrics["grad_norm"], rtol=1e-4)
    assert sizes[1] < 0.7 * sizes[0], sizes


def config_of(name, **method):
    config = load_config(f"{name}:quick")
    with config.unlocked():
        config.gradient_chunks = 4
        config.mesh.data = 1
        config.method.update(method)
    return config


def test_what_chunks_would_change_is_refused():
    with pytest.raises(ValueError, match="not written as a function of embeddings"):
        setup(config_of("moco_fashion_mnist_12k"))
    with pytest.raises(ValueError, match="a batch norm would see the statistics of a chunk"):
        setup(config_of("simclr_fashion_mnist_12k"))
    config = config_of("simclr_fashion_mnist_12k")
    config.gradient_chunks = 3
    with pytest.raises(ValueError, match="gradient_chunks=3: must be at least 1 and divide the 32"):
        setup(config)


def test_logits_in_blocks_go_round_the_devices_of_a_run():
    """`method.block_size` gives the loss and the gradient of the whole matrix, by a ring over the run's own mesh."""
    found = []
    for block_size in (0, 8):
        config = load_config("tests/toy.py:simclr")
        with config.unlocked():
            config.method.block_size = block_size
        experiment = setup(config)
        state, feed = experiment.initial(), resident_feed(experiment)
        compiled = experiment.update.lower(state, feed).compile()
        assert ("collective-permute" in compiled.as_text()) == (block_size > 0)
        _, metrics = compiled(state, feed)
        found.append((metrics["loss"], metrics["grad_norm"]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    with pytest.raises(ValueError, match="multi_positive=False only"):
        clip(None, multi_positive=True, block_size=8)


@x64()
@pytest.mark.parametrize("name", ["dino", pytest.param("swav", marks=pytest.mark.slow)])
def test_crop_by_crop_backward_has_the_same_loss_and_gradient_in_less_memory(name):
    """With drop path and batch norm, which draw and count as before. In double precision, so that no rounding hides a fault."""
    method = {"dino": dino, "swav": swav}[name]
    sizes = dict(num_prototypes=12, hidden_dim=16, bottleneck_dim=8, head_norm=True) if name == "dino" else {}
    sizes = sizes or dict(num_prototypes=12, hidden_dims=(16,), dim=8)
    encoder = vit(patch_size=4, embed_dim=32, depth=1, num_heads=4, image_size=32, drop_path=0.2, dtype="float64")
    key = jax.random.key(0)
    batch = {
        "views": tuple(jax.random.normal(key, (2, 8, 32, 32, 1))),
        "local_views": tuple(jax.random.normal(key, (2, 8, 16, 16, 1))),
    }

    params, memory = jax.jit(method(encoder, **sizes).init)(key, batch)
    double = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x
    params, memory = jax.tree.map(double, (params, memory))

    def step(remat):
        built = method(encoder, remat_views=remat, **sizes)
        gradient = jax.jit(jax.value_and_grad(built.loss, has_aux=True))
        compiled = gradient.lower(params, memory, batch, key, jnp.int32(0)).compile()
        return compiled(params, memory, batch, key, jnp.int32(0)), compiled.memory_analysis().temp_size_in_bytes

    (((whole, _), expected), whole_bytes), (((value, _), found), fewer_bytes) = step(False), step(True)
    np.testing.assert_allclose(value, whole, rtol=1e-12)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * largest), found, expected)
    print(f"{name}: {whole_bytes} bytes, crop by crop {fewer_bytes}")
    assert fewer_bytes < 0.75 * whole_bytes
