"""SimCLR, ResNet-18, 32 pixels, 512 images."""

from ml_collections import ConfigDict
from suite import base, with_data


def get_config(arg: str | None = None) -> ConfigDict:
    """The config with data `arg`, see `suite.with_data`."""
    config = base("simclr_imagenet")
    config.batch_size = 512
    config.augment.size = config.preprocess.size = 32
    config.encoder = dict(name="models.resnet.resnet18", stem="3x3", dtype="bfloat16", remat=False)
    config.method.hidden_dims = (512,)
    return with_data(config, arg, image_size=32)
