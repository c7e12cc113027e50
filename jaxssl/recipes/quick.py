"""The common part of the quick form of every config."""

from ml_collections import ConfigDict


def quick(config: ConfigDict, *, batch_size: int = 32) -> ConfigDict:
    """Shrinks the sections that all configs share to seconds; a config shrinks its data, encoder and method itself."""
    config.total_steps, config.batch_size = 30, batch_size
    config.optim.warmup_steps = min(config.optim.warmup_steps, 3)
    config.log.every, config.checkpoint.every, config.evaluate.every = 5, 10, 0
    config.evaluate.batch_size = 100
    return config
