"""What the publications compare: recipes with what they add and without it. Minutes each; run with --slow."""

import functools

import jax
import pytest

from jaxssl.config import load_config
from jaxssl.evaluate import Evaluation
from jaxssl.experiment import resident_feed, setup

# Videos that change their motion half way, in clips of neighbouring frames; evaluated before the change.
CHANGING = {
    "data.change": True,
    "data.frames": 32,
    "augment.stride": 1,
    "preprocess.stride": 1,
    "preprocess.where": 0.0,
    "total_steps": 400,
}
PITCH = {"data.label": "pitch"}
MLM = {"method.mlm_steps": 1500}  # all of the recipe's steps

# Config, evaluator, metric; options of what is to have more, options of what is to have less; least difference.
COMPARISONS = {
    "CLMR: a pitch shift makes pitch harder to read": (
        "clmr_tones",
        "linear",
        "linear/top1",
        PITCH,
        {**PITCH, "augment.pitch_shift": 0.6},
        0.05,
    ),
    "SSAST: both losses, not less than the matching alone": (
        "ssast_words",
        "linear",
        "linear/top1",
        {},
        {"method.generative_weight": 0.0},
        -0.01,
    ),
    "SSAST: both losses, not less than the reconstruction alone": (
        "ssast_words",
        "linear",
        "linear/top1",
        {},
        {"method.discriminative_weight": 0.0},
        -0.01,
    ),
    "Mirror-BERT: nearness of meanings, above that of a masked language model": (
        "mirror_bert_wordnet",
        "similarity",
        "similarity/spearman",
        {},
        MLM,
        0.05,
    ),
    "Mirror-BERT: spread over the sphere, more even than of a masked language model": (
        "mirror_bert_wordnet",
        "similarity",
        "-similarity/uniformity",
        {},
        MLM,
        0.5,
    ),
    "CVRL: clips near in time, not less for motions that change than any two clips": (
        "cvrl_moving_items",
        "linear",
        "linear/top1",
        CHANGING,
        {**CHANGING, "augment.power": None},
        0.0,
    ),
}


def start(name, changes):
    """The experiment of a recipe with other options, on one device."""
    config = load_config(name)
    with config.unlocked():
        for key, value in changes.items():
            *sections, option = key.split(".")
            section = config
            for part in sections:
                section = section[part]
            section[option] = value
    return setup(config, devices=jax.devices()[:1])


def trained(experiment):
    """The state after all steps."""
    state, feed = experiment.initial(), resident_feed(experiment)
    for _ in range(experiment.config.total_steps):
        state, _ = experiment.update(state, feed)
    return state


def measured(name, evaluators, changes):
    """What the evaluators say of a recipe that was trained to its end with other options."""
    experiment = start(name, changes)
    return Evaluation(experiment, evaluators).run(trained(experiment))


# Recipe, labels a class: a probe of the frozen features is to beat the whole network trained on those labels alone.
FEW = {"collossl_basic_motions": 2, "ecg_jepa_rhythms": 5}


@functools.cache
def once(name, evaluator, changes):
    """`measured`, for the runs that are compared more than once; `changes` are pairs."""
    return measured(name, [evaluator], dict(changes))


@pytest.mark.slow
@pytest.mark.parametrize("claim", COMPARISONS)
def test_what_is_added_helps(claim):
    name, evaluator, metric, more, less, least = COMPARISONS[claim]
    sign = -1 if metric.startswith("-") else 1
    values = [sign * once(name, evaluator, tuple(c.items()))[metric.lstrip("-")] for c in (more, less)]
    print(f"{claim}: {values[0]:.3f}, {values[1]:.3f}")
    assert values[0] - values[1] >= least, values


@pytest.mark.slow
@pytest.mark.parametrize("name, count", FEW.items())
def test_frozen_features_beat_the_same_network_trained_on_few_labels_alone(name, count):
    few = {"per_class": (count,), "draws": 5}
    experiment = start(
        name,
        {
            "evaluate.evaluators.few_labels": {"name": "evaluators.few_labels", **few},
            "evaluate.evaluators.fine_tune": {"name": "evaluators.fine_tune", **few},
        },
    )
    evaluation = Evaluation(experiment, ["few_labels", "fine_tune"])
    untrained = evaluation.run(experiment.initial())
    probe = evaluation.run(trained(experiment), names=["few_labels"])[f"few_labels/{count}_mean"]
    print(f"{name}: {untrained} -> {probe:.3f}")
    assert probe > untrained[f"fine_tune/{count}_mean"] and probe > untrained[f"few_labels/{count}_mean"]
