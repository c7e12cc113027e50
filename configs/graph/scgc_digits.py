"""SCGC* (arXiv:2204.12656) on the graph of scikit-learn's digits, each joined to its 5 nearest: clusters, no labels.

jaxssl train configs/graph/scgc_digits.py --workdir runs/scgc

The release's setting for USPS: alpha 4, beta 0.1, A + ... + A^4, tau 0.25, 200 steps of the whole graph at a constant rate.
Widths (256, 256) in the place of (500, 500, 2000), to fit a CPU; graph and data are others (USPS: 3 nearest).

Seed 0, 370 steps, on 2 CPU cores, accuracy over all nodes: labels of the method 75.8 (clustering/own_accuracy), k-means of z
85.4 (clustering/accuracy); with `--config.data.power=0`, which leaves a node no influence but its own, 66.7 and 77.6.
k-means on floors: pixels 79.4, spectral embedding 81.5. So the graph helps, z beats the floors, and the published labels
do not. One seed; five are the comparison to make.
"""

from jaxssl.recipes.graph import clustered_nodes, quick_clustered_nodes


def get_config(arg=None):
    config = clustered_nodes(per_class=(1, 10), spectral_dim=10, features="pixels")
    # 30 epochs of batches of 256 for the autoencoder, 200 steps of the whole graph.
    config.total_steps, config.batch_size = 370, 256
    config.data = dict(name="data.sets.digits_influence", mode="resident", whole=True, k=5, power=4, cumulative=True)
    config.encoder.hidden_dims = (256, 256)
    config.method = dict(
        name="methods.scgc",
        num_clusters=10,
        contrast_weight=4.0,
        clustering_weight=0.1,
        reconstruction_weight=0.0,
        scale=0.25,
        pretrain_steps=170,
    )
    config.log.monitor_after = 200  # there are no clusters while the autoencoder is trained
    if arg == "quick":
        quick_clustered_nodes(config)
        config.method.update(reconstruction_weight=1.0, pretrain_steps=0)
    return config
