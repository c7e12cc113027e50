"""VICReg (arXiv:2105.04906) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/vicreg_fashion_mnist_12k.py --workdir runs/vicreg
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(name="methods.vicreg", hidden_dims=(512,), dim=512)
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
