"""DenseCL (arXiv:2011.09157) on generated scenes with known masks.

jaxssl train configs/image/densecl_scenes.py --workdir runs/densecl_scenes
"""

from jaxssl.recipes.scenes import quick_scenes, scenes


def get_config(arg=None):
    config = scenes()
    # 600 steps, not 200 epochs of ImageNet: a shorter memory and a quicker teacher.
    config.method = dict(
        name="methods.densecl",
        hidden_dims=(256,),
        dim=128,
        queue_size=1024,
        temperature=0.2,
        momentum=0.98,
        dense_weight=0.5,
    )
    if arg == "quick":
        quick_scenes(config)
        config.method.update(hidden_dims=(32,), dim=16, queue_size=80)
    return config
