"""What Point-CMAE promises beyond the contract: its loss, its masks, its two decoders; and that the recipe learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.config import load_config
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup
from jaxssl.methods.point_cmae import point_cmae
from jaxssl.models.points import transformer
from jaxssl.models.series import convnet

STEP = jnp.zeros((), jnp.int32)
SMALL = dict(num_groups=6, group_size=5, embed_dim=8, depth=1, num_heads=2, patch_widths=(4, 6, 8), drop_path=0.0)
BATCH = {"views": (np.random.default_rng(0).normal(size=(4, 40, 3)).astype(np.float32),)}


def build(**options):
    return point_cmae(transformer(**SMALL), decoder_depth=1, decoder_heads=2, decoder_drop_path=0.0, **options)


@pytest.fixture(scope="module")
def start():
    return jax.jit(build().init)(jax.random.key(0), BATCH)


@pytest.fixture(scope="module")
def outcomes(start):
    """Loss, metrics and gradient of some options, at the same weights and masks."""
    cases = {
        "both": {},
        "diagonal": dict(reconstruction_weight=0.0),
        "row": dict(reconstruction_weight=0.0, pairing="row"),
    }

    def run(options):
        loss = jax.jit(jax.value_and_grad(build(**options).loss, has_aux=True))
        (value, out), gradient = loss(*start, BATCH, jax.random.key(1), STEP)
        return float(value), out, gradient

    return {name: run(options) for name, options in cases.items()}


def test_the_loss_is_the_weighted_sum_of_its_parts(outcomes):
    value, (memory, metrics, watch), _ = outcomes["both"]
    chamfer, consistency = float(metrics["chamfer"]), float(metrics["consistency"])
    assert value == pytest.approx(2000 * chamfer + consistency, rel=1e-5)
    assert outcomes["diagonal"][0] == pytest.approx(consistency, rel=1e-5)
    assert outcomes["row"][0] != pytest.approx(consistency, rel=1e-3)
    assert watch.features.shape == (2, 4, 8)
    means = [x for p, x in jax.tree_util.tree_leaves_with_path(memory["stats"]) if "mean" in str(p)]
    assert means and all(np.abs(x).max() > 0 for x in means), "batch statistics are kept"


def test_the_decoders_are_two_and_agreement_reaches_both(start, outcomes):
    params, _ = start
    first, second = (params[name] for name in ("decoder1", "decoder2"))
    assert jax.tree.structure(first) == jax.tree.structure(second)
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)))
    gradient = outcomes["diagonal"][2]
    for name in ("decoder1", "decoder2"):
        assert np.abs(gradient[name]["block0"]["fc1"]["kernel"]).max() > 0, "nothing is stopped on either side"
        assert not gradient[name]["predict"]["kernel"].any(), "points take no part in the agreement"
        assert outcomes["both"][2][name]["predict"]["kernel"].any()


def test_both_masks_are_drawn_anew_by_every_key(start):
    loss = jax.jit(build().loss)
    values = [float(loss(*start, BATCH, jax.random.key(k), STEP)[0]) for k in (1, 2, 1)]
    assert values[0] == values[2] != values[1]


def test_a_cloud_in_another_order_is_the_same_cloud(start):
    method = build()
    predict = jax.jit(method.predict)
    x = BATCH["views"][0]
    found = predict(*start, {"x": x})["features"]
    turned = predict(*start, {"x": x[:, np.random.default_rng(1).permutation(40)]})["features"]
    np.testing.assert_allclose(turned, found, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="models.points.transformer"):
        point_cmae(convnet())
    for ratio in (0.0, 0.01, 0.99):
        with pytest.raises(ValueError, match="masking_ratio"):
            build(masking_ratio=ratio)


@pytest.mark.slow
def test_the_recipe_beats_the_untrained_network():
    """Measured by the recipe in configs/results.json."""
    experiment = setup(load_config("configs/points/point_cmae_solids.py"))
    evaluation = Evaluation(experiment, ["few_labels"])
    before = evaluation.run(experiment.initial())["few_labels/10_mean"]
    state, feed = experiment.initial(), resident_feed(experiment)
    for _ in range(experiment.config.total_steps):
        state, _ = experiment.update(state, feed)
    assert evaluation.run(state)["few_labels/10_mean"] > before + 0.05
