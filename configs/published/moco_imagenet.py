"""MoCo v2 (arXiv:2003.04297, after arXiv:1911.05722): a ResNet-50 on ImageNet, 200 epochs, batches of 256.

jaxssl train configs/published/moco_imagenet.py --workdir runs/moco_imagenet

Not run here. Published: 67.5 per cent top-1 with a linear classifier (800 epochs, total_steps=4003200: 71.1).
Numbers from github.com/facebookresearch/moco: `--lr 0.03 --batch-size 256 --mlp --moco-t 0.2 --aug-plus --cos`.
The heads start as torch's linear layers do; the learning rate changes once an epoch, as there.
Deviations: those of `jaxssl.recipes.image.imagenet`, but batch norm is as published: each eighth of the batch, there a GPU's
share, has its own statistics, and the teacher sees the batch shuffled.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 // 256 = 5,004 steps an epoch, * 200; no warm-up.
    config.total_steps, config.batch_size = 1_000_800, 256
    config.augment.name = "augment.image.moco_v2"
    config.encoder.update(batch_groups=8, zero_init_last=False)
    config.method = dict(
        name="methods.moco",
        hidden_dims=(2048,),
        dim=128,
        queue_size=65536,
        temperature=0.2,
        momentum=0.999,
        head_init="torch",
    )
    # Weight decay on everything: norms and biases too.
    config.optim.update(name="sgd", learning_rate=0.03, scale_batch=256, weight_decay=1e-4, exclude="")
    config.optim.rate_steps = 5004
    if arg == "quick":
        quick_imagenet(config)
        config.optim.rate_steps = 1
        config.encoder.batch_groups = 4
        config.method.update(hidden_dims=(32,), dim=16, queue_size=80)
    return config
