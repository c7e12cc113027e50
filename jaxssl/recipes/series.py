"""Base config for time series."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick

ROCKET = "random kernels (ROCKET)"


def series() -> ConfigDict:
    """Base config for series: their floors."""
    config = base()
    config.evaluate.floors = {
        "raw samples": dict(name="evaluators.floors.flat"),
        ROCKET: dict(name="evaluators.floors.series.rocket", kernels=300),
    }
    return config


def quick_series(config: ConfigDict, *, batch_size: int = 32) -> ConfigDict:
    """`quick` with few random kernels; the config file shrinks its data, encoder and method."""
    quick(config, batch_size=batch_size).evaluate.floors[ROCKET].kernels = 20
    return config
