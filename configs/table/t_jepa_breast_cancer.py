"""T-JEPA (arXiv:2410.05016) on scikit-learn's breast cancer table: 30 columns, 398 rows to train on without labels.

jaxssl train configs/table/t_jepa_breast_cancer.py --workdir runs/t_jepa

Nothing is gained here (seed 0): a linear probe with all labels has 97.7 on the 171 test rows, as untrained (columns 95.3,
boosted trees on columns 98.2), and 93.0 with 10 labels a class, as untrained (columns 92.4). The flattened tokens of an
untrained network hold what a linear probe reads in the 30 columns, and one test row in 171 is 0.6 points.
configs/table/t_jepa_sensors.py has rows where the method does learn. At a rate of 1e-3, with column tokens of a fifth of
this size, the features collapsed within 500 steps, and the monitor said so.
"""

from jaxssl.config import base
from jaxssl.recipes.table import quick_table


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 800, 64
    config.data = dict(name="data.sets.breast_cancer", mode="resident")
    config.augment = dict(name="augment.table.unchanged")
    config.preprocess = dict(name="augment.table.plain")
    config.encoder = dict(
        name="models.tabular.table_transformer",
        embed_dim=32,
        depth=2,
        num_heads=4,
        mlp_ratio=2.0,
        registers=1,
        pool="flatten",
        dtype="float32",
        remat=False,
    )
    config.method = dict(
        name="methods.t_jepa",
        context_share=0.3,
        target_share=0.3,
        num_targets=4,
        momentum=0.996,
        momentum_end=1.0,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    config.optim.update(name="adamw", learning_rate=2e-4, warmup_steps=50, weight_decay=0.0)
    config.log.every = 50
    config.evaluate.evaluators.trees = dict(name="evaluators.boosted_trees")
    config.evaluate.floors = {"columns": dict(name="evaluators.floors.flat")}
    config.evaluate.headline = "linear/top1"
    if arg == "quick":
        quick_table(config)
        config.optim.learning_rate = 1e-3
        config.encoder.update(embed_dim=16, depth=1, num_heads=2)
        config.method.update(predictor_dim=8, predictor_depth=1)
    return config
