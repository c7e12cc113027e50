"""Point-CMAE (arXiv:2407.05862) on 3,000 generated clouds of 15 kinds of solids: seen in part, noisy, turned.

jaxssl train configs/points/point_cmae_solids.py --workdir runs/point_cmae
"""

from jaxssl.recipes.points import point_clouds, quick_point_clouds

BEATS = ("floor", "untrained")


def get_config(arg=None):
    config = point_clouds()
    config.data = dict(name="data.sets.solids", mode="resident", train=3000, test=750, num_points=256)
    config.method = dict(
        name="methods.point_cmae", masking_ratio=0.6, decoder_depth=1, decoder_heads=4, decoder_drop_path=0.0
    )
    if arg == "quick":
        quick_point_clouds(config).data.update(train=300, test=60)
        config.method.decoder_heads = 2
    return config
