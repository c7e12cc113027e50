"""Mirror-BERT (arXiv:2104.08027) on the bundled nouns of WordNet: synonyms and glosses, similarity by the hierarchy.

jaxssl train configs/text/mirror_bert_wordnet.py --workdir runs/mirror_bert_wordnet

As configs/text/mirror_bert_debian.py, where the options are explained. Seed 0: the cosine of two glosses agrees with the
nearness of the two nouns in WordNet's hierarchy by 38.1 (Spearman's correlation in hundredths; untrained 15.6, TF-IDF 26.5, a masked
language model alone, `--config.method.mlm_steps=3000 --config.total_steps=3000`, 27.5).
"""

from jaxssl.recipes.text import quick_short_texts, short_texts


def get_config(arg=None):
    config = short_texts()
    config.data = dict(name="data.sets.wordnet_glosses", mode="resident", max_length=24, tokenizer=None)
    config.method = dict(name="methods.mirror_bert", temperature=0.1, mlm_steps=0, masking_ratio=0.15)
    config.evaluate.headline = "similarity/spearman"
    if arg == "quick":
        quick_short_texts(config).method.mlm_steps = 8
    return config
