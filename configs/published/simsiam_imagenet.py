"""SimSiam (arXiv:2011.10566): a ResNet-50 on ImageNet, 100 epochs, batches of 512.

jaxssl train configs/published/simsiam_imagenet.py --workdir runs/simsiam_imagenet

Not run here. Published: 68.1 per cent top-1 with a linear classifier; 67.7 where the predictor's learning rate decays as
all others do (optim.multipliers=()). The published command, and this, keep it constant (`--fix-pred-lr`).
Numbers from the paper (section 3, table 1) and github.com/facebookresearch/simsiam.
The heads start as torch's linear layers do; the learning rate changes once an epoch, as there.
Deviations: those of `jaxssl.recipes.image.imagenet`.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 // 512 = 2,502 steps an epoch, * 100; no warm-up.
    config.total_steps, config.batch_size = 250_200, 512
    config.augment.name = "augment.image.moco_v2"
    config.method = dict(
        name="methods.simsiam", hidden_dims=(2048, 2048), dim=2048, predictor_dim=512, head_init="torch"
    )
    # Weight decay on everything: norms and biases too. The predictor's rate stays at its peak.
    config.optim.update(name="sgd", learning_rate=0.05, scale_batch=256, weight_decay=1e-4, exclude="")
    config.optim.rate_steps = 2502
    config.optim.multipliers = (("^/predictor/", 1.0, "constant"),)
    if arg == "quick":
        quick_imagenet(config)
        config.optim.rate_steps = 1
        config.method.update(hidden_dims=(32,), dim=16, predictor_dim=8)
    return config
