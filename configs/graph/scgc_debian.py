"""SCGC (arXiv:2204.12656) on the graph of 6,000 Debian packages: text features, edges = dependencies, clusters for sections.

jaxssl train configs/graph/scgc_debian.py --workdir runs/scgc_debian

With --data PATH on a graph of one's own (see jaxssl/data/readers/graph.py); set method.num_clusters.

A^3, alpha 1, beta 0.1, tau 0.25 (the release: A to A^4, alpha 0.5 to 3, tau 0.25 to 2.25, by data set). Widths
(256, 256) in the place of (500, 500, 2000), to fit a CPU.

Not measured yet in this form. The comparison to make: `--config.seed=0` to 4, each with `--config.data.power=0` beside it,
which leaves a node no influence but its own; labels of the method (clustering/own_accuracy) and k-means of z
(clustering/accuracy). Floors by k-means: node features 45.0, spectral embedding 32.3.
"""

from jaxssl.recipes.graph import clustered_nodes, quick_clustered_nodes


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
