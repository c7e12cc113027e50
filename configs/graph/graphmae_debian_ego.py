"""GraphMAE (arXiv:2205.10803) on graphs of 24 nodes around each of 6,000 Debian packages, for graphs that fit no memory.

jaxssl train configs/graph/graphmae_debian_ego.py --workdir runs/graphmae_ego

Not the published form: that sees the whole graph (configs/graph/graphmae_debian.py) and has attention and dropout; here
every example is a small graph of its own, and the network is a GCN without dropout.
"""

from jaxssl.recipes.graph import embedded_nodes
from jaxssl.recipes.quick import quick


def get_config(arg=None):
    config = embedded_nodes()
    config.total_steps, config.batch_size = 800, 256
    config.data = dict(name="data.readers.graph", mode="resident")
    config.augment = dict(name="augment.graph.ego")
    config.preprocess = dict(name="augment.graph.plain")
    config.encoder = dict(name="models.gnn.gcn", widths=(256, 256), dtype="float32", remat=False)
    config.method = dict(name="methods.graphmae", masking_ratio=0.5, replace_rate=0.05, alpha=3.0)
    config.optim.update(learning_rate=1e-3, weight_decay=2e-4, warmup_steps=40)
    if arg == "quick":
        quick(config)
        config.data.update(limit=400, num_nodes=8, num_edges=16)
        config.encoder.widths = (32, 16)
    return config
