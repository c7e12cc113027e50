"""Glosses of nouns of WordNet."""

from jaxssl.data.reading import FILES_FOLDER
from jaxssl.data.sets.bundled_texts import bundled_texts
from jaxssl.data.source import Splits

WORDNET_FILE = FILES_FOLDER / "wordnet_glosses.json.gz"


def wordnet_glosses(*, max_length: int = 32, tokenizer: str | None = None, limit: int | None = None) -> Splits:
    """The glosses of 6,200 nouns of WordNet, labelled with their subject (20: animal, food, time, ...); no download.

    Train: the synonyms and the gloss of 250 synsets a subject, 10,000 texts. Test: the glosses of 60 others a subject,
    1,200 texts. `extra` of the test source, read by evaluators only, has arrays as those of an example:

      retrieval:  query, the synonyms of each test synset; target, the gloss in the same row.
      similarity: left and right, glosses; score float32 [2000], the similarity of Wu and Palmer in WordNet's hierarchy,
          in (0, 1]; a quarter of the pairs each below 0.3, 0.5, 0.7 and above.

    Args:
      max_length, tokenizer: as in `data.readers.text`.
      limit: as in `debian_descriptions`.

    Source: WordNet 3.0 (tools/make_wordnet_glosses.py); licence in files/wordnet_glosses_LICENSE.txt.
    """
    return bundled_texts(WORDNET_FILE, ("gloss", "synonyms"), max_length, tokenizer, limit)
