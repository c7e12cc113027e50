"""GraphMAE (arXiv:2205.10803) on 6,000 Debian packages: text features, edges = dependencies, label = section.

jaxssl train configs/graph/graphmae_debian.py --workdir runs/graphmae

With --data PATH on a graph of one's own: see jaxssl/data/graph.py.
"""

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 800, 256
    config.data = dict(name="data.readers.graph", mode="resident")
    config.augment = dict(name="augment.graph.ego")
    config.preprocess = dict(name="augment.graph.plain")
    config.encoder = dict(name="models.gnn.gcn", widths=(256, 256), dtype="float32", remat=False)
    config.method = dict(name="methods.graphmae", masking_ratio=0.5, replace_rate=0.05, alpha=3.0)
    config.optim.update(learning_rate=1e-3, weight_decay=2e-4, warmup_steps=40)
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
    config.evaluate.headline = "few_labels/5_mean"
    if arg == "quick":
        quick(config)
        config.data.update(limit=400, num_nodes=8, num_edges=16)
        config.encoder.widths = (32, 16)
    return config
