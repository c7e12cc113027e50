"""DINO (arXiv:2104.14294): a ViT-S/16 on ImageNet, 100 epochs, batches of 512, two crops of 224 and eight of 96 pixels.

jaxssl train configs/published/dino_imagenet.py --workdir runs/dino_imagenet

Not run here. Published: 74.0 per cent top-1 with a linear classifier, 69.3 with k-NN.
Numbers from github.com/facebookresearch/dino: the first command of its README, which is the defaults of main_dino.py.
The last layer rests for one epoch with its moments: there its gradient is taken away from the optimiser, which then passes
over it, decay and count too. Gradients are clipped at a norm of 3, each parameter by itself.
Initial values are the release's: normal of 0.02, patches and last layer as torch's layers start (the last one uniform in
+-1/16). Positions are resampled for small crops as there, by torch's bicubic without antialiasing.
Deviations: those of `jaxssl.recipes.image.imagenet`. The longer published runs (76.0 after 300 epochs, 77.0 after 800)
also let the length of the prototypes free, for which there is no option here.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 2,502 full batches of 512 an epoch, * 100; warm-up of 10 epochs.
    config.total_steps, config.batch_size = 250_200, 512
    config.augment = dict(
        name="augment.multicrop.dino",
        global_size=224,
        local_size=96,
        num_local=8,
        mean=config.augment.mean,
        std=config.augment.std,
        global_scale=(0.4, 1.0),
        local_scale=(0.05, 0.4),
        blur_kernel=13,  # three deviations at the widest blur; the published one is not cut off
    )
    config.encoder = dict(
        name="models.vit.vit_s",
        patch_size=16,
        drop_path=0.1,
        init_as="dino",
        resampling="torch",
        dtype="bfloat16",
        remat=False,
    )
    config.method = dict(
        name="methods.dino",
        hidden_dim=2048,
        bottleneck_dim=256,
        num_prototypes=65536,
        student_temperature=0.1,
        teacher_temperature=0.04,
        center_momentum=0.9,
        head_init="dino",
        freeze_steps=2502,  # one epoch
        momentum=0.996,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    # A peak of 0.001 and an end at 1e-6. Tokens and positions decay too.
    config.optim.update(
        name="adamw",
        learning_rate=5e-4,
        scale_batch=256,
        warmup_steps=25_020,
        warmup="closed",
        final_fraction=1e-3,
        weight_decay=0.04,
        weight_decay_end=0.4,
        exclude=r"/(bias|scale)$",
        clip_norm=3.0,
        clip_each=True,
    )
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(hidden_dim=32, bottleneck_dim=16, num_prototypes=40, freeze_steps=0, head_norm=True)
    return config
