"""SwAV (arXiv:2006.09882): a ResNet-50 on ImageNet, 800 epochs, batches of 4096, two crops of 224 and six of 96 pixels.

jaxssl train configs/published/swav_imagenet.py --workdir runs/swav_imagenet

Not run here. Published: 75.3 per cent top-1 with a linear classifier (200 epochs, total_steps=62400: 73.9).
Numbers from github.com/facebookresearch/swav (scripts/swav_800ep_pretrain.sh, main_swav.py, src/multicropdataset.py).
The optimiser is LARC as there; colours are divided by 0.228, 0.224, 0.225; the heads start as torch's linear layers do; the
warm-up goes from 0.3 to 4.8.
Deviations: those of `jaxssl.recipes.image.imagenet`; there, batch norm in the network is over 512 images of all crops of one
size, in the head over all crops. There the prototypes are brought to unit length before each step and get the whole gradient;
here they are divided by their length in the forward pass, so that the gradient has no part along them and LARC, which sees its
length, gives them other rates. This recipe needs no queue; for batches of 256 the publication takes
method.queue_size=3840 from epoch 15 on (method.queue_start).
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 312 full batches of 4096 an epoch, * 800; warm-up of 10 epochs.
    config.total_steps, config.batch_size = 249_600, 4096
    config.augment = dict(
        name="augment.multicrop.swav",
        global_size=224,
        local_size=96,
        num_local=6,
        mean=config.augment.mean,
        std=(0.228, 0.224, 0.225),  # 0.228, where others have 0.229
        global_scale=(0.14, 1.0),
        local_scale=(0.05, 0.14),
        blur_kernel=13,  # three deviations at the widest blur; the published one is not cut off
    )
    config.preprocess.std = config.augment.std
    config.encoder.zero_init_last = False
    config.method = dict(
        name="methods.swav",
        hidden_dims=(2048,),
        dim=128,
        num_prototypes=3000,
        temperature=0.1,
        epsilon=0.05,
        num_iters=3,
        freeze_steps=313,
        head_init="torch",
    )
    # A peak of 4.8 and an end at 0.0048. Trust ratio and weight decay on everything: norms and biases too.
    config.optim.update(
        name="larc",
        learning_rate=0.3,
        scale_batch=256,
        warmup_steps=3120,
        warmup="closed",
        warmup_first=0.3 / 4.8,
        final_fraction=1e-3,
        weight_decay=1e-6,
        exclude="",
    )
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dims=(32,), dim=16, num_prototypes=20, freeze_steps=0)
    return config
