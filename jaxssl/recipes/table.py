"""Base configs for tables."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def anomalies() -> ConfigDict:
    """Base config for anomaly detection in tables: views, rates, the evaluator, floors."""
    config = base()
    config.augment = dict(name="augment.table.resampled", kind="uniform")
    config.preprocess = dict(name="augment.table.plain")
    config.optim.update(name="adamw", learning_rate=1e-3, warmup_steps=100, weight_decay=0.0)
    config.evaluate.evaluators = dict(anomaly=dict(name="evaluators.anomaly"), rankme=dict(name="evaluators.rankme"))
    config.evaluate.during = ("anomaly",)
    config.evaluate.floors = {
        "columns": dict(name="evaluators.floors.flat"),
        "Mahalanobis distance": dict(name="evaluators.floors.table.mahalanobis"),
        "isolation forest": dict(name="evaluators.floors.table.isolation_forest"),
    }
    config.evaluate.headline = "anomaly/auroc"
    return config


def quick_table(config: ConfigDict) -> ConfigDict:
    """`quick` on 200 rows; the config file shrinks its encoder and method."""
    quick(config).data.limit = 200
    return config
