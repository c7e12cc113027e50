"""SCGC (arXiv:2204.12656) on 6,000 Debian packages, 512 nodes a step, for graphs whose matrix fits no memory.

jaxssl train configs/graph/scgc_debian_sampled.py --workdir runs/scgc_debian_sampled

Not the published form: that sees all nodes in every step (configs/graph/scgc_debian.py). In a batch of 512 of 4,800
training nodes the influence of others falls from 0.44 to 0.045, and 42 % of the nodes see only themselves.
"""

from jaxssl.recipes.graph import clustered_nodes, quick_clustered_nodes


def get_config(arg=None):
    config = clustered_nodes(per_class=(5, 20), spectral_dim=64)
    config.total_steps, config.batch_size = 400, 512
    config.optim.schedule = "cosine"
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
        config.data.num_neighbors = 64
        config.method.update(reconstruction_weight=1.0, pretrain_steps=0)
    return config
