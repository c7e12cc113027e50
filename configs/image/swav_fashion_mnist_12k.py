"""SwAV (arXiv:2006.09882) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/swav_fashion_mnist_12k.py --workdir runs/swav
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(
        name="methods.swav",
        hidden_dims=(512,),
        dim=128,
        num_prototypes=100,
        temperature=0.1,
        epsilon=0.05,
        freeze_steps=40,
    )
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16, num_prototypes=20, freeze_steps=0)
    return config
