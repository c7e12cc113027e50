"""MAE (arXiv:2111.06377): a ViT-B/16 on ImageNet, 1,600 epochs, batches of 4096.

jaxssl train configs/published/mae_imagenet.py --workdir runs/mae_imagenet

Not run here. Published: 68.0 per cent top-1 with a linear classifier, 83.6 after fine-tuning.
Numbers from the paper (appendix A) and github.com/facebookresearch/mae (PRETRAIN.md, main_pretrain.py, models_mae.py).
800 epochs, the paper's default: total_steps=249600.
Initial values are the release's: Xavier, tokens a normal of 0.02.
Deviations: those of `jaxssl.recipes.image.imagenet`.
"""

from jaxssl.recipes.image import imagenet, quick_imagenet


def get_config(arg=None):
    config = imagenet()
    # 1,281,167 // 4096 = 312 steps an epoch, * 1,600; warm-up of 40 epochs.
    config.total_steps, config.batch_size = 499_200, 4096
    config.augment.name = "augment.image.mae"
    config.encoder = dict(
        name="models.vit.vit_b", patch_size=16, positions="fixed", init_as="mae", dtype="bfloat16", remat=False
    )
    config.method = dict(
        name="methods.mae",
        masking_ratio=0.75,
        decoder_dim=512,
        decoder_depth=8,
        decoder_heads=16,
        normalize_targets=True,
        decoder_init="mae",
    )
    # The class token and the mask token decay too.
    config.optim.update(
        name="adamw",
        learning_rate=1.5e-4,
        scale_batch=256,
        warmup_steps=12_480,
        warmup="zero",
        weight_decay=0.05,
        b2=0.95,
        exclude=r"/(bias|scale)$",
    )
    if arg == "quick":
        quick_imagenet(config)
        config.method.update(decoder_dim=16, decoder_depth=1, decoder_heads=2)
    return config
