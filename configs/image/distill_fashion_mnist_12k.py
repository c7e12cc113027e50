"""Knowledge distillation (arXiv:1503.02531) of a trained run's features into a new encoder, on the bundled 10,000 images.

jaxssl train configs/image/simclr_fashion_mnist_12k.py --workdir runs/simclr
jaxssl train configs/image/distill_fashion_mnist_12k.py --workdir runs/distill --config.method.teacher.path=runs/simclr

No label is read: the student learns the direction of the teacher's features. The quick form has a random teacher.
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.augment = dict(name="augment.image.mae", size=28, mean=(0.286,), std=(0.353,), crop_scale=(0.3, 1.0))
    teacher = dict(name="pretrained.run", path="runs/simclr")
    if arg == "quick":
        quick_convnet(config)
        encoder = {name: value for name, value in config.encoder.to_dict().items()}
        teacher = dict(name="pretrained.random", encoder=encoder, shape=(16, 16, 1))
    config.method = dict(name="methods.distill", divergence="cosine", teacher=teacher)
    return config
