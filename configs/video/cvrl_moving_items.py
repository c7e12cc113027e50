"""CVRL (arXiv:2008.03800) on 2,000 generated videos of moving garments; the probes ask how they move.

jaxssl train configs/video/cvrl_moving_items.py --workdir runs/cvrl

`--config.data.label=item` asks what moves instead. Against the publication all is small: a (2+1)-D ConvNet for the R3D-50
(`models.video.resnet`), clips of 8 frames at 24 pixels for 16 at 224, one hidden layer of 256 in the projector for three of
2048, AdamW for SGD; and no mirroring.
"""

from jaxssl.config import base
from jaxssl.recipes.quick import quick


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 600, 64
    config.data = dict(
        name="data.sets.moving_items", mode="resident", train=2000, test=400, frames=24, size=32, label="motion"
    )
    clip = dict(frames=8, stride=2, mean=(0.086,), std=(0.203,))
    config.augment = dict(
        name="augment.video.cvrl",
        **clip,
        size=24,
        power=1.0,
        crop_scale=(0.3, 1.0),
        crop_ratio=(0.5, 2.0),
        # Mirrored videos move the other way, and the probes ask which.
        flip_probability=0.0,
        color_strength=1.0,
        blur_probability=(1.0, 0.1),
        solarize_probability=(0.0, 0.2),
    )
    config.preprocess = dict(name="augment.video.plain", **clip)
    config.encoder = dict(
        name="models.video.convnet",
        widths=(16, 32, 64, 96),
        strides=(2, 2, 2, 1),
        time_kernels=(1, 3, 3, 3),
        time_strides=(1, 2, 2, 1),
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.cvrl", hidden_dims=(256,), dim=64, temperature=0.1)
    config.optim.update(learning_rate=2e-3, warmup_steps=50, weight_decay=1e-4)
    config.log.every, config.checkpoint.every = 100, 600
    config.evaluate.floors = {
        "raw pixels": dict(name="evaluators.floors.flat"),
        "gradients and flow (HOG, HOF)": dict(name="evaluators.floors.video.gradients_and_flow"),
    }
    if arg == "quick":
        quick(config)
        config.data.update(train=200, test=40)
        config.augment.update(frames=4, size=16)
        config.preprocess.update(frames=4, size=16)
        config.encoder.update(widths=(8, 16), strides=(2, 2), time_kernels=(1, 3), time_strides=(1, 2))
        config.method.update(hidden_dims=(32,), dim=16)
        config.evaluate.evaluators.few_labels.per_class = (1,)
    return config
