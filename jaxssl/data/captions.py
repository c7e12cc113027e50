"""What sources of images with captions share: tokens of bytes, prompts, and groups of equal captions.

Arrays of a source: `image` uint8 [N, H, W, C], `tokens` int32 [N, L], `length` int32 [N] (tokens before the padding),
`group` int32 [N] (equal for equal captions, train and test alike), `label`, `index`. Extra: `prompts` int32 [K, P, L]
and `prompt_length` int32 [K, P], P sentences for each of the K classes, where the classes have names.
"""

from collections.abc import Iterable, Sequence

import numpy as np

PAD, START, END = 0, 257, 258
VOCAB_SIZE = 259  # padding, 256 bytes, start, end

PLURAL = ("trousers", "pants", "slacks")


def tokenize(texts: Sequence[str], max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32 [N, max_length], length int32 [N]): start, the bytes of the text, end, padding.

    A byte b is token b + 1. A text that is too long loses its last bytes; the end token stays. Only this
    function, `detokenize`, VOCAB_SIZE and `check_max_length` know what a token is.
    """
    tokens = np.full((len(texts), max_length), PAD, np.int32)
    length = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts):
        ids = np.frombuffer(text.encode(), np.uint8)[: max_length - 2].astype(np.int32) + 1
        length[row] = len(ids) + 2
        tokens[row, : length[row]] = START, *ids, END
    return tokens, length


def detokenize(tokens: Iterable[int]) -> str:
    """The text of one row of tokens; bytes of a character that was cut are left out."""
    return bytes(int(t) - 1 for t in tokens if PAD < t < START).decode(errors="ignore")


def check_max_length(max_length: int) -> None:
    """Raises ValueError unless a start, an end and something between them fit."""
    if not isinstance(max_length, int) or max_length < 3:
        raise ValueError(f"data.max_length={max_length}: must be a whole number of at least 3 tokens.")


def make_prompts(names: Sequence[str], templates: Sequence[str], max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32 [K, P, L], length int32 [K, P]) of P templates around K names."""
    tokens, length = tokenize([fill(t, name) for name in names for t in templates], max_length)
    return tokens.reshape(len(names), len(templates), -1), length.reshape(len(names), len(templates))


def fill(template: str, thing: str) -> str:
    """A template around a thing, with its article where the template wants one."""
    article = "" if thing.split(" ")[-1] in PLURAL else "an " if thing[:1].lower() in tuple("aeiou") else "a "
    return template.format(a=article + thing, n=thing)


def groups_of(parts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """int32 numbers for lists of texts, one list of numbers each: equal texts get equal numbers."""
    numbers = {text: i for i, text in enumerate(dict.fromkeys(text for texts in parts for text in texts))}
    return [np.array([numbers[text] for text in texts], np.int32) for texts in parts]
