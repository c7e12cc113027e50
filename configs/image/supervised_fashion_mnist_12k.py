"""Supervised classification (label smoothing: arXiv:1512.00567) with all labels of the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/supervised_fashion_mnist_12k.py --workdir runs/supervised

The upper row of the table: encoder, steps and rate are those of the other configs, the views are only cut and flipped.
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet

BEATS = ("untrained", "floor")


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.augment = dict(name="augment.image.mae", size=28, mean=(0.286,), std=(0.353,), crop_scale=(0.6, 1.0))
    config.method = dict(name="methods.supervised")
    if arg == "quick":
        quick_convnet(config)
    config.data = dict(name="data.subset.labelled", fraction=1.0, mode="resident", of=of(config))
    return config


def of(config):
    """The data of a config as the `of` of a view."""
    return {name: value for name, value in config.data.to_dict().items() if name != "mode"}
