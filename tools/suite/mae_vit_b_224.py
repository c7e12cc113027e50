"""MAE, ViT-B/16, 224 pixels, three quarters of the patches hidden, 256 images."""

from suite import base, with_data


def get_config(arg=None):
    config = base("mae_imagenet")
    config.batch_size = 256
    return with_data(config, arg, image_size=256)
