"""A batch or a queue that holds more examples than there are is said before the first step."""

import logging
from types import SimpleNamespace

import jax
import pytest
from runs import ROOT

from jaxssl.config import load_config
from jaxssl.experiment import make_feed, make_method, setup

CONFIGS = ROOT / "configs"
# Methods for which the other examples of a batch, or of a queue, are different ones by definition.
NEGATIVES = {"clip", "clmr", "collossl", "cvrl", "densecl", "mirror_bert", "moco", "moco_v3", "scgc", "simclr"}


def said(caplog, config, **changes):
    """What is said at warning level before the first step, on so many examples."""
    config = load_config(f"{config}:quick", {k: str(v) for k, v in changes.items()})
    experiment = setup(config, devices=jax.devices()[:1])
    with caplog.at_level(logging.WARNING, logger="jaxssl"):
        next(make_feed(experiment))
    return [record.getMessage() for record in caplog.records], experiment.splits.train.size


@pytest.mark.parametrize(
    "config, own", [("simclr_fashion_mnist_12k", True), ("byol_fashion_mnist_12k", False)], ids=["negatives", "none"]
)
def test_a_batch_larger_than_the_data(config, own, caplog):
    words, size = said(caplog, config, **{"data.limit": 50, "batch_size": 64})
    assert len(words) == 1 and f"batch_size=64: more than the {size} training examples" in words[0]
    assert ("negative of itself" in words[0]) == own


@pytest.mark.parametrize("config", ["moco_fashion_mnist_12k", "swav_fashion_mnist_12k"])
def test_a_queue_larger_than_the_data(config, caplog):
    words, size = said(caplog, config, **{"data.limit": 50, "method.queue_size": 80, "batch_size": 32})
    assert len(words) == 1 and f"method.queue_size=80: more than the {size} training examples" in words[0]
    assert ("negative of itself" in words[0]) == config.startswith("moco_")


def test_nothing_is_said_where_all_fits(caplog):
    assert said(caplog, "moco_fashion_mnist_12k", **{"data.limit": 100, "batch_size": 32})[0] == []


def test_methods_know_whether_they_have_negatives():
    found = {}
    source = SimpleNamespace(num_ids=10, num_classes=10, num_targets=0)
    for file in (file for file in CONFIGS.glob("*/*.py") if file.parent.name != "stages"):
        config = load_config(f"{file}:quick")
        found[config.method.name.removeprefix("methods.")] = make_method(config, source=source).negatives
    assert {name for name, negatives in found.items() if negatives} == NEGATIVES
