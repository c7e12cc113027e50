"""SimCLR (arXiv:2002.05709) on the 60,000 training images of Fashion-MNIST; the recipe of the 12k config, for longer.

jaxssl train configs/image/simclr_fashion_mnist.py --workdir runs/simclr_fashion_mnist [--data FOLDER]

FOLDER holds the four idx files, gzipped or not. Without --data they are looked for in the folder that the environment
variable FASHION_MNIST_DIR names, in Debian's (apt install dataset-fashion-mnist), and last through TensorFlow Datasets,
which downloads them.
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_convnet


def get_config(arg=None):
    config = fashion_mnist_12k()
    config.data = dict(name="data.sets.fashion_mnist", mode="resident", path=None)
    config.total_steps = 10_000
    config.method = dict(name="methods.simclr", hidden_dims=(512,), dim=128, temperature=0.2)
    config.optim.warmup_steps = 500
    config.log.every, config.checkpoint.every = 50, 1000
    if arg == "quick":
        quick_convnet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
