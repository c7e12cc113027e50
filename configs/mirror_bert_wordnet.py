"""Mirror-BERT (arXiv:2104.08027) on the bundled nouns of WordNet: synonyms and glosses, similarity by the hierarchy.

jaxssl train configs/mirror_bert_wordnet.py --workdir runs/mirror_bert_wordnet

As configs/mirror_bert_debian.py, where the options are explained. Seed 0: the cosine of two glosses agrees with the nearness
of the two nouns in WordNet's hierarchy by 38.1 (Spearman's correlation in hundredths; untrained 15.6, TF-IDF 26.5, a masked
language model alone, `--config.method.mlm_steps=3000 --config.total_steps=3000`, 27.5).
"""

from jaxssl.config import EVALUATORS, base


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 1500, 256
    config.data = dict(name="data.text.wordnet_glosses", mode="resident", max_length=24, tokenizer=None)
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
        embed_std=0.1,
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.mirror_bert", temperature=0.1, mlm_steps=0, masking_ratio=0.15)
    config.optim.update(learning_rate=1e-3, warmup_steps=30, weight_decay=0.01, clip_norm=1.0)
    config.optim.exclude = r"/(bias|scale|pos_embed|embedding)$"
    config.checkpoint.every = 200
    config.evaluate.evaluators = dict(
        retrieval=dict(name="evaluators.retrieval", pairs="retrieval"),
        similarity=dict(name="evaluators.similarity"),
        **EVALUATORS,
    )
    config.evaluate.every, config.evaluate.during = 500, ("retrieval", "similarity")
    config.evaluate.floors = {"TF-IDF, 256 directions": dict(name="evaluators.floors_text.tfidf", dim=256)}
    config.evaluate.headline = "similarity/spearman"
    if arg == "quick":
        config.total_steps, config.batch_size = 30, 32
        config.data.update(max_length=24, limit=400)
        config.encoder.update(embed_dim=16, depth=1, num_heads=2, max_length=24)
        config.method.mlm_steps = 8
        config.optim.warmup_steps = 3
        config.log.every, config.checkpoint.every, config.evaluate.every = 5, 10, 0
        config.evaluate.batch_size = 100
    return config
