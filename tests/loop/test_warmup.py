"""The warm-ups, the clipping and the layer-wise rates of the released recipes, against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxssl.optim import make_optimizer, make_schedules

BASE = dict(learning_rate=2.0, total_steps=20, batch_size=8)
PARAMS = {"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.zeros(3)}
GRADS = {"kernel": jnp.linspace(1, 3, 6).reshape(2, 3), "bias": jnp.asarray([0.1, -0.2, 0.3])}


@pytest.mark.parametrize(
    "options, expected",
    [
        (dict(), [0.4, 0.8, 1.2, 1.6, 2.0]),
        (dict(warmup="zero"), [0.0, 0.4, 0.8, 1.2, 1.6]),
        (dict(warmup="closed"), [0.0, 0.5, 1.0, 1.5, 2.0]),
        (dict(warmup="closed", warmup_first=0.25), np.linspace(0.5, 2.0, 5)),
    ],
)
def test_a_warmup_is_the_straight_line_it_says(options, expected):
    rate = make_schedules(**BASE, warmup_steps=5, **options)["learning_rate"]
    np.testing.assert_allclose([rate(step) for step in range(5)], expected, rtol=1e-6)
    cosine = [1 + np.cos(np.pi * i / 15) for i in range(15)]
    np.testing.assert_allclose([rate(step) for step in range(5, 20)], cosine, rtol=1e-5)


def test_a_rate_may_stay_for_an_epoch():
    rate = make_schedules(**BASE, rate_steps=5)["learning_rate"]
    np.testing.assert_allclose([rate(step) for step in range(20)], np.repeat([rate(0), rate(5), rate(10), rate(15)], 5))
    np.testing.assert_allclose(rate(5), 1 + np.cos(np.pi / 4), rtol=1e-6)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(warmup="slow"), "optim.warmup='slow'"),
        (dict(warmup_first=0.5), "optim.warmup_first=0.5"),
        (dict(warmup="zero", warmup_first=2.0), "optim.warmup_first=2.0"),
        (dict(rate_steps=0), "optim.rate_steps=0"),
    ],
)
def test_warmups_that_cannot_be_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make_schedules(**BASE, **options)


def test_clipping_of_each_parameter():
    options = dict(BASE, name="sgd", momentum=0.0, schedule="constant", clip_norm=1.0)
    found, _ = (tx := make_optimizer(**options, clip_each=True)).update(GRADS, tx.init(PARAMS), PARAMS)
    norm = np.linalg.norm(GRADS["kernel"])
    np.testing.assert_allclose(found["kernel"], -2 * GRADS["kernel"] / (norm + 1e-6), rtol=1e-6)
    np.testing.assert_allclose(found["bias"], -2 * GRADS["bias"], rtol=1e-6)
    with pytest.raises(ValueError, match="optim.clip_each=True"):
        make_optimizer(**BASE, name="sgd", clip_each=True)


def test_the_rate_ahead_of_the_momentum_or_after_it():
    """The same while the rate is constant; after it, a falling rate also slows what is remembered."""
    options = dict(BASE, name="lars", total_steps=2)

    def two(**more):
        tx, updates = make_optimizer(**options, **more), []
        state = tx.init(PARAMS)
        for _ in range(2):
            found, state = tx.update(GRADS, state, PARAMS)
            updates.append(found["bias"])
        return updates

    ahead, after = two(), two(rate_in_momentum=False)
    np.testing.assert_allclose(ahead[0], after[0])
    np.testing.assert_allclose(ahead[1], -(1 * GRADS["bias"] + 0.9 * 2 * GRADS["bias"]), rtol=1e-6)
    np.testing.assert_allclose(after[1], -1 * (GRADS["bias"] + 0.9 * GRADS["bias"]), rtol=1e-6)
    with pytest.raises(ValueError, match="optim.rate_in_momentum=True: sgd has no such option"):
        make_optimizer(**BASE, name="sgd", rate_in_momentum=True)


def test_larc_by_hand():
    options = dict(BASE, name="larc", schedule="constant", weight_decay=0.1, exclude="", momentum=0.0)
    tx = make_optimizer(**options)
    found, _ = jax.jit(tx.update)(GRADS, tx.init(PARAMS), PARAMS)
    g, p = np.asarray(GRADS["kernel"], np.float64), np.asarray(PARAMS["kernel"], np.float64)
    ratio = 1e-3 * np.linalg.norm(p) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(p) + 1e-8)
    np.testing.assert_allclose(found["kernel"], -2 * ratio * (g + 0.1 * p), rtol=1e-5)
    np.testing.assert_allclose(found["bias"], -2 * GRADS["bias"], rtol=1e-6)  # of length 0
    excluded = make_optimizer(**{**options, "exclude": "kernel"})
    found, _ = excluded.update(GRADS, excluded.init(PARAMS), PARAMS)
    np.testing.assert_allclose(found["kernel"], -2 * g, rtol=1e-6)
    assert optax.global_norm(tx.update(jax.tree.map(jnp.zeros_like, GRADS), tx.init(PARAMS), PARAMS)[0]) == 0
