"""ECG-JEPA (arXiv:2410.13867) on series of your own: any channels, any length, labels not needed.

jaxssl train configs/series/ecg_jepa_series.py --data FILE.npz --workdir runs/my_series

FILE.npz holds `x` [N, T, C] (numbers; NaN where a value is missing) and, where they are there, `length` [N] (where each
series ends) and `label` [N], which only the probes see. FILE.ts is the text format of the time series archive; beside
NAME_TRAIN.ts the file NAME_TEST.ts is the test set. Every series is stretched to `size` samples, and standardised by its own
mean and deviation, channel by channel.

What to set, as --config.NAME=VALUE:
  total_steps               at least 50 passes over the data
  augment.size, preprocess.size   samples of a series, a multiple of encoder.patch_size
  encoder.patch_size        about a tenth of what a pattern lasts; 30 to 200 patches in a series
  method.min_block          patches of the shortest hidden block
  augment.mean, augment.std, preprocess.mean, preprocess.std   of each channel, where the level or the size of a series
                            tells what it is; left out, both are lost

`:quick` trains a tiny network in seconds, to see that the file is read. Then, to use what was learnt:
`jaxssl embed runs/my_series --out features.npz`. There is no number to compare with;
configs/series/ecg_jepa_rhythms.py is measured.
"""

from jaxssl.recipes.series import quick_series, series


def get_config(arg=None):
    config = series()
    config.total_steps, config.batch_size = 2000, 32
    config.data = dict(name="data.readers.series", mode="resident", path="", test_fraction=0.2)
    config.augment = dict(name="augment.series.whole", size=400, clip=5.0)
    config.preprocess = dict(name="augment.series.plain", size=400, clip=5.0)
    config.encoder = dict(
        name="models.series.vit", patch_size=8, embed_dim=64, depth=3, num_heads=4, dtype="float32", remat=False
    )
    config.method = dict(
        name="methods.ecg_jepa",
        keep_ratio=0.2,
        min_block=4,
        predictor_dim=32,
        predictor_depth=2,
        predictor_heads=4,
        momentum=0.99,
        momentum_end=0.9995,
        momentum_steps=config.get_oneway_ref("total_steps"),
    )
    config.optim.update(
        learning_rate=1e-3,
        warmup_steps=100,
        b2=0.99,
        eps=1e-6,
        weight_decay=0.01,
        weight_decay_end=0.1,
        exclude=r"/(bias|scale|reg_token|mask_token)$",
    )
    config.evaluate.evaluators.knn.k = 5
    config.evaluate.evaluators.few_labels.per_class = (1, 5)
    config.evaluate.headline = "few_labels/5_mean"
    if arg == "quick":
        quick_series(config, batch_size=16)
        config.augment.size = config.preprocess.size = 80
        config.encoder.update(embed_dim=16, depth=2, num_heads=2)
        config.method.update(min_block=2, predictor_dim=8, predictor_depth=1, predictor_heads=2)
        config.optim.learning_rate = 3e-3
        config.evaluate.evaluators.few_labels.per_class = (1,)
    return config
