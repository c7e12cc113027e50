"""CVRL (arXiv:2008.03800) on 2,000 generated videos of moving garments; the probes ask how they move.

jaxssl train configs/video/cvrl_moving_items.py --workdir runs/cvrl

`--config.data.label=item` asks what moves instead. Against the publication all is small: a (2+1)-D ConvNet for the R3D-50
(`models.video.resnet`), clips of 8 frames at 24 pixels for 16 at 224, one hidden layer of 256 in the projector for three of
2048, AdamW for SGD; and no mirroring.
"""

from jaxssl.recipes.video import quick_videos, videos


def get_config(arg=None):
    config = videos()
    config.total_steps, config.batch_size = 600, 64
    config.data = dict(
        name="data.sets.moving_items", mode="resident", train=2000, test=400, frames=24, size=32, label="motion"
    )
    statistics = dict(mean=(0.086,), std=(0.203,))
    # Mirrored videos move the other way, and the probes ask which.
    config.augment.update(size=24, flip_probability=0.0, **statistics)
    config.preprocess.update(statistics)
    config.method = dict(name="methods.cvrl", hidden_dims=(256,), dim=64, temperature=0.1)
    config.optim.update(learning_rate=2e-3, warmup_steps=50, weight_decay=1e-4)
    config.log.every, config.checkpoint.every = 100, 600
    if arg == "quick":
        quick_videos(config)
        config.data.update(train=200, test=40)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
