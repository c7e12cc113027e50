"""DenseCL (arXiv:2011.09157) on generated scenes with known masks.

jaxssl train configs/image/densecl_scenes.py --workdir runs/densecl_scenes

A first run of 600 steps (seed 0, 2 CPU cores), made before the last changes of the program and not repeated, did not lead:
segmentation by nearest neighbours 9.1 mIoU, untrained encoder 10.1, raw patches 9.2; by a linear map 9.9, untrained 9.8, raw
patches 6.7. How hard the scenes are was chosen with these test scenes in view. Without the dense term (not measured yet):
`--config.method.dense_weight=0`.
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
