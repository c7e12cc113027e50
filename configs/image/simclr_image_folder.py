"""SimCLR (arXiv:2002.05709) on a folder of your own images, with a ResNet-18 on one GPU.

jaxssl train configs/image/simclr_image_folder.py --data FOLDER --workdir runs/my_images

FOLDER holds images (jpg, png, webp, bmp, gif) at any depth. Labels are not needed: nothing is trained with them. Where
there are sub-folders, one for each class (or train/CLASS and val/CLASS), they tell how well the features separate the
classes; give --config.data.label_from_folder=False where sub-folders mean something else.

What to set, as --config.NAME=VALUE:
  total_steps               20,000 steps of 256 images suit some 50,000 images; at least 50 passes over fewer
  batch_size                as large as memory allows; with another one, change optim.learning_rate in proportion
  data.image_size           side of the square that every image is cut and resized to, once, before cropping
  augment.size, preprocess.size   side of the views, and of the images that are evaluated; multiples of 32
  augment.color_strength    0 where colour is what tells your images apart (stains, satellite bands); 1 as published
  augment.flip_probability  0 where left and right differ (text, digits)
  data.channels             1 for grey images, with augment.mean, augment.std, preprocess.mean, preprocess.std to match
  encoder.name              models.resnet.resnet50 for more images and more time

`:quick` trains a tiny network in seconds, to see that the folder is read. Then, to use what was learnt:
`jaxssl embed runs/my_images --out features.npz`, `jaxssl export runs/my_images --out encoder.safetensors`.
Not run here on a large folder: there is no number to compare with.
"""

from jaxssl.config import base
from jaxssl.recipes.image import quick_images


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 20_000, 256
    config.data = dict(
        name="data.readers.image_folder",
        mode="stream",
        path="",  # --data FOLDER
        image_size=144,
        channels=3,
        label_from_folder=True,
        test_fraction=0.2,
    )
    statistics = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    config.augment = dict(
        name="augment.image.simclr",
        size=128,
        crop_scale=(0.2, 1.0),
        color_strength=0.5,
        flip_probability=0.5,
        **statistics,
    )
    config.preprocess = dict(name="augment.image.plain", size=128, crop_fraction=0.9, **statistics)
    config.encoder = dict(name="models.resnet.resnet18", stem="imagenet", dtype="bfloat16", remat=False)
    config.method = dict(name="methods.simclr", hidden_dims=(512,), dim=128, temperature=0.2)
    config.optim.update(name="adamw", learning_rate=1e-3, warmup_steps=1000, weight_decay=1e-4)
    config.log.every, config.checkpoint.every = 50, 1000
    if arg == "quick":
        data = config.data.to_dict()
        quick_images(config)
        config.batch_size = 16
        config.data = {**data, "image_size": 32}
        config.augment.size = 24
        config.preprocess = dict(name="augment.image.plain", size=24, crop_fraction=0.9, **statistics)
        config.encoder = dict(name="models.convnet", widths=(8, 16), strides=(2, 2), dtype="float32", remat=False)
        config.method.update(hidden_dims=(32,), dim=16)
        config.evaluate.evaluators.knn.k = 5
        config.evaluate.evaluators.few_labels.per_class = (1,)
    return config
