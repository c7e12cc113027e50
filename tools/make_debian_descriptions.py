"""Makes jaxssl/data/files/debian_descriptions.json.gz: short texts about Debian packages, with sections and debtags.

    python tools/make_debian_descriptions.py PACKAGES TRANSLATION

PACKAGES and TRANSLATION are the plain-text indices `Packages` (main, amd64) and `Translation-en` of a Debian release,
as `apt-get update -o Acquire::Languages=en` brings them to /var/lib/apt/lists (`/usr/lib/apt/apt-helper cat-file`
unpacks them). The bundled file was made from Debian 12 (bookworm).

One binary package of a source package is kept, so that no source package is on both sides of the split. Of a package
there is the synopsis (the short description) and the first sentence of the long description. Sections are balanced.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from typing import TextIO

import numpy as np

from jaxssl.data.sets.debian_descriptions import DEBIAN_FILE

SEED = 16
SECTIONS = (
    "admin devel doc games gnu-r golang haskell java javascript libs "
    "net perl php python ruby rust science sound utils x11"
).split()
PER_SECTION = {"train": 250, "test": 60}
LENGTHS = 15, 160  # characters of a text
PAIRS = 2000
# What a package is about and for; not what it is written in, nor how it is packaged.
FACETS = "admin biology field game mail network office protocol science security sound use web works-with".split()


def stanzas(file: TextIO) -> Iterator[dict[str, str]]:
    """The fields of every stanza of a Debian index."""
    for stanza in file.read().split("\n\n"):
        fields = re.split(r"\n(?=\S)", stanza.strip())
        yield dict(field.split(":", 1) for field in fields if ":" in field)


def sentence(description: str) -> str | None:
    """The first sentence of a long description, or None where it does not begin with one."""
    paragraph = re.split(r"\n \.\n|\n {2,}", description)[0]
    words = " ".join(paragraph.split())
    found = re.match(r"[A-Z].*?[a-z0-9)][.](?= |$)", words)
    return found.group(0) if found else None


def fits(text: str | None) -> bool:
    """Whether a text is ASCII and of a length in LENGTHS."""
    return text is not None and LENGTHS[0] <= len(text) <= LENGTHS[1] and text.isascii()


def read(packages: str, translation: str) -> list[tuple[str, str, str, list[str]]]:
    """[(section, synopsis, sentence, tags)] of one package of every source package, by name."""
    with open(translation, encoding="utf-8") as file:
        long = {s["Package"].strip(): s["Description-en"] for s in stanzas(file) if "Description-en" in s}
    rows, sources, seen = [], set(), set()
    with open(packages, encoding="utf-8") as file:
        found = {s["Package"].strip(): s for s in stanzas(file) if "Package" in s}
    for name, stanza in sorted(found.items()):
        section, source = stanza["Section"].strip(), stanza.get("Source", name).split()[0]
        synopsis = stanza["Description"].split("\n")[0].strip()
        first = sentence(long.get(name, "\n").split("\n", 1)[-1])
        same = synopsis.lower() in seen or (first or "").lower() in seen
        if section not in SECTIONS or source in sources or same or not fits(synopsis) or not fits(first):
            continue
        sources.add(source)
        seen |= {synopsis.lower(), first.lower()}
        tags = {t.strip() for t in stanza.get("Tag", "").replace("\n", " ").split(",")}
        rows.append((section, synopsis, first, sorted(t for t in tags if t.split("::")[0] in FACETS)))
    return rows


def graded_pairs(tags: list[list[str]], random: np.random.Generator) -> list[list[float]]:
    """[(i, j, score)]: pairs of packages and the Jaccard index of their tags; half of them share no tag."""
    tagged = [i for i, t in enumerate(tags) if len(t) >= 2]
    pairs = [(i, j) for n, i in enumerate(tagged) for j in tagged[n + 1 :]]
    score = np.array([len(set(tags[i]) & set(tags[j])) / len(set(tags[i]) | set(tags[j])) for i, j in pairs])
    kept = []
    for rows in (np.flatnonzero(score == 0), np.flatnonzero(score > 0)):
        kept.extend(random.choice(rows, PAIRS // 2, replace=False))
    return [[*map(int, pairs[k]), round(float(score[k]), 4)] for k in sorted(kept)]


def main(packages: str, translation: str) -> None:
    """Writes the file from the two indices."""
    rows = read(packages, translation)
    random = np.random.default_rng(SEED)
    parts = {split: [] for split in PER_SECTION}
    for section in SECTIONS:
        of_section = [row for row in rows if row[0] == section]
        chosen = random.permutation(len(of_section))[: sum(PER_SECTION.values())]
        print(section, len(of_section))
        for split, ids in zip(parts, np.split(chosen, [PER_SECTION["train"]])):
            parts[split].extend(of_section[i] for i in ids)
    content = {"class_names": SECTIONS}
    for split, part in parts.items():
        content[split] = {
            "synopsis": [row[1] for row in part],
            "sentence": [row[2] for row in part],
            "label": [SECTIONS.index(row[0]) for row in part],
        }
    content["similarity"] = graded_pairs([row[3] for row in parts["test"]], random)
    # No time stamp, so that the same input gives the same file.
    DEBIAN_FILE.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0))
    print(f"{DEBIAN_FILE}: {DEBIAN_FILE.stat().st_size} bytes, { ({k: len(v) for k, v in parts.items()}) }")


if __name__ == "__main__":
    main(*sys.argv[1:])
