"""Base config for graphs."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def clustered_nodes(*, per_class: tuple[int, ...], spectral_dim: int, features: str = "node features") -> ConfigDict:
    """Base config for clustering nodes: an encoder of their features, evaluators, floors.

    Args:
      per_class: labels a class of the probe with few labels.
      spectral_dim: eigenvectors of the graph in the floor.
      features: what the features of a node are, in words.
    """
    config = base()
    config.augment = dict(name="augment.graph.nodes")
    config.preprocess = dict(name="augment.graph.plain_nodes")
    config.encoder = dict(name="models.mlp", hidden_dims=(500, 500, 2000), out_dim=10, dtype="float32")
    config.optim.update(name="adamw", learning_rate=1e-3, schedule="constant", weight_decay=0.0, warmup_steps=0)
    config.evaluate.evaluators = dict(
        clustering=dict(name="evaluators.clustering", own="assignments"),
        knn=dict(name="evaluators.knn", k=20, temperature=0.07),
        few_labels=dict(name="evaluators.few_labels", per_class=per_class, draws=5),
        links=dict(name="evaluators.links"),
        rankme=dict(name="evaluators.rankme"),
    )
    config.evaluate.floors = {
        features: dict(name="evaluators.floors.flat"),
        "spectral embedding": dict(name="evaluators.floors.graph.spectral", dim=spectral_dim),
    }
    config.evaluate.headline = "clustering/own_accuracy"
    return config


def embedded_nodes() -> ConfigDict:
    """Base config for embedding nodes: evaluators and floors; the headline has 20 labels a class, as the published split."""
    config = base()
    config.evaluate.evaluators = dict(
        knn=dict(name="evaluators.knn", k=20, temperature=0.07),
        linear=dict(name="evaluators.linear"),
        few_labels=dict(name="evaluators.few_labels", per_class=(5, 20), draws=5),
        clustering=dict(name="evaluators.clustering"),
        links=dict(name="evaluators.links"),
        rankme=dict(name="evaluators.rankme"),
    )
    config.evaluate.floors = {
        "node features": dict(name="evaluators.floors.graph.propagated", num_steps=0),
        "propagated twice": dict(name="evaluators.floors.graph.propagated", num_steps=2),
        "spectral embedding": dict(name="evaluators.floors.graph.spectral", dim=64),
    }
    config.evaluate.headline = "few_labels/20_mean"
    return config


def quick_clustered_nodes(config: ConfigDict) -> ConfigDict:
    """`quick` on 400 nodes with a small encoder; the config file shrinks its method."""
    quick(config).data.update(limit=400 if not config.data.get("whole") else 200)
    config.encoder.hidden_dims = (32, 16)
    return config
