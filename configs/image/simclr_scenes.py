"""SimCLR (arXiv:2002.05709) on generated scenes with known masks: the row that DenseCL and VICRegL are compared with.

jaxssl train configs/image/simclr_scenes.py --workdir runs/simclr_scenes
"""

from jaxssl.recipes.scenes import quick_scenes, scenes


def get_config(arg=None):
    config = scenes()
    config.method = dict(name="methods.simclr", hidden_dims=(256,), dim=128, temperature=0.2)
    if arg == "quick":
        quick_scenes(config)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
