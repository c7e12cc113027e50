"""DINO, ViT-S/16, two crops of 224 and six of 96 pixels, 128 images."""

from ml_collections import ConfigDict
from suite import base, with_data


def get_config(arg: str | None = None) -> ConfigDict:
    """The config with data `arg`, see `suite.with_data`."""
    config = base("dino_imagenet")
    config.batch_size = 128
    config.augment.num_local = 6
    return with_data(config, arg, image_size=256)
