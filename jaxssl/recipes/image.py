"""Base configs for images: the bundled set, and the published recipes for ImageNet-1k."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def fashion_mnist_12k() -> ConfigDict:
    """Base config for the bundled set: data, views, backbone, steps; all alike, so that their numbers compare."""
    config = base()
    config.total_steps, config.batch_size = 600, 128
    # Brightness, contrast and blur vary more than in colour photographs, because no class depends on them here.
    config.augment = dict(
        name="augment.image.simclr",
        # Crops of 0.3 ... 1 of the image drawn at 20 pixels show things about as large as the whole image at 28 does.
        size=20,
        mean=(0.286,),
        std=(0.353,),
        crop_scale=(0.3, 1.0),
        color_strength=1.0,
        blur_probability=0.5,
        blur_kernel=7,
        interpolation="bilinear",
    )
    config.preprocess = dict(name="augment.image.plain", mean=(0.286,), std=(0.353,))
    config.encoder = dict(
        name="models.convnet",
        widths=(32, 64, 96, 192),
        strides=(2, 2, 1, 1),
        pool="mean",
        dtype="float32",
        remat=False,
    )
    config.optim.update(name="adamw", learning_rate=2e-3, warmup_steps=60, weight_decay=1e-4)
    config.checkpoint.every = 250
    return config


def quick_images(config: ConfigDict, *, size: int = 16) -> ConfigDict:
    """`quick` on 400 of the bundled images."""
    quick(config)
    config.data = ConfigDict(dict(name="data.sets.fashion_mnist_12k", mode="resident", limit=400))
    config.preprocess = ConfigDict(dict(name="augment.image.plain", size=size, mean=(0.286,), std=(0.353,)))
    return config


def quick_convnet(config: ConfigDict) -> ConfigDict:
    """`quick_images` with a ConvNet that compiles in a moment."""
    quick_images(config).augment.size = 16
    config.encoder = dict(name="models.convnet", widths=(8, 16), strides=(2, 2), dtype="float32", remat=False)
    return config


# Of `quick_imagenet`: at these, 30 steps on batches of 32 show whether a method learns.
QUICK_RATES = dict(adamw=1e-3, lars=0.5, larc=0.5, sgd=0.01)


def imagenet() -> ConfigDict:
    """Base config of the published recipes: ImageNet-1k through TFDS at 224 pixels, a ResNet-50, streaming.

    In these points all of them deviate from their publications. Crops are cut from the centre square of the image at
    256 pixels, not from the whole image. Brightness, contrast, saturation and hue are those of torchvision, also for
    SimCLR and BYOL. Networks compute in bfloat16. Batches run across the borders of epochs; none is dropped or cut
    short.
    """
    config = base()
    config.batch_size = 4096
    config.data = dict(
        name="data.readers.tfds", mode="stream", dataset="imagenet2012", test_split="validation", image_size=256
    )
    statistics = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    config.augment = dict(name="augment.image.simclr", size=224, **statistics)
    config.preprocess = dict(name="augment.image.plain", size=224, crop_fraction=0.875, **statistics)
    config.encoder = dict(name="models.resnet.resnet50", dtype="bfloat16", remat=False)
    config.log.every, config.checkpoint.every = 100, 2500
    return config


def quick_imagenet(config: ConfigDict) -> ConfigDict:
    """`quick_images` for the published recipes: tiny, on the bundled grey images; ResNets become a small ConvNet."""
    quick_images(config)
    config.optim.update(scale_batch=0, learning_rate=QUICK_RATES[config.optim.name])
    config.augment.update(mean=(0.286,), std=(0.353,))
    for name in ("size", "global_size"):
        if name in config.augment:
            config.augment[name] = 16
    if "local_size" in config.augment:
        config.augment.update(local_size=8, num_local=2)
    if config.encoder.name.startswith("models.resnet"):
        # Thirty steps of a tiny ResNet amplify rounding so much that no check on several devices could be exact.
        groups = config.encoder.get("batch_groups", 1)
        config.encoder = dict(
            name="models.convnet", widths=(8, 16), strides=(2, 2), batch_groups=groups, dtype="float32", remat=False
        )
    else:
        small = dict(name="models.vit.vit", patch_size=4, image_size=16, embed_dim=16, depth=2, num_heads=2)
        config.encoder = dict({**config.encoder.to_dict(), **small, "dtype": "float32"})
    return config
