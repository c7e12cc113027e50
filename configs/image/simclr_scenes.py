"""SimCLR (arXiv:2002.05709) on generated scenes with known masks: the row that DenseCL and VICRegL are compared with.

jaxssl train configs/image/simclr_scenes.py --workdir runs/simclr_scenes

Seed 0, 600 steps, on 2 CPU cores: segmentation by nearest neighbours 16.2 mIoU (untrained encoder 9.2, raw patches 9.3), by a
linear map 16.9 (10.3, 6.8).
"""

from jaxssl.recipes.scenes import quick_scenes, scenes

BEATS = ("untrained", "floor")


def get_config(arg=None):
    config = scenes()
    config.method = dict(name="methods.simclr", hidden_dims=(256,), dim=128, temperature=0.2)
    if arg == "quick":
        quick_scenes(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
