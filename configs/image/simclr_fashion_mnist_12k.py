"""SimCLR (arXiv:2002.05709) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/simclr_fashion_mnist_12k.py --workdir runs/simclr
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(name="methods.simclr", hidden_dims=(512,), dim=128, temperature=0.2)
    config.optim.learning_rate = 4e-3
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
