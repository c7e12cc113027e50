"""CLAN (arXiv:2509.06550) on generated rows like counters of network flows, with two kinds of attacks.

jaxssl train configs/table/clan_flows.py --workdir runs/clan_flows

`anomaly/resampled`: 2 to 5 cells of a row come from other rows; negatives of training are made much like this.
`anomaly/shifted`: the whole row is moved along the first principal axis, which no negative of training shows.
The headline is the mean over both kinds, where Mahalanobis distance leads.
"""

from jaxssl.recipes.table import anomalies, quick_table


def get_config(arg=None):
    config = anomalies()
    config.total_steps, config.batch_size = 1000, 256
    config.data = dict(name="data.sets.flows", mode="resident")
    config.augment.update(probability=0.2)
    config.encoder = dict(name="models.tabular.residual_mlp", widths=(128,) * 3, dim=64, dtype="float32", remat=False)
    config.method = dict(name="methods.clan", margin=0.5, alpha=0.5)
    if arg == "quick":
        quick_table(config)
        config.encoder.update(widths=(32, 32), dim=16)
    return config
