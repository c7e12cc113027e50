"""SCGC (arXiv:2204.12656) on the graph of 6,000 Debian packages: text features, edges = dependencies, clusters for sections.

jaxssl train configs/graph/scgc_debian.py --workdir runs/scgc_debian

With --data PATH on a graph of one's own (see jaxssl/data/readers/graph.py); set method.num_clusters.

@@
"""

from jaxssl.recipes.graph import clustered_nodes, quick_clustered_nodes

BEATS = ("floor", "untrained")


def get_config(arg=None):
    config = clustered_nodes(per_class=(5, 20), spectral_dim=64)
    # 30 epochs of batches of 256 for the autoencoder, 200 steps of the whole graph.
    config.total_steps, config.batch_size = 760, 256
    config.data = dict(name="data.readers.influence", mode="resident", whole=True, power=3)
    config.encoder.hidden_dims = (256, 256)
    config.method = dict(
        name="methods.scgc",
        num_clusters=12,
        contrast_weight=1.0,
        clustering_weight=0.1,
        reconstruction_weight=1.0,
        scale=0.25,
        pretrain_steps=560,
    )
    config.log.monitor_after = 590  # there are no clusters while the autoencoder is trained
    if arg == "quick":
        quick_clustered_nodes(config)
        config.method.update(pretrain_steps=0)
    return config
