"""ColloSSL (arXiv:2202.00758) on BasicMotions: the accelerometer and the gyroscope of a watch are the two sensors.

jaxssl train configs/series/collossl_basic_motions.py --workdir runs/collossl
"""

from jaxssl.recipes.series import quick_series, series


def get_config(arg=None):
    config = series()
    config.total_steps, config.batch_size = 300, 40
    config.data = dict(name="data.sets.basic_motions", mode="resident")
    # Each series by its own mean and deviation: how strong a motion is would tell the four apart without any training.
    config.augment = dict(name="augment.series.sensors", channels=3, crop=0.8)
    config.preprocess = dict(name="augment.series.plain_sensors", channels=3)
    config.encoder = dict(
        name="models.series.convnet",
        widths=(32, 64, 96),
        kernel_sizes=(24, 16, 8),
        dropout=0.1,
        dtype="float32",
        remat=False,
    )
    config.method = dict(
        name="methods.collossl",
        anchor=None,
        policy="closest_pos_all_neg",
        hidden_dims=(256, 128),
        dim=50,
        temperature=0.1,
    )
    config.optim.update(learning_rate=1e-3, warmup_steps=30)
    config.log.every, config.checkpoint.every = 100, 300
    # Ten labelled series a class are all that there are.
    config.evaluate.evaluators.knn.k = 5
    config.evaluate.evaluators.few_labels.update(per_class=(1, 2, 5), draws=10)
    config.evaluate.headline = "few_labels/2_mean"
    if arg == "quick":
        quick_series(config)
        config.encoder.update(widths=(8, 16), kernel_sizes=(8, 4))
        config.method.update(hidden_dims=(32,), dim=16)
    return config
