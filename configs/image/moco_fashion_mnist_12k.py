"""MoCo v2 (arXiv:2003.04297) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/moco_fashion_mnist_12k.py --workdir runs/moco
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    # 1,000 steps, not 200 epochs of ImageNet: a shorter memory and a quicker teacher.
    config.method = dict(
        name="methods.moco", hidden_dims=(512,), dim=128, queue_size=4096, temperature=0.2, momentum=0.98
    )
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16, queue_size=80)
    return config
