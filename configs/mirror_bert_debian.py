"""Mirror-BERT (arXiv:2104.08027) on the bundled descriptions of Debian packages, from random weights.

The paper starts from a large masked language model. `--config.method.mlm_steps=N` trains a small one first, in the same
run. The temperature is the paper's for phrases.

jaxssl train configs/mirror_bert_debian.py --workdir runs/mirror_bert
jaxssl train configs/mirror_bert_debian.py --data MY.txt --workdir runs/my_texts

Not shown to learn: in 300 steps the search of a package's first sentence by its synopsis falls from 39.1 (untrained, a bag
of random vectors) to 36.5 (TF-IDF 37.8); only the agreement with the packages' tags rises, from 1.0 to 6.3 (TF-IDF 29.3).
Rates of 1e-3 and a masked language model first did worse.
"""

from jaxssl.config import EVALUATORS, base


def get_config(arg=None):
    config = base()
    config.total_steps, config.batch_size = 300, 64
    config.data = dict(name="data.text", mode="resident", path=None, max_length=24, tokenizer=None)
    config.augment = dict(name="augment.text.mirror", span=3, min_length=8)
    config.preprocess = dict(name="augment.text.plain")
    config.encoder = dict(
        name="models.text.text_encoder",
        vocab_size=4096,
        embed_dim=96,
        depth=2,
        num_heads=4,
        max_length=24,
        pool="mean",
        dropout=0.1,
        drophead=0.0,
        embed_std=0.4,  # at 0.02 retrieval was much worse, before any training too
        dtype="float32",
        remat=False,
    )
    config.method = dict(name="methods.mirror_bert", temperature=0.2, mlm_steps=0, masking_ratio=0.15)
    config.optim.update(learning_rate=2e-4, warmup_steps=30, weight_decay=0.01, clip_norm=1.0)
    config.optim.exclude = r"/(bias|scale|pos_embed|embedding)$"
    config.checkpoint.every = 200
    config.evaluate.evaluators = dict(
        retrieval=dict(name="evaluators.retrieval", pairs="retrieval"),
        similarity=dict(name="evaluators.similarity"),
        **EVALUATORS,
    )
    config.evaluate.every, config.evaluate.during = 100, ("retrieval", "similarity")
    config.evaluate.floors = {"TF-IDF, 256 directions": dict(name="evaluators.floors_text.tfidf", dim=256)}
    config.evaluate.headline = "retrieval/mrr"
    if arg == "quick":
        config.total_steps, config.batch_size = 30, 32
        config.data.update(max_length=24, limit=400)
        config.encoder.update(embed_dim=16, depth=1, num_heads=2, max_length=24)
        config.method.mlm_steps = 8
        config.optim.warmup_steps = 3
        config.log.every, config.checkpoint.every, config.evaluate.every = 5, 10, 0
        config.evaluate.batch_size = 100
    return config
