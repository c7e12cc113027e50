"""SimSiam (arXiv:2011.10566) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/simsiam_fashion_mnist_12k.py --workdir runs/simsiam
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(name="methods.simsiam", hidden_dims=(512, 512), dim=512, predictor_dim=128)
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16, predictor_dim=8)
    return config
