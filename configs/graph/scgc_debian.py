"""SCGC (arXiv:2204.12656) on 6,000 Debian packages: text features, edges = dependencies, clusters for the sections.

jaxssl train configs/graph/scgc_debian.py --workdir runs/scgc_debian

With --data PATH on a graph of one's own (see jaxssl/data/graph.py); set method.num_clusters.

Seed 0: clusters agree with 63.7 % of the sections (untrained 20.5, k-means on the node features 45.0, on the spectral embedding
34.0); 5 labels a class 60.7 (features 48.9).
"""

from jaxssl.recipes.graph import clustered_nodes, quick_clustered_nodes

BEATS = ("floor", "untrained")


def get_config(arg=None):
    config = clustered_nodes(per_class=(5, 20), spectral_dim=64)
    config.total_steps, config.batch_size = 400, 512
    config.data = dict(name="data.readers.influence", mode="resident", power=3, num_neighbors=256)
    config.method = dict(
        name="methods.scgc",
        num_clusters=12,
        contrast_weight=1.0,
        clustering_weight=0.1,
        reconstruction_weight=1.0,
        scale=0.25,
        pretrain_steps=90,
    )
    config.log.monitor_after = 150  # there are no clusters while the autoencoder is trained
    if arg == "quick":
        quick_clustered_nodes(config)
        config.method.update(reconstruction_weight=1.0, pretrain_steps=0)
    return config
