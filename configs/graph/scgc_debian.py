"""SCGC (arXiv:2204.12656) on 6,000 Debian packages: text features, edges = dependencies, clusters for the sections.

jaxssl train configs/graph/scgc_debian.py --workdir runs/scgc_debian

With --data PATH on a graph of one's own (see jaxssl/data/graph.py); set method.num_clusters.

Seed 0: clusters agree with 63.7 % of the sections (untrained 20.5, k-means on the node features 45.0, on the spectral embedding
34.0); 5 labels a class 60.7 (features 48.9).
"""

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 400, 512
    config.data = dict(name="data.readers.influence", mode="resident", power=3, num_neighbors=256)
    config.augment = dict(name="augment.graph.nodes")
    config.preprocess = dict(name="augment.graph.plain_nodes")
    config.encoder = dict(name="models.mlp", hidden_dims=(500, 500, 2000), out_dim=10, dtype="float32")
    config.method = dict(
        name="methods.scgc",
        num_clusters=12,
        contrast_weight=1.0,
        clustering_weight=0.1,
        reconstruction_weight=1.0,
        scale=0.25,
        pretrain_steps=90,
    )
    config.optim.update(name="adamw", learning_rate=1e-3, weight_decay=0.0, warmup_steps=0)
    config.log.monitor_after = 150  # there are no clusters while the autoencoder is trained
    config.evaluate.evaluators = dict(
        clustering=dict(name="evaluators.clustering", own="assignments"),
        knn=dict(name="evaluators.knn", k=20, temperature=0.07),
        few_labels=dict(name="evaluators.few_labels", per_class=(5, 20), draws=5),
        links=dict(name="evaluators.links"),
        rankme=dict(name="evaluators.rankme"),
    )
    config.evaluate.floors = {
        "node features": dict(name="evaluators.floors.flat"),
        "spectral embedding": dict(name="evaluators.floors.graph.spectral", dim=64),
    }
    config.evaluate.headline = "clustering/accuracy"
    if arg == "quick":
        quick(config)
        config.data.update(limit=400, num_neighbors=64)
        config.encoder.hidden_dims = (32, 16)
        config.method.update(reconstruction_weight=1.0, pretrain_steps=0)
    return config
