"""Base config for images with captions."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def captioned_images(*, groups: str) -> ConfigDict:
    """Base config for images with captions: AdamW as for CLIP, zero-shot classification, retrieval, floors.

    Args:
      groups: the array of the data that says which captions are right for an image, for retrieval.
    """
    config = base()
    config.optim.update(name="adamw", b2=0.98, eps=1e-6, exclude=r"/(bias|scale|log_scale|pos_embed)$")
    config.evaluate.floors = {
        "raw pixels": dict(name="evaluators.floors.flat", only="image"),
        "ridge to words": dict(name="evaluators.floors.pairs.ridge_to_words"),
    }
    config.evaluate.evaluators = dict(
        zero_shot=dict(name="evaluators.zero_shot"),
        retrieval=dict(name="evaluators.retrieval", groups=groups),
        **config.evaluate.evaluators.to_dict(),
    )
    return config


def quick_captioned_images(config: ConfigDict, *, size: int = 16, batch_size: int = 32) -> ConfigDict:
    """`quick` with two tiny towers; the config file shrinks its data."""
    quick(config, batch_size=batch_size)
    config.augment.size = config.preprocess.size = size
    config.encoder.image = dict(name="models.convnet", widths=(8, 16), strides=(2, 2))
    config.encoder.text.update(embed_dim=16, depth=1, num_heads=2)
    config.method.dim = 16
    return config
