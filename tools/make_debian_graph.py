"""Makes jaxssl/data/files/debian_graph.npz: Debian packages as a graph of dependencies with text features.

    python tools/make_debian_graph.py PACKAGES

PACKAGES is the plain-text index `Packages` (main, amd64) of a Debian release, as `apt-get update` brings it to
/var/lib/apt/lists (`/usr/lib/apt/apt-helper cat-file` unpacks it). The bundled file was made from Debian 12 (bookworm).

500 random packages of each of the 12 largest sections. Features: TF-IDF of the synopsis, reduced to 128 dimensions,
rows of length one. Edges: Depends, Recommends and Suggests inside the sample, and pairs that share a dependency which
2 to 15 sampled packages have.
"""

import itertools
import re
import sys
from collections import Counter, defaultdict

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from jaxssl.data.sets.debian_graph import DEBIAN_FILE

SEED, SECTIONS, PER_SECTION, DIM = 16, 12, 500, 128


def packages(path: str) -> dict[str, dict[str, str]]:
    """{name: fields} of the index."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for stanza in file.read().split("\n\n"):
            lines = re.split(r"\n(?=\S)", stanza.strip())
            fields = dict(line.split(":", 1) for line in lines if ":" in line)
            if "Package" in fields:
                found[fields["Package"].strip()] = fields
    return found


def names(field: str) -> set[str]:
    """Package names of a dependency field, alternatives included."""
    return {re.split(r"[\s(:\[]", part.strip())[0] for part in re.split(r"[,|]", field) if part.strip()}


def main() -> int:
    """Writes the file."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = packages(sys.argv[1])
    section = {name: fields["Section"].strip() for name, fields in found.items()}
    largest = sorted(name for name, _ in Counter(section.values()).most_common(SECTIONS))
    random = np.random.default_rng(SEED)
    sample = []
    for label in largest:
        members = sorted(name for name in found if section[name] == label)
        sample += [members[i] for i in sorted(random.choice(len(members), PER_SECTION, replace=False))]
    number = {name: i for i, name in enumerate(sample)}

    edges, users = set(), defaultdict(set)
    for name, i in number.items():
        for field in ("Depends", "Recommends", "Suggests"):
            for other in names(found[name].get(field, "")):
                users[other].add(i)
                if other in number and other != name:
                    edges.add(tuple(sorted((i, number[other]))))
    for together in users.values():
        if 2 <= len(together) <= 15:
            edges |= set(itertools.combinations(sorted(together), 2))

    texts = [found[name]["Description"].split("\n")[0].strip() for name in sample]
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform(texts)
    features = TruncatedSVD(DIM, random_state=SEED).fit_transform(tfidf)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    np.savez_compressed(
        DEBIAN_FILE,
        # Of rows of length one: 127 is the largest entry of the row.
        features=np.round(127 * features / np.maximum(np.abs(features).max(1, keepdims=True), 1e-12)).astype(np.int8),
        edges=np.array(sorted(edges), np.int16),
        label=np.array([largest.index(section[name]) for name in sample], np.uint8),
        class_names=np.array(largest),
        names=np.array(sample),
    )
    print(f"{len(sample)} packages, {len(edges)} undirected edges, {DEBIAN_FILE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
