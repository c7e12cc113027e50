"""Base config for sounds."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def sounds(*, rate: int = 8000) -> ConfigDict:
    """Base config for sounds: the floor that is usual for them, and the probe that is the headline.

    Args:
      rate: samples a second of the data.
    """
    config = base()
    config.evaluate.floors = {"MFCC statistics": dict(name="evaluators.floors.audio.mfcc", rate=rate)}
    config.evaluate.headline = "linear/top1"
    return config


def quick_sounds(config: ConfigDict, *, batch_size: int = 32) -> ConfigDict:
    """`quick` at a rate at which 30 steps learn; the config file shrinks its data, encoder and method."""
    quick(config, batch_size=batch_size).optim.learning_rate = 3e-3
    return config
