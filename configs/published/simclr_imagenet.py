"""SimCLR (arXiv:2002.05709): a ResNet-50 on ImageNet, 1,000 epochs, batches of 4096.

jaxssl train configs/published/simclr_imagenet.py --workdir runs/simclr_imagenet

Not run here. Published: 69.3 per cent top-1 with a linear classifier.
Numbers from the paper (section 2.2, appendix A) and github.com/google-research/simclr.
The head starts as there, with a normal of 0.01. The warm-up begins at 0.
Deviations: those of `jaxssl.recipes.image.imagenet`; the last batch norm of the head also has a shift. The repository's later
default for the weight decay is 1e-4; the 1e-6 here is the paper's.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 images * 1,000 epochs / 4096 = 312,785.9; warm-up of 10 epochs = 3,127.8. 100 epochs: total_steps=31279.
    config.total_steps, config.batch_size = 312_786, 4096
    # The published images stay in 0 .. 1.
    config.augment.update(name="augment.image.simclr", mean=(0.0,), std=(1.0,), color_strength=1.0)
    config.preprocess.update(mean=(0.0,), std=(1.0,))
    config.method = dict(name="methods.simclr", hidden_dims=(2048,), dim=128, temperature=0.1, head_init="simclr")
    config.optim.update(name="lars", learning_rate=0.3, scale_batch=256, warmup_steps=3127, weight_decay=1e-6)
    config.optim.warmup = "zero"
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
