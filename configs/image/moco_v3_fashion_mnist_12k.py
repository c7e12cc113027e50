"""MoCo v3 (arXiv:2104.02057) on the bundled 10,000 images of Fashion-MNIST.

jaxssl train configs/image/moco_v3_fashion_mnist_12k.py --workdir runs/moco_v3
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.method = dict(
        name="methods.moco_v3",
        hidden_dims=(512,),
        dim=128,
        predictor_dim=512,
        temperature=0.2,
        momentum=0.98,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16, predictor_dim=32)
    return config
