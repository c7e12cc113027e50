"""Networks for clips against loops, and what every encoder promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models import video
from jaxssl.models.positions import sincos_3d
from jaxssl.models.tokens import Hide


@pytest.mark.parametrize("size, strides, length", [(3, 1, 5), (3, 2, 5), (3, 2, 6), (5, 2, 7), (1, 2, 4)])
def test_convolution_over_time_matches_a_loop(size, strides, length):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, length, 3, 2, 4)).astype(np.float32)
    layer = video.TimeConv(6, size, strides)
    params, _ = setup(layer, jax.random.key(0), x)
    found, _ = forward(layer, params, {}, x)
    kernel, out = np.asarray(params["kernel"]), []
    for t in range(0, length, strides):
        total = np.zeros((2, 3, 2, 6))
        for i in range(size):
            if 0 <= t + i - size // 2 < length:
                total += x[:, t + i - size // 2] @ kernel[i]
        out.append(total)
    np.testing.assert_allclose(found, np.stack(out, 1), rtol=1e-4, atol=1e-5)


CLIPS = np.random.default_rng(1).normal(size=(3, 4, 16, 16, 1)).astype(np.float32)
ENCODERS = {
    "convnet": (video.convnet(widths=(8, 16), strides=(2, 2), time_kernels=(1, 3), time_strides=(1, 2)), 16),
    "convnet_group": (video.convnet(widths=(8, 16), strides=2, time_strides=1, norm="group", remat=True), 16),
    "bottleneck": (video.resnet(layers=(1, 1), width=4, time_kernels=(1, 3), zero_init_last=False), 32),
    "basic": (
        video.resnet(layers=(1, 1), block="basic", width=8, time_kernels=3, stem="3x3", zero_init_last=False),
        16,
    ),
    "vit": (video.vit(patch_size=8, tubelet=2, embed_dim=16, depth=1, num_heads=2), 16),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_features_and_every_parameter_a_gradient(name):
    encoder, dim = ENCODERS[name]
    params, stats = jax.jit(lambda key: setup(encoder, key, CLIPS))(jax.random.key(0))
    target = np.random.default_rng(2).normal(size=(3, dim)).astype(np.float32)

    def value(params, x):
        h, _ = forward(encoder, params, stats, x, train=True, key=jax.random.key(0))
        return jnp.sum(jnp.sin(h) * target), h

    (_, h), grads = jax.jit(jax.value_and_grad(value, has_aux=True))(params, CLIPS)
    assert h.shape == (3, dim) and h.dtype == jnp.float32 and encoder.dtype == "float32"
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(grad).all() and np.abs(grad).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", ["convnet", "bottleneck", "basic", "vit"])
def test_the_order_of_frames_counts(name):
    """Without this no encoder could tell a motion from its reverse."""
    encoder, _ = ENCODERS[name]
    params, stats = setup(encoder, jax.random.key(0), CLIPS)
    run = jax.jit(lambda x: forward(encoder, params, stats, x)[0])
    assert np.abs(run(CLIPS) - run(CLIPS[:, ::-1])).max() > 1e-3 * np.abs(run(CLIPS)).max()


def test_space_only_networks_see_every_frame_alone():
    encoder = video.convnet(widths=(8,), strides=2, time_kernels=1, time_strides=1)
    params, stats = setup(encoder, jax.random.key(0), CLIPS)
    run = jax.jit(lambda x: forward(encoder, params, stats, x)[0])
    alone = np.mean([run(CLIPS[:, t : t + 1]) for t in range(4)], axis=0)
    np.testing.assert_allclose(run(CLIPS), alone, rtol=1e-4, atol=1e-5)


def test_the_published_network_has_the_published_shapes():
    """R3D-50: 2048 features; temporal taps in the last two stages only."""
    encoder = video.resnet()
    shapes = jax.eval_shape(lambda: setup(encoder, jax.random.key(0), jnp.zeros((1, 16, 64, 64, 3))))[0]
    assert shapes["stem"]["kernel"].shape == (5, 7, 7, 3, 64)
    taps = {name: shapes[name]["conv1"]["kernel"].shape[0] for name in shapes if name.startswith("layer")}
    assert (
        len(taps) == 16
        and {taps[f"layer{s}_0"] for s in (1, 2)} == {1}
        and {taps[f"layer{s}_0"] for s in (3, 4)} == {3}
    )
    clips = jnp.zeros((2, 16, 64, 64, 3))
    out = jax.eval_shape(lambda p, x: forward(encoder, p, None, x, train=True)[0], shapes, clips)
    assert out.shape == (2, 2048)


def test_tubelets_are_cuboids_frames_first():
    x = np.arange(2 * 4 * 6 * 9 * 2).reshape(2, 4, 6, 9, 2).astype(np.float32)
    found = np.asarray(video.vit(patch_size=3, tubelet=2).patches_of(jnp.asarray(x)))
    assert found.shape == (2, 2 * 2 * 3, 2 * 3 * 3 * 2)
    for number, (t, i, j) in enumerate(np.ndindex(2, 2, 3)):
        cuboid = x[:, 2 * t : 2 * t + 2, 3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
        np.testing.assert_array_equal(found[:, number], cuboid.reshape(2, -1))


def test_positions_tell_time_and_place_apart():
    codes = sincos_3d(32, (3, 2, 4))
    assert codes.shape == (24, 32) and len(np.unique(codes.round(6), axis=0)) == 24
    np.testing.assert_array_equal(codes[:8, 8:], codes[8:16, 8:])
    np.testing.assert_array_equal(codes[:8, :8], np.tile(codes[:1, :8], (8, 1)))


def test_visible_tokens_are_those_asked_for():
    """With attention over the visible ones only, all of them in another order give the same mean."""
    encoder, _ = ENCODERS["vit"]
    params, _ = setup(encoder, jax.random.key(0), CLIPS)
    ids = np.tile(np.random.default_rng(0).permutation(8), (3, 1))
    whole, _ = forward(encoder, params, {}, CLIPS)
    mixed, _ = forward(encoder, params, {}, CLIPS, hide=Hide(ids))
    np.testing.assert_allclose(whole, mixed, atol=1e-5)
    some, _ = forward(encoder, params, {}, CLIPS, method="encode", hide=Hide(ids[:, :3]))
    assert some.patches.shape == (3, 3, 16)


@pytest.mark.parametrize(
    "build, said",
    [
        (lambda: video.convnet(widths=(8, 16), strides=(2,)), "equally many"),
        (lambda: video.convnet(time_kernels=2), "time_kernels=.*must be odd"),
        (lambda: video.resnet(block="plain"), "block='plain': must be"),
        (lambda: video.resnet(stem="7x7"), "stem='7x7': must be"),
        (lambda: video.resnet(layers=(1, 1)), "equally many"),
        (lambda: video.vit(embed_dim=24, num_heads=2), "divisible by 16"),
        (lambda: video.vit(tubelet=0), "at least 1"),
        (lambda: setup(ENCODERS["vit"][0], jax.random.key(0), CLIPS[:, :3]), "tubelet=2: must divide the 3 frames"),
        (lambda: setup(ENCODERS["convnet"][0], jax.random.key(0), CLIPS[0]), "N, T, H, W, C"),
        (lambda: setup(ENCODERS["convnet"][0], jax.random.key(0), CLIPS.astype(np.uint8)), "floating"),
    ],
)
def test_bad_options_are_named(build, said):
    with pytest.raises(ValueError, match=said):
        build()
