"""VICReg (arXiv:2105.04906): a ResNet-50 on ImageNet, 1,000 epochs, batches of 2048.

jaxssl train configs/published/vicreg_imagenet.py --workdir runs/vicreg_imagenet

Not run here. Published: 73.2 per cent top-1 with a linear classifier.
Numbers from github.com/facebookresearch/vicreg (main_vicreg.py, augmentations.py; its command for 1,000 epochs).
The heads start as torch's linear layers do; the warm-up begins at 0, and momentum comes ahead of the learning rate.
Deviations: those of `jaxssl.recipes.image.imagenet`.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 / 2048 = 625.6, i.e. 626 steps an epoch, * 1,000; warm-up of 10 epochs.
    config.total_steps, config.batch_size = 626_000, 2048
    config.augment.name = "augment.image.byol"
    config.method = dict(
        name="methods.vicreg",
        hidden_dims=(8192, 8192),
        dim=8192,
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        head_init="torch",
    )
    config.optim.update(
        name="lars",
        learning_rate=0.2,
        scale_batch=256,
        warmup_steps=6260,
        warmup="zero",
        rate_in_momentum=False,
        final_fraction=1e-3,
        weight_decay=1e-6,
    )
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
