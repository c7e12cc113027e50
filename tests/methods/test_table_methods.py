"""CLAN and T-JEPA on tables where it is known what there is to learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.config import load_config
from jaxssl.data.source import Splits, from_arrays
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup
from jaxssl.methods.t_jepa import t_jepa
from jaxssl.models.module import forward
from jaxssl.models.tabular import column_predictor, residual_mlp, table_transformer
from jaxssl.models.tokens import Hide
from jaxssl.ops import disjoint_subsets

X = {"numbers": jnp.asarray(np.random.default_rng(0).normal(size=(6, 10)), jnp.float32)}
X["categories"] = jnp.zeros((6, 0), jnp.int32)


def trained(config, splits=None):
    """(experiment, first state's results, last state, last metrics) of a run on one device."""
    experiment = setup(config, devices=jax.devices()[:1], splits=splits)
    evaluation, state = Evaluation(experiment), experiment.initial()
    before, feed = evaluation.run(state), resident_feed(experiment)
    for _ in range(config.total_steps):
        state, metrics = experiment.update(state, feed)
    return experiment, before, evaluation.run(state), state, metrics


def changed(name, **sections):
    config = load_config(name)
    with config.unlocked():
        for section, options in sections.items():
            if isinstance(options, dict):
                config[section].update(options)
            else:
                config[section] = options
    return config


@pytest.mark.slow
def test_clan_finds_rows_whose_columns_do_not_go_together():
    """Attacks made like the training negatives are found; those that keep all correlations much less."""
    _, before, after, _, metrics = trained(changed("clan_flows"))
    assert after["anomaly/resampled"] >= 0.95
    assert after["anomaly/resampled"] >= before["anomaly/resampled"] + 0.05
    assert after["anomaly/resampled"] > after["anomaly/shifted"]
    assert metrics["active_fraction"] < 0.5


def small_t_jepa(**options):
    encoder = table_transformer(embed_dim=8, depth=1, num_heads=2)
    method = t_jepa(encoder, predictor_dim=8, predictor_depth=1, **options)
    params, memory = jax.jit(lambda key: method.init(key, {"views": (X,)}))(jax.random.key(0))
    return encoder, method, params, memory


def test_t_jepa_stops_the_gradient_of_the_teacher_and_moves_it():
    _, method, params, memory = small_t_jepa(momentum=0.9, momentum_end=1.0, momentum_steps=10)

    def value(params, teacher):
        return method.loss(params, {**memory, "teacher": teacher}, {"views": (X,)}, jax.random.key(1), 0)[0]

    own, teacher = jax.jit(jax.grad(value, argnums=(0, 1)))(params, memory["teacher"])
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(own))
    assert all((g == 0).all() for g in jax.tree.leaves(teacher))
    other = jax.tree.map(lambda p: p + 1, params)
    for step, momentum in ((0, 0.9), (5, 0.95), (10, 1.0), (99, 1.0)):
        moved = method.after(other, memory, jnp.int32(step))["teacher"]["encoder"]
        for new, old in zip(jax.tree.leaves(moved), jax.tree.leaves(params["encoder"])):
            np.testing.assert_allclose(new - old, 1 - momentum, atol=1e-5)


def test_t_jepa_predicts_from_the_context_alone():
    """The loss is the mean error at the targets; what the student sees of the targets' cells is nothing."""
    _, method, params, memory = small_t_jepa(context_share=0.3, target_share=0.4, num_targets=2)
    loss = jax.jit(lambda x: method.loss(params, memory, {"views": (x,)}, jax.random.key(1), 0)[0])
    drawn = disjoint_subsets(jax.random.key(1), 6, 10, num_context=3, num_target=4, num_sets=2)
    encoder = table_transformer(embed_dim=8, depth=1, num_heads=2)
    predictor = column_predictor(encoder, 10, width=8, depth=1, num_heads=2)
    z = forward(encoder, params["encoder"], {}, X, hide=Hide(drawn.context), method="encode")[0].h
    h = forward(encoder, memory["teacher"]["encoder"], {}, X, method="encode")[0].h
    pred, _ = forward(predictor, params["predictor"], {}, z, drawn.context, drawn.targets)
    errors = [
        np.mean((pred[n, j, i] - h[n, 1 + drawn.targets[n, j, i]]) ** 2)
        for n in range(6)
        for j in range(2)
        for i in range(4)
    ]
    np.testing.assert_allclose(loss(X), np.mean(errors), rtol=1e-4)


def test_t_jepa_says_what_does_not_fit():
    with pytest.raises(TypeError, match="table_transformer"):
        t_jepa(residual_mlp())
    encoder = table_transformer(embed_dim=8, depth=1, num_heads=2)
    with pytest.raises(ValueError, match="context_share"):
        t_jepa(encoder, context_share=1.0)
    with pytest.raises(ValueError, match="at most the 10 columns"):
        t_jepa(encoder, context_share=0.8, target_share=0.4).init(jax.random.key(0), {"views": (X,)})


def twins(size, seed=0):
    """6 hidden factors, each in 3 columns with a little noise, and 6 columns of noise: [size, 24]."""
    random = np.random.default_rng(seed)
    factors = np.repeat(random.normal(size=(size, 6)), 3, axis=1)
    x = np.concatenate([factors + 0.1 * random.normal(size=(size, 18)), random.normal(size=(size, 6))], axis=1)
    return x.astype(np.float32)


@pytest.mark.slow
def test_t_jepa_predicts_a_column_whose_twin_it_sees():
    """The error at a target with a twin in the context is at most half of the error without; no collapse."""
    x = twins(2000)
    source = from_arrays({"numbers": x, "categories": np.zeros((len(x), 0), np.int32)})
    config = changed("t_jepa_breast_cancer", total_steps=4000, encoder=dict(embed_dim=32, num_heads=2))
    with config.unlocked():
        config.method.momentum_steps = 4000
        config.evaluate.evaluators, config.evaluate.during = {}, ()
    experiment, _, _, state, metrics = trained(config, Splits(source))
    assert metrics["target_std"] > 0.1
    encoder = table_transformer(embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0)
    predictor = column_predictor(encoder, 24, width=32, depth=2, num_heads=2)
    rows = {"numbers": jnp.asarray(twins(500, seed=1)), "categories": jnp.zeros((500, 0), jnp.int32)}
    h = forward(encoder, state.memory["teacher"]["encoder"], {}, rows, method="encode")[0].h

    def error(context):
        """At column 0, whose twins are the columns 1 and 2."""
        context = jnp.tile(jnp.array(context), (500, 1))
        target = jnp.zeros((500, 1, 1), jnp.int32)
        z = forward(encoder, state.params["encoder"], {}, rows, hide=Hide(context), method="encode")[0].h
        pred, _ = forward(predictor, state.params["predictor"], {}, z, context, target)
        return float(jnp.mean((pred[:, 0, 0] - h[:, 1]) ** 2))

    with_twin, without = error([1, 4, 8, 12, 16, 19, 22]), error([3, 4, 8, 12, 16, 19, 22])
    print(f"error with twin {with_twin:.4f}, without {without:.4f}")
    assert with_twin <= 0.5 * without
