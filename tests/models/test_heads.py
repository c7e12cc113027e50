"""Projection, prediction, prototype and DINO heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.heads import DINOHead, Prototypes, predictor, projector

KEY = jax.random.key(0)
H = jax.random.normal(KEY, (16, 6))

HEADS = {
    "simclr": (
        projector((8,), 4),
        {"linear0": {"kernel"}, "norm0": {"scale", "bias"}, "linear1": {"kernel", "bias"}},
    ),
    "moco_v2": (
        projector((8,), 4, norm=False),
        {"linear0": {"kernel", "bias"}, "linear1": {"kernel", "bias"}},
    ),
    "moco_v3": (
        projector((8, 8), 4, last_norm="batch_no_affine", bias=False),
        {name: {"kernel"} for name in ("linear0", "linear1", "linear2")}
        | {name: {"scale", "bias"} for name in ("norm0", "norm1")},
    ),
    "expander": (
        projector((8,), 4, bias=False),
        {"linear0": {"kernel"}, "norm0": {"scale", "bias"}, "linear1": {"kernel"}},
    ),
    "linear": (projector((), 4), {"linear0": {"kernel", "bias"}}),
    "predictor": (
        predictor((2,), 4, last_norm="batch"),
        {
            "linear0": {"kernel"},
            "norm0": {"scale", "bias"},
            "linear1": {"kernel"},
            "norm1": {"scale", "bias"},
        },
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_have_exactly_the_parameters_of_their_recipe(name):
    head, expected = HEADS[name]
    params, stats = setup(head, KEY, H)
    assert {layer: set(leaves) for layer, leaves in params.items()} == expected
    z, _ = forward(head, params, stats, H, train=True)
    assert z.shape == (16, 4) and z.dtype == jnp.float32
    grads = jax.jit(jax.grad(lambda p: jnp.sin(3 * forward(head, p, stats, H, train=True)[0]).sum()))(params)
    assert all(jnp.abs(leaf).max() > 1e-6 for leaf in jax.tree.leaves(grads))


def test_last_norm_standardises_the_output():
    head = projector((8,), 4, last_norm="batch_no_affine")
    z, _ = forward(head, *setup(head, KEY, H), H, train=True)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-2)
    grouped = projector((8,), 4, last_norm="batch_no_affine", batch_groups=2)
    z, _ = forward(grouped, *setup(grouped, KEY, H), H, train=True)
    np.testing.assert_allclose(z[:8].mean(0), 0, atol=1e-5)


def test_half_precision_head_returns_float32():
    head, half = projector((8,), 4), projector((8,), 4, dtype="bfloat16")
    params, stats = setup(head, KEY, H)
    z, _ = forward(half, params, stats, H)
    assert z.dtype == jnp.float32
    np.testing.assert_allclose(z, forward(head, params, stats, H)[0], rtol=0.1, atol=0.05)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="last_norm"):
        projector((8,), 4, last_norm="layer")
    with pytest.raises(ValueError, match=r"\[N, D\]"):
        setup(projector((8,), 4), KEY, H[0])


def test_prototypes_score_cosines():
    head = Prototypes(3)
    params, _ = setup(head, KEY, H)
    scores, _ = forward(head, params, {}, 7 * H)
    kernel = np.asarray(params["kernel"])
    expected = (H / np.linalg.norm(H, axis=1, keepdims=True)) @ (kernel / np.linalg.norm(kernel, axis=0))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(jax.grad(lambda h: forward(head, params, {}, h)[0].sum())(jnp.zeros_like(H))).all()


@pytest.mark.parametrize("layers", [1, 3])
def test_dino_head(layers):
    head = DINOHead(hidden=8, bottleneck=4, out_dim=10, layers=layers)
    params, stats = setup(head, KEY, H)
    assert stats == {} and set(params) == {"last_layer"} | {f"linear{i}" for i in range(layers)}
    logits, _ = forward(head, params, stats, H, train=True)
    assert logits.shape == (16, 10) and logits.dtype == jnp.float32
    x = H
    for i in range(layers):
        x = x @ params[f"linear{i}"]["kernel"] + params[f"linear{i}"]["bias"]
        x = jax.nn.gelu(x, approximate=False) if i < layers - 1 else x
    w = params["last_layer"]
    expected = x / jnp.linalg.norm(x, axis=1, keepdims=True) @ (w / jnp.linalg.norm(w, axis=0))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-5)
    grown, _ = forward(head, {**params, "last_layer": 5 * w}, stats, H)
    np.testing.assert_allclose(grown, logits, rtol=1e-4, atol=1e-6)
    assert forward(head, params, stats, H.reshape(4, 4, 6))[0].shape == (4, 4, 10)
