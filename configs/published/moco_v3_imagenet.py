"""MoCo v3 (arXiv:2104.02057): a ViT-S/16 on ImageNet, 300 epochs, batches of 4096.

jaxssl train configs/published/moco_v3_imagenet.py --workdir runs/moco_v3_imagenet

Not run here. Published: 73.2 per cent top-1 with a linear classifier.
Numbers from github.com/facebookresearch/moco-v3 (CONFIG.md, main_moco.py, vits.py).
Initial values are the release's: Xavier, queries, keys and values each by itself; the class token a normal of 1e-6.
Deviations: those of `jaxssl.recipes.image.imagenet`.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 // 4096 = 312 steps an epoch, * 300; warm-up of 40 epochs.
    config.total_steps, config.batch_size = 93_600, 4096
    config.augment.update(name="augment.image.byol", interpolation="bilinear")
    # 12 heads of width 32, where the usual ViT-S has 6 of width 64.
    config.encoder = dict(
        name="models.vit.vit_s",
        patch_size=16,
        num_heads=12,
        positions="fixed",
        init_as="moco_v3",
        dtype="bfloat16",
        remat=False,
    )
    config.method = dict(
        name="methods.moco_v3",
        hidden_dims=(4096, 4096),
        dim=256,
        predictor_dim=4096,
        head_init="torch",
        temperature=0.2,
        momentum=0.99,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    # Weight decay on everything that moves; the random patch embedding does not.
    config.optim.update(
        name="adamw",
        learning_rate=1.5e-4,
        scale_batch=256,
        warmup_steps=12_480,
        warmup="zero",
        weight_decay=0.1,
        exclude="",
        frozen="patch_embed",
    )
    if arg == "quick":
        quick_imagenet(config)
        # So early the class token is nearly the same for all images, and batch norm would amplify rounding.
        config.encoder.pool = "mean"
        config.method.update(hidden_dims=(32,), dim=16, predictor_dim=32)
    return config
