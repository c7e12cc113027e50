"""Makes jaxssl/data/files/wordnet_glosses.json.gz: nouns of WordNet, their glosses, and how near their meanings are.

    python tools/make_wordnet_glosses.py DATA_NOUN

DATA_NOUN is the file data.noun of WordNet 3.0, which Debian's package wordnet-base has in /usr/share/wordnet; its
format is that of the manual page wndb(5). Of a synset there are the synonyms and the first part of the gloss, the
definition without examples. Labels are the lexicographer files, which part the nouns by subject; they are balanced.
"""

import gzip
import json
import re
import sys
from pathlib import Path

import numpy as np

from jaxssl.data.sets.wordnet_glosses import WORDNET_FILE

SEED = 16
# The lexicographer files of nouns in the order of their numbers, lexnames(5); 3 holds only the top of the hierarchy.
FIRST = 4
NAMES = (
    "act animal artifact attribute body cognition communication event feeling food group location motive object "
    "person phenomenon plant possession process quantity relation shape state substance time"
).split()
LEFT_OUT = {"feeling", "motive", "phenomenon", "relation", "shape"}
PER_CLASS = {"train": 250, "test": 60}
LENGTHS = 15, 160  # characters of a gloss
BINS = 0.3, 0.5, 0.7  # of the similarity; each of the four parts has as many pairs
PAIRS = 2000


def read(path: str) -> dict[str, tuple[str | None, str, str, list[str]]]:
    """{offset: (subject, synonyms, definition, offsets of the hypernyms)} of a data.noun file."""
    found = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, gloss = line.split(" | ", 1)
        offset, lexicographer, _, count, *rest = data.split()
        count = int(count, 16)
        words = [word.replace("_", " ") for word in rest[: 2 * count : 2]]
        pointers = rest[2 * count + 1 :]
        above = [pointers[i + 1] for i in range(0, 4 * int(rest[2 * count]), 4) if pointers[i] in ("@", "@i")]
        definition = re.sub(r'^\(.*?\) |[;:]? *".*', "", gloss.split("; ")[0]).strip()
        subject = NAMES[int(lexicographer) - FIRST] if int(lexicographer) >= FIRST else None
        found[offset] = subject, ", ".join(dict.fromkeys(words)), definition, above
    return found


def ancestors(synsets: dict[str, tuple], offset: str) -> dict[str, int]:
    """{offset: fewest steps up} of a synset and all above it."""
    steps, frontier = {offset: 0}, [offset]
    while frontier:
        above = [(up, steps[o] + 1) for o in frontier for up in synsets[o][3]]
        frontier = [up for up, _ in above if up not in steps]
        for up, count in above:
            steps.setdefault(up, count)
    return steps


def similarity(left: dict[str, int], right: dict[str, int], depth: dict[str, int]) -> float:
    """Similarity of Wu and Palmer, 2 d / (2 d + steps up from both): d is the depth of a common ancestor, 1 for the root."""
    return max(2 * depth[o] / (2 * depth[o] + left[o] + right[o]) for o in left.keys() & right.keys())


def graded_pairs(above: list[dict[str, int]], depth: dict[str, int], random: np.random.Generator) -> list[list[float]]:
    """[(i, j, similarity)]: pairs of synsets, as many in each of the four parts of BINS."""
    left, right = np.triu_indices(len(above), 1)
    few = random.permutation(len(left))[: 100 * PAIRS]
    left, right = left[few], right[few]
    score = np.array([similarity(above[i], above[j], depth) for i, j in zip(left, right)])
    part = np.digitize(score, BINS)
    chosen = np.concatenate([np.flatnonzero(part == p)[: PAIRS // (len(BINS) + 1)] for p in range(len(BINS) + 1)])
    return [[int(left[k]), int(right[k]), round(float(score[k]), 4)] for k in sorted(chosen)]


def main(path: str) -> None:
    """Writes the file from the file data.noun."""
    synsets, random = read(path), np.random.default_rng(SEED)
    subjects = sorted(set(NAMES) - LEFT_OUT)
    members, seen = {subject: [] for subject in subjects}, set()
    for offset, (subject, synonyms, definition, _) in sorted(synsets.items()):
        fits = LENGTHS[0] <= len(definition) <= LENGTHS[1] and (synonyms + definition).isascii()
        if subject in members and fits and not {synonyms, definition} & seen:
            seen |= {synonyms, definition}
            members[subject].append(offset)
    parts = {split: [] for split in PER_CLASS}
    for subject in subjects:
        chosen = random.permutation(len(members[subject]))[: sum(PER_CLASS.values())]
        print(subject, len(members[subject]))
        for split, ids in zip(parts, np.split(chosen, [PER_CLASS["train"]])):
            parts[split].extend(members[subject][i] for i in ids)
    content = {"class_names": subjects}
    for split, part in parts.items():
        content[split] = {
            "synonyms": [synsets[o][1] for o in part],
            "gloss": [synsets[o][2] for o in part],
            "label": [subjects.index(synsets[o][0]) for o in part],
        }
    above = [ancestors(synsets, o) for o in parts["test"]]
    root = next(o for o in sorted(synsets) if not synsets[o][3])
    depth = {o: 1 + ancestors(synsets, o)[root] for steps in above for o in steps}
    content["similarity"] = graded_pairs(above, depth, random)
    # No time stamp, so that the same input gives the same file.
    WORDNET_FILE.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0))
    print(f"{WORDNET_FILE}: {WORDNET_FILE.stat().st_size} bytes, { ({k: len(v) for k, v in parts.items()}) }")


if __name__ == "__main__":
    main(*sys.argv[1:])
