"""CLIP (arXiv:2103.00020) on images and captions of your own, with a ResNet-18 and a small text transformer on one GPU.

jaxssl train configs/image_text/clip_pairs.py --data PAIRS.jsonl --workdir runs/my_pairs

PAIRS.jsonl has one object a line, {"image": "photos/1.jpg", "caption": "a red bicycle by a wall"}; image files are
named relative to it. A third key, "label", names a class or is null: with it the probes run, and zero-shot
classification with sentences around the names. Everything is held in memory: 100,000 images of 128 pixels are 5 GB.

What to set, as --config.NAME=VALUE:
  total_steps, batch_size   a larger batch has more negatives; with another one, change optim.learning_rate
  data.max_length, encoder.text.max_length   bytes of a caption, and two; equal in both
  data.image_size, augment.size, preprocess.size   pixels as read, as trained on, as evaluated
  data.channels             1 for grey images, with augment.mean, augment.std, preprocess.mean, preprocess.std to match
  method.multi_positive     True where many images share a caption
  augment.flip_probability  0.5 where no caption speaks of left or right, and no image shows text
  encoder.image.name        any encoder of images, e.g. models.vit.vit_s

`:quick` trains tiny networks in seconds, to see that the file is read. Then `jaxssl embed runs/my_pairs --out
features.npz`. Not run here on a large set: there is no number to compare with.
"""

from jaxssl.recipes.image_text import captioned_images, quick_captioned_images


def get_config(arg=None):
    config = captioned_images(groups="group")
    config.total_steps, config.batch_size = 20_000, 256
    config.data = dict(
        name="data.readers.pairs",
        mode="resident",
        path="",  # --data PAIRS.jsonl
        image_size=128,
        channels=3,
        max_length=96,
        test_fraction=0.1,
    )
    statistics = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    config.augment = dict(
        name="augment.image_text.clip", size=112, crop_scale=(0.5, 1.0), flip_probability=0.0, **statistics
    )
    config.preprocess = dict(name="augment.image_text.plain", size=112, crop_fraction=0.9, **statistics)
    config.encoder = dict(
        name="models.two_tower",
        image=dict(name="models.resnet.resnet18", stem="imagenet"),
        text=dict(name="models.causal_text", max_length=96, embed_dim=256, depth=6, num_heads=4),
        dtype="bfloat16",
        remat=False,
    )
    config.method = dict(name="methods.clip", dim=256, temperature=0.07, multi_positive=False)
    config.optim.update(learning_rate=5e-4, warmup_steps=1000, weight_decay=0.2)
    config.log.every, config.checkpoint.every = 50, 1000
    config.evaluate.during = ("retrieval", "rankme")
    config.evaluate.headline = "retrieval/recall_at_1"
    if arg == "quick":
        quick_captioned_images(config, size=24, batch_size=16)
        config.optim.learning_rate = 2e-3
        config.data.update(image_size=32, max_length=48, test_fraction=0.25)
        config.encoder.text.max_length = 48
        config.encoder.dtype = "float32"
        config.evaluate.batch_size = 16
        config.evaluate.evaluators.knn.k = 5
        config.evaluate.evaluators.few_labels.per_class = (1,)
    return config
