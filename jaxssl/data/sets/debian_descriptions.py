"""Descriptions of Debian packages."""

import gzip
import json

from jaxssl.data.reading import FILES_FOLDER
from jaxssl.data.sets.bundled_texts import bundled_texts
from jaxssl.data.source import Splits

DEBIAN_FILE = FILES_FOLDER / "debian_descriptions.json.gz"


def debian_descriptions(*, max_length: int = 32, tokenizer: str | None = None, limit: int | None = None) -> Splits:
    """The descriptions of 6,200 Debian packages, labelled with their section (20 of them); no download.

    Train: the synopsis and the first sentence of the long description of 250 packages a section, 10,000 texts. Test:
    the synopses of 60 other packages a section, 1,200 texts; no source package is in both. `extra` of the test source,
    read by evaluators only, has arrays as those of an example:

      retrieval:  query, the first sentence of each test package; target, the synopsis in the same row.
      similarity: left and right, synopses; score float32 [2000], the Jaccard index of the debtags (what a package is
          for, field, protocol, ...) that people gave to both packages; half of the pairs share none.

    Args:
      max_length, tokenizer: as in `data.readers.text`.
      limit: number of training texts, balanced (a multiple of 40), and about a fifth as many test texts.

    Source: package indices of Debian 12 (tools/make_debian_descriptions.py); licence in
    files/debian_descriptions_LICENSE.txt.
    """
    return bundled_texts(DEBIAN_FILE, ("synopsis", "sentence"), max_length, tokenizer, limit)


def debian_training_texts() -> list[str]:
    """The training texts themselves; the tokenizer of the package was learned from them."""
    data = json.loads(gzip.decompress(DEBIAN_FILE.read_bytes()))["train"]
    return [text for pair in zip(data["synopsis"], data["sentence"]) for text in pair]
