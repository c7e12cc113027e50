"""Texts: one's own (.txt, .jsonl), and two sets that come with the package: Debian's descriptions, WordNet's glosses.

Arrays of an example: `tokens` int32 [L], padded with 0 to one L for all; `length` int32, the tokens before the padding.
"""

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np

from jaxssl.data.reading import MAX_FILE_MB, lines_of, read_jsonl, read_text
from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.names import shown

DEBIAN_FILE = Path(__file__).parent / "files" / "debian_descriptions.json.gz"
WORDNET_FILE = Path(__file__).parent / "files" / "wordnet_glosses.json.gz"


def text(
    *,
    path: str | None = None,
    max_length: int = 32,
    tokenizer: str | None = None,
    limit: int | None = None,
    test_fraction: float = 0.0,
    max_file_mb: float = MAX_FILE_MB,
) -> Splits:
    """Texts of a file, or without `path` the bundled ones (`debian_descriptions`).

    path: a .txt file, one text a line, or a .jsonl file, one object a line with `text` and perhaps `label`: whole
        numbers 0, 1, ..., or names; all lines or none have one. UTF-8.
    max_length: L, the tokens of an example with the class token and the separator; longer texts are cut.
    tokenizer: JSON file of `jaxssl.data.tokenizer`; None takes the one of the package, so that ids never change. The
        encoder's `vocab_size` must be the tokenizer's.
    limit: use the first so many training texts only (and a fifth as many test texts).
    test_fraction: part of one's own texts that is held out, drawn with a fixed seed; 0 = none.
    max_file_mb: a larger file is refused.

    Raises: FileNotFoundError; ValueError naming the file, the line and what would be right.
    """
    if path is None:
        return debian_descriptions(max_length=max_length, tokenizer=tokenizer, limit=limit)
    if not 0 <= test_fraction < 1:
        raise ValueError(f"data.test_fraction={test_fraction}: must be in [0, 1)")
    texts, labels, lines = read_texts(path, max_file_mb)
    label, class_names = _label_ids(labels, lines, shown(path))
    order = np.random.default_rng(0).permutation(len(texts))
    held = round(test_fraction * len(texts))
    parts = [np.sort(order[held:]), np.sort(order[:held])]
    tokens = load_tokenizer(tokenizer).encode_batch(texts, max_length=max_length)
    sources = []
    for ids, most in zip(parts, (limit, None if limit is None else limit // 5)):
        ids = ids[:most]
        if not ids.size:
            sources.append(None)
            continue
        arrays = {"tokens": tokens["tokens"][ids], "length": tokens["length"][ids], "label": label[ids]}
        source = from_arrays(arrays, class_names=class_names, where=shown(path))
        names = [f"{Path(path).name}:{lines[i]}" for i in ids]
        sources.append(dataclasses.replace(source, names=lambda rows, names=names: [names[r] for r in rows]))
    if sources[0] is None:
        right = "data.limit must be above 0, data.test_fraction smaller"
        raise ValueError(f"{shown(path)}: no training texts are left; {right}")
    count = int(label.max()) + 1
    return Splits(*(s and dataclasses.replace(s, num_classes=count) for s in sources))


def debian_descriptions(*, max_length: int = 32, tokenizer: str | None = None, limit: int | None = None) -> Splits:
    """What 6,200 Debian packages say about themselves, labelled with their section (20 of them); no download.

    Train: the synopsis and the first sentence of the long description of 250 packages a section, 10,000 texts. Test:
    the synopses of 60 other packages a section, 1,200 texts; no source package is in both. `extra` of the test source,
    read by evaluators only, has arrays as those of an example:

      retrieval:  query, the first sentence of each test package; target, the synopsis in the same row.
      similarity: left and right, synopses; score float32 [2000], the Jaccard index of the debtags (what a package is
          for, field, protocol, ...) that people gave to both packages; half of the pairs share none.

    limit: the first so many training texts, balanced (a multiple of 40), and about a fifth as many test texts.

    Source: package indices of Debian 12 (tools/make_debian_descriptions.py); licence in
    files/debian_descriptions_LICENSE.txt.
    """
    return _bundled(DEBIAN_FILE, ("synopsis", "sentence"), max_length, tokenizer, limit)


def wordnet_glosses(*, max_length: int = 32, tokenizer: str | None = None, limit: int | None = None) -> Splits:
    """What 6,200 nouns of WordNet mean, labelled with their subject (20: animal, food, time, ...); no download.

    Train: the synonyms and the gloss of 250 synsets a subject, 10,000 texts. Test: the glosses of 60 others a subject,
    1,200 texts. `extra` of the test source, read by evaluators only, has arrays as those of an example:

      retrieval:  query, the synonyms of each test synset; target, the gloss in the same row.
      similarity: left and right, glosses; score float32 [2000], the similarity of Wu and Palmer in WordNet's hierarchy,
          in (0, 1]; a quarter of the pairs each below 0.3, 0.5, 0.7 and above.

    limit: as in `debian_descriptions`.

    Source: WordNet 3.0 (tools/make_wordnet_glosses.py); licence in files/wordnet_glosses_LICENSE.txt.
    """
    return _bundled(WORDNET_FILE, ("gloss", "synonyms"), max_length, tokenizer, limit)


def debian_training_texts() -> list[str]:
    """The training texts themselves; the tokenizer of the package was learned from them."""
    data = json.loads(gzip.decompress(DEBIAN_FILE.read_bytes()))["train"]
    return [text for pair in zip(data["synopsis"], data["sentence"]) for text in pair]


def read_texts(path, max_file_mb: float = MAX_FILE_MB) -> tuple[list[str], list, list[int]]:
    """(texts, labels or Nones, line numbers) of a .txt or .jsonl file. Raises as `text`."""
    name, ending = shown(path), Path(path).suffix
    if ending not in (".txt", ".jsonl"):
        raise ValueError(f"{name}: the name must end in .txt (a text a line) or .jsonl (an object a line)")
    right = "a .txt or .jsonl file would be right"
    if ending == ".jsonl":
        rows = [(n, *_checked(row, f"{name}, line {n}")) for n, row in read_jsonl(path, max_file_mb, right=right)]
    else:
        content = read_text(path, max_file_mb, right=right)
        lines = lines_of(content)
        if lines and not lines[-1].strip() and not content.endswith(("\n", "\r")):
            lines.pop()  # blanks that end the file
        rows = [(number, line, None) for number, line in enumerate(lines, 1)]
    if not rows:
        raise ValueError(f"{name} is empty; a text a line would be right")
    for number, found, _ in rows:
        if not found.strip():
            raise ValueError(f"{name}, line {number}: the text is empty; every line needs one")
    numbers, texts, labels = (list(column) for column in zip(*rows))
    return texts, labels, numbers


def _checked(row, where):
    """(text, label or None) of an object of a .jsonl file."""
    if "text" not in row:
        raise ValueError(f"{where}: an object with the key `text` is needed; its keys are {sorted(row)}")
    if not isinstance(row["text"], str):
        raise ValueError(f"{where}: `text` is a {type(row['text']).__name__}; it must be a string")
    label = row.get("label")
    is_number = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**31
    if not (is_number or isinstance(label, str | None)):
        raise ValueError(f"{where}: `label` is {label!r}; it must be a name or a whole number 0, 1, ...")
    return row["text"], label


def _label_ids(labels, lines, path):
    """(int [N] with -1 where there are none, class names or None)."""
    kinds = {type(label) for label in labels}
    if kinds == {type(None)}:
        return np.full(len(labels), -1), None
    if len(kinds) > 1:
        first = next(n for n, label in enumerate(labels) if type(label) is not type(labels[0]))
        raise ValueError(
            f"{path}, line {lines[first]}: `label` is {labels[first]!r}, but that of line {lines[0]} is {labels[0]!r}; "
            "give all lines a number, or all a name, or none a label"
        )
    if kinds == {int}:
        return np.array(labels), None
    names = sorted(set(labels))
    ids = {name: i for i, name in enumerate(names)}
    return np.array([ids[label] for label in labels]), names


def _bundled(file, fields, max_length, tokenizer, limit) -> Splits:
    """Texts of a bundled file. `fields`: (what is evaluated and found, what is trained on with it and asks for it)."""
    data = json.loads(gzip.decompress(file.read_bytes()))
    names, encode = data["class_names"], load_tokenizer(tokenizer).encode_batch
    train, test = ({k: np.array(v) for k, v in data[part].items()} for part in ("train", "test"))
    rows = {"train": slice(None), "test": slice(None)}
    if limit is not None:
        per_class = 2 * len(names)
        if limit % per_class or not per_class <= limit <= 2 * len(train["label"]):
            raise ValueError(f"data.limit={limit}: must be a multiple of {per_class} in {per_class} .. 10000")
        rows["train"] = _balanced(train["label"], limit // per_class)
        rows["test"] = _balanced(test["label"], max(1, limit // 5 // len(names)))
    train = {k: v[rows["train"]] for k, v in train.items()}
    # Interleaved: both texts of one thing are neighbours.
    texts = np.stack([train[field] for field in fields], axis=1).reshape(-1)
    arrays = {**encode(texts, max_length=max_length), "label": np.repeat(train["label"], 2)}
    target, query = (encode(test[field], max_length=max_length) for field in fields)
    pairs = np.array(data["similarity"])
    left, right = pairs[:, 0].astype(int), pairs[:, 1].astype(int)
    extra = {
        "retrieval": {"query": _rows(query, rows["test"]), "target": _rows(target, rows["test"])},
        "similarity": {
            "left": _rows(target, left),
            "right": _rows(target, right),
            "score": pairs[:, 2].astype(np.float32),
        },
    }
    held = {**_rows(target, rows["test"]), "label": test["label"][rows["test"]]}
    where = file.name.split(".")[0]
    return Splits(_source(arrays, names, {}, f"{where} train"), _source(held, names, extra, f"{where} test"))


def _balanced(labels, count):
    """Rows of the first `count` examples of every class, in order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


def _rows(arrays, rows):
    return {key: value[rows] for key, value in arrays.items()}


def _source(arrays, names, extra, where) -> Source:
    return dataclasses.replace(from_arrays(arrays, class_names=names, where=where), extra=extra)
