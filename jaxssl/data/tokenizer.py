"""Byte-level byte-pair tokenizer: text <-> ids, learned from texts, saved as JSON; pure Python and NumPy."""

import collections
import functools
import heapq
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxssl.data.reading import read_text
from jaxssl.names import shown
from jaxssl.ops.tokens import CLS, PAD, SEP, SPECIAL

NUM_BASE = len(SPECIAL) + 256
MAX_TOKEN = (
    2**16
)  # bytes; otherwise 40 merges, each of the previous token with itself, would make a token of a terabyte
MAX_TOKENIZER_MB = 256.0
DEFAULT_FILE = Path(__file__).parent / "files" / "tokenizer_4096.json"

# Words with the space before them, runs of other signs, runs of white space. Together they are the whole text.
_PIECES = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\w\s]|_)+|\s+")


class Tokenizer:
    """Ids 0 ... 5 are the special tokens of `SPECIAL`, the next 256 the bytes, the others merges of two earlier ids.

    A text is cut into words, numbers, signs and white space; within a piece, the merge learned first is made first.
    Every text has an encoding, and `decode(encode(text)) == text`.

    merges: pairs of ids; merge k makes the id NUM_BASE + k.
    Raises: ValueError for a merge that names an id which does not exist yet.
    """

    def __init__(self, merges: Iterable[tuple[int, int]] = ()):
        self.merges = [(int(a), int(b)) for a, b in merges]
        self.bytes = [b""] * len(SPECIAL) + [bytes([i]) for i in range(256)]
        for k, pair in enumerate(self.merges):
            if not all(len(SPECIAL) <= i < NUM_BASE + k for i in pair):
                raise ValueError(
                    f"tokenizer: merge {k} is {pair}, but only ids {len(SPECIAL)} .. {NUM_BASE + k - 1} exist"
                )
            self.bytes.append(self.bytes[pair[0]] + self.bytes[pair[1]])
            if len(self.bytes[-1]) > MAX_TOKEN:
                raise ValueError(f"tokenizer: merge {k} makes a token of more than {MAX_TOKEN} bytes")
        self._ranks = {pair: NUM_BASE + k for k, pair in enumerate(self.merges)}
        self._piece = functools.lru_cache(maxsize=2**16)(self._encode_piece)

    @property
    def vocab_size(self) -> int:
        """Number of ids."""
        return len(self.bytes)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without special tokens."""
        return [i for piece in _PIECES.findall(text) for i in self._piece(piece)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens are left out, and broken UTF-8 shows as U+FFFD."""
        return b"".join(self.bytes[int(i)] for i in ids).decode("utf-8", errors="replace")

    def encode_batch(
        self, texts: Sequence[str], *, max_length: int, first: int = CLS, last: int = SEP
    ) -> dict[str, np.ndarray]:
        """Texts as padded arrays: {'tokens': int32 [N, max_length], 'length': int32 [N]}.

        A row is `first`, the ids of the text, `last`, then padding. Longer texts are cut; `last` stays.

        Args:
          first, last: CLS and SEP, or START and END for a text tower that reads the end token.
        """
        if max_length < 3:
            raise ValueError(
                f"max_length={max_length}: must be at least 3, for a token between the first and the last."
            )
        tokens = np.full((len(texts), max_length), PAD, np.int32)
        length = np.zeros(len(texts), np.int32)
        for row, text in enumerate(texts):
            ids = [first, *self.encode(text)[: max_length - 2], last]
            tokens[row, : len(ids)], length[row] = ids, len(ids)
        return {"tokens": tokens, "length": length}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the tokenizer as JSON."""
        content = {"kind": "byte-pair", "special": SPECIAL, "merges": self.merges}
        Path(path).write_text(json.dumps(content, separators=(",", ":")) + "\n")

    def _encode_piece(self, piece):
        ids = [len(SPECIAL) + b for b in piece.encode("utf-8")]
        while len(ids) > 1:
            pairs = list(zip(ids, ids[1:]))
            best = min(pairs, key=lambda pair: self._ranks.get(pair, self.vocab_size))
            if best not in self._ranks:
                break
            ids = _merged(ids, best, self._ranks[best])
        return tuple(ids)


def train_tokenizer(texts: Iterable[str], *, vocab_size: int) -> Tokenizer:
    """Learns merges from texts: always the most frequent pair of neighbours, and the lowest ids among equals.

    The same texts give the same tokenizer. It has fewer than `vocab_size` ids where the texts run out of pairs.

    Raises:
      ValueError: for a vocab_size below NUM_BASE.

    Source: Sennrich, Haddow, Birch, Neural Machine Translation of Rare Words with Subword Units, 2016,
    arXiv:1508.07909, https://arxiv.org/abs/1508.07909; on bytes as in Radford et al., Language Models are Unsupervised
    Multitask Learners, 2019
    """
    if vocab_size < NUM_BASE:
        raise ValueError(f"vocab_size={vocab_size}: must be at least {NUM_BASE}, the bytes and the special tokens.")
    pieces = collections.Counter(piece for text in texts for piece in _PIECES.findall(text))
    words = [([len(SPECIAL) + b for b in piece.encode("utf-8")], count) for piece, count in sorted(pieces.items())]
    counts, places = collections.Counter(), collections.defaultdict(set)
    for w, (ids, count) in enumerate(words):
        for pair in zip(ids, ids[1:]):
            counts[pair] += count
            places[pair].add(w)
    # Counts in the heap may be out of date; an entry counts only if it agrees with `counts`.
    heap, merges = [(-count, pair) for pair, count in counts.items()], []
    heapq.heapify(heap)
    while heap and NUM_BASE + len(merges) < vocab_size:
        count, best = heapq.heappop(heap)
        if -count != counts[best] or not count:
            continue
        new, changed = NUM_BASE + len(merges), set()
        merges.append(best)
        for w in places.pop(best):
            ids, count = words[w]
            fresh = _merged(ids, best, new)
            for pair in zip(ids, ids[1:]):
                counts[pair] -= count
                changed.add(pair)
            for pair in zip(fresh, fresh[1:]):
                counts[pair] += count
                places[pair].add(w)
                changed.add(pair)
            words[w] = fresh, count
        for pair in changed - {best}:
            if counts[pair] > 0:
                heapq.heappush(heap, (-counts[pair], pair))
        del counts[best]
    return Tokenizer(merges)


def load_tokenizer(path: str | os.PathLike | None = None) -> Tokenizer:
    """The tokenizer of a JSON file, or with None the one that comes with the package (4,096 ids).

    Raises:
      FileNotFoundError, ValueError: naming the file and what does not fit.
    """
    file = Path(path) if path else DEFAULT_FILE
    if not file.exists():
        raise FileNotFoundError(f"tokenizer {shown(file)} does not exist; Tokenizer.save writes such a file")
    return _load(str(file), file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _load(path, _changed):
    text = read_text(path, MAX_TOKENIZER_MB)
    try:
        content = json.loads(text)
        if content["kind"] != "byte-pair" or tuple(content["special"]) != SPECIAL:
            raise ValueError(f"special tokens {content['special']}, expected {list(SPECIAL)}")
        return Tokenizer(content["merges"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"{shown(path)} is no tokenizer as Tokenizer.save writes it: {error}") from error


def _merged(ids, pair, new):
    """`ids` with every occurrence of `pair`, from the left, replaced by `new`."""
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out
