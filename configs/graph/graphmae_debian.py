"""GraphMAE (arXiv:2205.10803) on the graph of 6,000 Debian packages: text features, edges = dependencies, label = section.

jaxssl train configs/graph/graphmae_debian.py --workdir runs/graphmae

With --data PATH on a graph of one's own: see jaxssl/data/readers/graph.py.

Seed 0, 200 steps, on 2 CPU cores: 20 labels a class 68.5 (untrained 64.1, features propagated twice over the whole graph
70.3), 5 labels 63.8 (57.3, 63.7), k-NN 75.2 (73.2, 74.6). Training adds 4.3 points to the untrained network and does not
beat the floor, which needs no training. More seeds and method.error=squared have not been measured.

Smaller than the release's setting for Cora, to fit a CPU: widths of 128, not 512, and 200 steps, not 1,500. Its weight decay
is a penalty on all parameters within Adam; here it acts beside Adam (AdamW), not on biases and the mask token.
"""

from jaxssl.recipes.graph import embedded_nodes
from jaxssl.recipes.quick import quick

# The loss reads hidden nodes alone, whose features are 0 ahead of the decoder: as receivers they weigh all senders alike.
RESTING = r"decoder/receiver$"

BEATS = ()  # one seed, and a lead below 5 points


def get_config(arg=None):
    config = embedded_nodes()
    config.total_steps, config.batch_size = 200, 256
    config.data = dict(name="data.readers.graph", mode="resident", whole=True)
    config.augment = dict(name="augment.graph.nodes")
    config.preprocess = dict(name="augment.graph.plain_nodes")
    config.encoder = dict(
        name="models.gnn.gat",
        widths=(128, 128),
        num_heads=4,
        feature_dropout=0.2,
        attention_dropout=0.1,
        dtype="float32",
        remat=False,
    )
    config.method = dict(
        name="methods.graphmae",
        masking_ratio=0.5,
        replace_rate=0.05,
        drop_edge_rate=0.0,
        alpha=3.0,
        error="scaled_cosine",
    )
    config.optim.update(learning_rate=1e-3, weight_decay=2e-4)
    if arg == "quick":
        quick(config)
        config.data.update(limit=200)
        config.encoder.widths = (32, 16)
    return config
