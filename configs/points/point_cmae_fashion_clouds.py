"""Point-CMAE (arXiv:2407.05862) on 5,000 images of Fashion-MNIST as clouds of points: depth = brightness, ten classes.

jaxssl train configs/points/point_cmae_fashion_clouds.py --workdir runs/point_cmae_fashion
"""

from jaxssl.recipes.points import point_clouds, quick_point_clouds


def get_config(arg=None):
    config = point_clouds()
    config.data = dict(name="data.sets.fashion_clouds", mode="resident", limit=5000, num_points=256)
    config.augment.rotation = "none"  # every image hangs upright and faces the viewer
    config.method = dict(
        name="methods.point_cmae", masking_ratio=0.6, decoder_depth=1, decoder_heads=4, decoder_drop_path=0.0
    )
    if arg == "quick":
        quick_point_clouds(config).data.limit = 400
        config.method.decoder_heads = 2
    return config
