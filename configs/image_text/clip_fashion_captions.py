"""CLIP (arXiv:2103.00020) on the bundled 10,000 images of Fashion-MNIST with generated captions.

jaxssl train configs/image_text/clip_fashion_captions.py --workdir runs/clip

Zero-shot prompts are templates that no caption has. Captions of the bundled set repeat: equal ones are positives of
each other (method.multi_positive). In retrieval a caption that says the same in other words is a hit.
"""

from jaxssl.recipes.image_text import captioned_images, quick_captioned_images


def get_config(arg=None):
    config = captioned_images(groups="meaning")
    config.total_steps, config.batch_size = 600, 128
    config.data = dict(name="data.sets.fashion_captions", mode="resident", max_length=48)
    statistics = dict(mean=(0.286,), std=(0.353,))
    config.augment = dict(name="augment.image_text.clip", size=28, crop_scale=(0.7, 1.0), **statistics)
    config.augment.interpolation = "bilinear"
    config.preprocess = dict(name="augment.image_text.plain", **statistics)
    config.encoder = dict(
        name="models.two_tower",
        image=dict(name="models.convnet", widths=(32, 64, 96, 192), strides=(2, 2, 1, 1), pool="mean"),
        text=dict(name="models.causal_text", max_length=48, embed_dim=64, depth=2, num_heads=4),
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.clip", dim=64, temperature=0.07, multi_positive=True)
    config.optim.update(learning_rate=2e-3, warmup_steps=60, weight_decay=0.05)
    config.checkpoint.every = 250
    config.evaluate.during = ("zero_shot", "rankme")
    config.evaluate.headline = "zero_shot/top1"
    if arg == "quick":
        quick_captioned_images(config)
        config.data.limit = 400
    return config
