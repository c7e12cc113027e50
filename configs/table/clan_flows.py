"""CLAN (arXiv:2509.06550) on generated rows like counters of network flows of one service, with five kinds of attack.

jaxssl train configs/table/clan_flows.py --workdir runs/clan_flows

Mahalanobis distance leads here, and this is why: the benign rows are Gaussian, so that their covariance is all there is to
know of them. configs/table/clan_services.py has rows of which this is not true. The headline is the AUROC over all five
attacks, of which the negatives, 0.1 of the cells of a row drawn in -1.7 ... 1.7, imitate the first alone. A fifth of the test
rows orients the scores and is in no result. config.seed 0, 1, 2:

    trained 90.1, 92.1, 91.7 (91.3 ± 1.1), untrained 50.9, 47.7, 53.2
    Mahalanobis distance 96.0, isolation forest 74.7, columns 54.5

    attack       resampled   shifted   louder   spiked   rewired
    CLAN              98.0      60.3     98.2    100.0     100.0
    Mahalanobis       97.6      82.8     99.8    100.0      99.9

CLAN loses to Mahalanobis distance on shifted rows, which keep all correlations. Negatives are more of a cause than width:
wider negatives give back 2.8 of the 5.9 points; a quarter of the width costs 1.5 and twice the width gives 0.9, about the
spread over seeds.
With config.seed=0, beside 90.1 and, on shifted rows, 54.6:

    --config.encoder.widths="(32,32,32)"                                               88.6   shifted 47.9
    --config.encoder.widths="(256,256,256)"                                            91.0   shifted 58.0
    --config.augment.probability=0.2 --config.augment.low=-3 --config.augment.high=3   92.9   shifted 68.2
"""

from jaxssl.recipes.table import anomalies, quick_table


def get_config(arg=None):
    config = anomalies()
    config.total_steps, config.batch_size = 1000, 256
    config.data = dict(name="data.sets.flows", mode="resident")
    config.augment.update(probability=0.1, low=-1.7, high=1.7)
    config.encoder = dict(name="models.tabular.residual_mlp", widths=(128,) * 3, dim=64, linear_end=True)
    config.method = dict(name="methods.clan", margin=0.5, alpha=0.5)
    if arg == "quick":
        quick_table(config)
        config.encoder.update(widths=(32, 32), dim=16)
    return config
