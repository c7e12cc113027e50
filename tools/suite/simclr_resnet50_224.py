"""SimCLR, ResNet-50, 224 pixels, 256 images."""

from suite import base, with_data


def get_config(arg=None):
    config = base("simclr_imagenet")
    config.batch_size = 256
    return with_data(config, arg, image_size=256)
