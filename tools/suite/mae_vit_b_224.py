"""MAE, ViT-B/16, 224 pixels, three quarters of the patches hidden, 256 images."""

from ml_collections import ConfigDict
from suite import base, with_data


def get_config(arg: str | None = None) -> ConfigDict:
    """The config with data `arg`, see `suite.with_data`."""
    config = base("mae_imagenet")
    config.batch_size = 256
    return with_data(config, arg, image_size=256)
