"""BYOL (arXiv:2006.07733): a ResNet-50 on ImageNet, 1,000 epochs, batches of 4096.

jaxssl train configs/published/byol_imagenet.py --workdir runs/byol_imagenet

Not run here. Published: 74.3 per cent top-1 with a linear classifier.
Numbers from the paper (section 3.3, appendix B) and github.com/google-deepmind/deepmind-research (byol, its preset for
1,000 epochs; its presets for 300 epochs: learning_rate=0.3, weight_decay=1e-6, momentum=0.99).
The last norm of every residual block starts at 0, as there.
The heads start as haiku's linear layers do; the warm-up begins at 0, and momentum comes ahead of the learning rate.
Deviations: those of `jaxssl.recipes.image.imagenet`; the teacher starts equal to the student, there with weights of its own.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 images * 1,000 epochs // 4096; warm-up of 10 epochs = 3,127.
    config.total_steps, config.batch_size = 312_784, 4096
    config.augment.name = "augment.image.byol"
    config.method = dict(
        name="methods.byol",
        hidden_dims=(4096,),
        dim=256,
        predictor_dim=4096,
        head_init="haiku",
        momentum=0.996,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    config.optim.update(name="lars", learning_rate=0.2, scale_batch=256, warmup_steps=3127, weight_decay=1.5e-6)
    config.optim.update(warmup="zero", rate_in_momentum=False)
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dims=(32,), dim=16, predictor_dim=32)
    return config
