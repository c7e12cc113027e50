"""Base config for generated scenes with known masks (`data.sets.scenes`)."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick

STATISTICS = dict(mean=(0.5, 0.5, 0.5), std=(0.28, 0.28, 0.28))


def scenes() -> ConfigDict:
    """Base config for scenes, so that their numbers compare: data, views, backbone, steps, evaluators."""
    config = base()
    config.total_steps, config.batch_size = 600, 64
    config.data = ConfigDict(dict(name="data.sets.scenes", mode="resident", size=64, items=(3, 6), item_size=(20, 32)))
    config.augment = dict(
        name="augment.image.simclr",
        # Half the scene's width: crops of 0.15 ... 0.6 of it show items about as large as the whole scene does.
        size=32,
        crop_scale=(0.15, 0.6),
        color_strength=0.5,
        blur_probability=0.0,
        interpolation="bilinear",
        **STATISTICS,
    )
    config.preprocess = dict(name="augment.image.plain", **STATISTICS)
    # A map at a quarter of the resolution: 8 x 8 places of a view, 16 x 16 of a scene.
    config.encoder = dict(
        name="models.convnet",
        widths=(32, 64, 96, 128),
        strides=(2, 2, 1, 1),
        pool="mean",
        dtype="float32",
        remat=False,
    )
    config.optim.update(name="adamw", learning_rate=2e-3, warmup_steps=60, weight_decay=1e-4)
    config.checkpoint.every = 300
    config.evaluate.update(batch_size=100, headline="segmentation/knn_miou")
    config.evaluate.evaluators = dict(
        segmentation=dict(name="evaluators.dense.segmentation"),
        knn=dict(name="evaluators.knn", k=20, temperature=0.07),
        rankme=dict(name="evaluators.rankme"),
    )
    config.evaluate.floors = {
        "raw patches": dict(name="evaluators.floors.patches", patch_size=4),
        "mean colour of patches": dict(name="evaluators.floors.patches", patch_size=4, colour=True),
    }
    return config


def quick_scenes(config: ConfigDict) -> ConfigDict:
    """`quick` on 200 scenes of 32 pixels, with a ConvNet that compiles in a moment."""
    quick(config)
    config.data.update(size=32, item_size=(10, 16), limit=200)
    config.augment.size = 16
    config.encoder.update(widths=(8, 16), strides=(2, 2))
    config.evaluate.evaluators.segmentation = dict(
        name="evaluators.dense.segmentation", num_images=64, num_test_images=20, k=5
    )
    return config
