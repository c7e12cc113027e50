"""A pipeline of toys that takes seconds: train, embed, choose examples, train on them. For tests of pipelines."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from toy import get_config

from jaxssl.after import embed
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.source import Splits, from_arrays
from jaxssl.files import whole_file
from jaxssl.stages import Stage

STEPS = 20


def part(*, ids: str, limit: int = 200) -> Splits:
    """The training examples that a file names."""
    splits = fashion_mnist_12k(limit=limit)
    arrays = {name: splits.train.arrays[name][np.load(ids)] for name in ("image", "label")}
    return splits._replace(train=from_arrays(arrays))


def double(run: Path, *, factor: int = 2) -> None:
    """Writes the ids of a study times a factor, without those above 199."""
    ids = factor * np.load(run / "ids.npy")
    with whole_file(run / "doubled.npy") as file:
        np.save(file, ids[ids < 200])


def toy_config() -> ConfigDict:
    """The config that all stages share: 20 steps of the toy."""
    config = get_config()
    config.total_steps, config.checkpoint.every, config.log.every, config.log.tensorboard = STEPS, 5, 5, False
    config.evaluate.evaluators = {"knn": config.evaluate.evaluators.knn.to_dict()}
    config.evaluate.during, config.evaluate.floors, config.evaluate.final = ("knn",), {}, True
    config.batch_size = 16
    return config


def get_stages(arg: str | None = None) -> list[Stage]:
    """Train, select, and train on the selection and without a start."""
    select = toy_config()
    select.study = dict(name="studies.coreset", embeddings="{pretrain}/embed.npz", budget=40)
    chosen = toy_config()
    chosen.data = dict(name="stage_parts.part", mode="resident", ids="{select}/doubled.npy")
    return [
        Stage("pretrain", toy_config(), {"seed": 1}, after=(embed,), row="all"),
        Stage("select", select, after=(double,), row=None),
        Stage("again", chosen, {"start.parts": ("kernel",)}, start="pretrain", row="chosen"),
        Stage("other", chosen, {"seed": 2}, row="chosen"),
    ]
