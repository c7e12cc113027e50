"""Barlow Twins (arXiv:2103.03230): a ResNet-50 on ImageNet, 1,000 epochs, batches of 2048.

jaxssl train configs/published/barlow_twins_imagenet.py --workdir runs/barlow_twins_imagenet

Not run here. Published: 73.2 per cent top-1 with a linear classifier (73.5 for the released weights).
Numbers from github.com/facebookresearch/barlowtwins (main.py).
There the correlations are summed over the devices without a gradient and gradients are averaged, so that the gradient is
1 / devices of the true one: loss_scale=1/16, for the 16 devices of its README. Weights have a trust ratio, which undoes the
scale; biases and norms have none, and would go 16 times as fast without it.
The heads start as torch's linear layers do; the warm-up begins at 0, and momentum comes ahead of the learning rate.
Deviations: those of `jaxssl.recipes.image.imagenet`.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 / 2048 = 625.6, i.e. 626 steps an epoch, * 1,000; warm-up of 10 epochs.
    config.total_steps, config.batch_size = 626_000, 2048
    config.augment.name = "augment.image.byol"
    config.method = dict(name="methods.barlow_twins", hidden_dims=(8192, 8192), dim=8192, redundancy_weight=0.0051)
    config.method.update(loss_scale=1 / 16, head_init="torch")
    # Biases and norms, which have neither decay nor trust ratio, go at 0.0048 where the weights go at 0.2.
    config.optim.update(
        name="lars",
        learning_rate=0.2,
        scale_batch=256,
        warmup_steps=6260,
        warmup="zero",
        rate_in_momentum=False,
        final_fraction=1e-3,
        weight_decay=1e-6,
        multipliers=((r"/(bias|scale)$", 0.024),),
    )
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
