"""Base configs for clouds of points."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def point_clouds() -> ConfigDict:
    """Base config for clouds of points: views, a transformer for two cores, rates, floors."""
    config = base()
    config.total_steps, config.batch_size = 1000, 32
    config.augment = dict(name="augment.points.views", rotation="vertical", scale=(2 / 3, 3 / 2), translate=0.2)
    config.preprocess = dict(name="augment.points.plain")
    config.encoder = dict(
        name="models.points.transformer",
        num_groups=24,
        group_size=16,
        embed_dim=64,
        depth=3,
        num_heads=4,
        patch_widths=(16, 32, 64),
        drop_path=0.0,
        dtype="float32",
        remat=False,
    )
    config.optim.update(
        learning_rate=2e-3,
        warmup_steps=100,
        weight_decay=0.05,
        exclude=r"/(bias|scale|cls_token|cls_pos|mask_token)$",
    )
    config.evaluate.floors = {
        "sorted coordinates": dict(name="evaluators.floors.points.sorted_coordinates"),
        "distances and moments": dict(name="evaluators.floors.points.shape_distribution"),
    }
    return config


def quick_point_clouds(config: ConfigDict) -> ConfigDict:
    """`quick` with small clouds and a small transformer; the config file shrinks its data and method."""
    quick(config)
    config.data.num_points = 64
    config.encoder.update(num_groups=8, group_size=8, embed_dim=16, depth=2, num_heads=2, patch_widths=(8, 16, 32))
    config.optim.learning_rate = 3e-3
    return config
