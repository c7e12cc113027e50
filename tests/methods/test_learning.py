"""Learning: whole recipes beat their own untrained networks. Minutes each; run with --slow."""

import jax
import pytest

from jaxssl.config import load_config
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup

# Config, evaluators, and what must be gained; the recipes gain about twice as much, see configs/results.json.
RECIPES = {
    "ecg_jepa_rhythms": (["linear", "few_labels"], {"linear/top1": 0.08, "few_labels/50_mean": 0.06}),
    "t_jepa_sensors": (["few_labels"], {"few_labels/10_mean": 0.04, "few_labels/1_mean": 0.08}),
    "mirror_bert_debian": (
        ["retrieval", "similarity"],
        {"retrieval/mrr": 0.06, "similarity/spearman": 0.08, "similarity/uniformity": -0.3},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_beats_the_untrained_network(name):
    evaluators, gains = RECIPES[name]
    experiment = setup(load_config(name), devices=jax.devices()[:1])
    evaluation = Evaluation(experiment, evaluators)
    before = evaluation.run(experiment.initial())
    state, feed = experiment.initial(), resident_feed(experiment)
    for _ in range(experiment.config.total_steps):
        state, _ = experiment.update(state, feed)
    after = evaluation.run(state)
    for metric, gain in gains.items():
        change = after[metric] - before[metric]
        print(f"{name}: {metric} {before[metric]:.3f} -> {after[metric]:.3f}")
        # A negative gain is one of a number that is to fall.
        assert change > gain if gain > 0 else change < gain, metric
