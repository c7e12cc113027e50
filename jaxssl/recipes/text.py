"""Base configs for short texts."""

from ml_collections import ConfigDict

from jaxssl.config import EVALUATORS, base
from jaxssl.recipes.quick import quick


def short_texts() -> ConfigDict:
    """Base config for short texts: views, a transformer for two cores, rates, evaluators, a floor."""
    config = base()
    config.total_steps, config.batch_size = 1500, 256
    config.augment = dict(name="augment.text.mirror", span=0, min_length=8, drop_rate=(0.2, 0.8))
    config.preprocess = dict(name="augment.text.plain")
    config.encoder = dict(
        name="models.text.text_encoder",
        vocab_size=4096,
        embed_dim=64,
        depth=1,
        num_heads=2,
        max_length=24,
        pool="mean",
        dropout=0.1,
        drophead=0.0,
        embed_std=0.1,  # at 0.4 training gained less, at 0.02 retrieval was much worse, before any training too
        dtype="float32",
        remat=False,
    )
    config.optim.update(learning_rate=1e-3, warmup_steps=30, weight_decay=0.01, clip_norm=1.0)
    config.optim.exclude = r"/(bias|scale|pos_embed|embedding)$"
    config.checkpoint.every = 200
    config.evaluate.evaluators = dict(
        retrieval=dict(name="evaluators.retrieval", pairs="retrieval"),
        similarity=dict(name="evaluators.similarity"),
        **EVALUATORS,
    )
    config.evaluate.every, config.evaluate.during = 500, ("retrieval", "similarity")
    config.evaluate.floors = {"TF-IDF, 256 directions": dict(name="evaluators.floors.text.tfidf", dim=256)}
    return config


def quick_short_texts(config: ConfigDict) -> ConfigDict:
    """`quick` with 400 texts and a small transformer; the config file shrinks its method."""
    quick(config)
    config.data.update(max_length=24, limit=400)
    config.encoder.update(embed_dim=16, depth=1, num_heads=2, max_length=24)
    return config
