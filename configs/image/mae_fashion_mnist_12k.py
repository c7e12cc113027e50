"""MAE (arXiv:2111.06377) on the bundled 10,000 images of Fashion-MNIST, with a small ViT.

jaxssl train configs/image/mae_fashion_mnist_12k.py --workdir runs/mae
"""

from jaxssl.recipes.image import fashion_mnist_12k, quick_images


def get_config(arg=None):
    config = fashion_mnist_12k()
    statistics = dict(mean=(0.286,), std=(0.353,))
    config.augment = dict(name="augment.image.mae", size=28, crop_scale=(0.5, 1.0), **statistics)
    config.encoder = dict(
        name="models.vit.vit",
        patch_size=4,
        image_size=28,
        embed_dim=96,
        depth=4,
        num_heads=3,
        pool="mean",
        positions="fixed",
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.mae", masking_ratio=0.75, decoder_dim=64, decoder_depth=1, decoder_heads=4)
    config.optim.update(learning_rate=1.5e-3, b2=0.95, weight_decay=0.05)
    if arg == "quick":
        quick_images(config).augment.size = 16
        config.encoder.update(image_size=16, embed_dim=16, depth=2, num_heads=2)
        config.method.update(decoder_dim=16, decoder_depth=1, decoder_heads=2)
    return config
