"""T-JEPA (arXiv:2410.05016) on generated rows of sensors: four hidden quantities in 16 columns, among 16 of mere noise.

jaxssl train configs/table/t_jepa_sensors.py --workdir runs/t_jepa_sensors

Some columns share something and others share nothing: predicting columns from others is for such rows. Seed 0: 70.2 at 10
labels a class (untrained 61.2, columns 73.1), 54.7 at one (36.2, 48.1). Contexts of half of the columns and a rate of 2e-3
did better than 0.3 and 1e-3.
"""

from jaxssl.config import base
from jaxssl.recipes.table import quick_table

BEATS = ("untrained",)


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 1500, 128
    config.data = dict(name="data.sets.sensors", mode="resident")
    config.augment = dict(name="augment.table.unchanged")
    config.preprocess = dict(name="augment.table.plain")
    config.encoder = dict(
        name="models.tabular.table_transformer",
        embed_dim=32,
        depth=2,
        num_heads=4,
        mlp_ratio=2.0,
        registers=1,
        pool="mean",
        dtype="float32",
        remat=False,
    )
    config.method = dict(
        name="methods.t_jepa",
        context_share=0.5,
        target_share=0.25,
        num_targets=2,
        momentum=0.99,
        momentum_end=1.0,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    config.optim.update(name="adamw", learning_rate=2e-3, warmup_steps=50, weight_decay=0.0)
    config.log.every = 50
    config.evaluate.evaluators.trees = dict(name="evaluators.boosted_trees")
    config.evaluate.floors = {"columns": dict(name="evaluators.floors.flat")}
    if arg == "quick":
        quick_table(config)
        config.optim.learning_rate = 1e-3
        config.encoder.update(embed_dim=16, depth=1, num_heads=2)
        config.method.update(predictor_dim=8, predictor_depth=1)
    return config
