"""Base config for videos."""

from ml_collections import ConfigDict

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def videos() -> ConfigDict:
    """Base config for videos: two clips of a video, a (2+1)-D ConvNet, floors."""
    config = base()
    config.augment = dict(
        name="augment.video.cvrl",
        frames=8,
        stride=2,
        power=1.0,
        crop_scale=(0.3, 1.0),
        crop_ratio=(0.5, 2.0),
        flip_probability=0.5,
        color_strength=1.0,
        blur_probability=(1.0, 0.1),
        solarize_probability=(0.0, 0.2),
    )
    config.preprocess = dict(name="augment.video.plain", frames=8, stride=2)
    config.encoder = dict(
        name="models.video.convnet",
        widths=(16, 32, 64, 96),
        strides=(2, 2, 2, 1),
        time_kernels=(1, 3, 3, 3),
        time_strides=(1, 2, 2, 1),
        dtype="float32",
        remat=False,
    )
    config.evaluate.floors = {
        "raw pixels": dict(name="evaluators.floors.flat"),
        "gradients and flow (HOG, HOF)": dict(name="evaluators.floors.video.gradients_and_flow"),
    }
    return config


def quick_videos(config: ConfigDict, *, batch_size: int = 32) -> ConfigDict:
    """`quick` on clips of 4 frames of 16 pixels with a small ConvNet; the config file shrinks its data and method."""
    quick(config, batch_size=batch_size)
    for section in (config.augment, config.preprocess):
        section.update(frames=4, size=16)
    config.encoder.update(widths=(8, 16), strides=(2, 2), time_kernels=(1, 3), time_strides=(1, 2))
    config.evaluate.evaluators.few_labels.per_class = (1,)
    return config
