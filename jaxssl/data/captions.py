"""Images with captions: generated ones for Fashion-MNIST, and pairs of one's own from a .jsonl file.

Arrays of both: `image` uint8 [N, H, W, C], `tokens` int32 [N, L], `length` int32 [N] (tokens that are no padding),
`group` int32 [N] (equal for equal captions, train and test alike), `label`, `index`. Extra: `prompts` int32 [K, P, L]
and `prompt_length` int32 [K, P], P sentences for each of the K classes, where the classes have names.
"""

import dataclasses
import itertools
from pathlib import Path

import numpy as np

from jaxssl.data.decode import MAX_PIXELS, decoder
from jaxssl.data.fashion_mnist import fashion_mnist_12k
from jaxssl.data.reading import MAX_EXAMPLE_MB, read_bytes, read_jsonl
from jaxssl.data.source import Splits, from_arrays
from jaxssl.names import shown

PAD, START, END = 0, 257, 258
VOCAB_SIZE = 259  # padding, 256 bytes, start, end

# In the order of the classes of Fashion-MNIST; the first name is also that of the prompts.
SYNONYMS = (
    ("t-shirt", "tee", "top"),
    ("trousers", "pants", "slacks"),
    ("pullover", "sweater", "jumper"),
    ("dress", "gown", "frock"),
    ("coat", "overcoat", "parka"),
    ("sandal", "open shoe", "slipper"),
    ("shirt", "blouse", "button-up"),
    ("sneaker", "trainer", "gym shoe"),
    ("bag", "handbag", "purse"),
    ("ankle boot", "boot", "bootie"),
)
PLURAL = ("trousers", "pants", "slacks")
SIZES = (("small", "little"), ("",), ("large", "big"))  # small, medium, large
TONES = (("dark", "black"), ("grey",), ("bright", "white"))
# Thirds of the bundled training images: share of pixels above 0.1, and the mean of those.
SIZE_BOUNDS, TONE_BOUNDS, FOREGROUND = (0.36, 0.54), (0.56, 0.72), 0.1
ATTRIBUTE_RATE = 0.6

# {a}: the thing with its article; {n}: without.
TEMPLATES = (
    "a photo of {a}.",
    "a picture of {a}.",
    "a close-up of {a}.",
    "a snapshot of {a}.",
    "a drawing of {a}.",
    "a blurry photo of {a}.",
    "a grainy photo of {a}.",
    "a product shot of {a}.",
    "a photo of the {n}.",
    "a picture of one {n}.",
    "the {n}.",
    "{a}.",
    "{a} from the shop.",
    "{a}, front view.",
    "here is {a}.",
    "we see {a}.",
    "there is {a}.",
    "look at the {n}!",
    "fashion item: {n}.",
    "in stock: {a}.",
)
UNSEEN_TEMPLATES = (
    "an image of {a}.",
    "this is {a}.",
    "a good photo of my {n}.",
    "{a} for sale.",
    "new in our store: the {n}.",
    "the picture shows {a}.",
    "what you see is {a}.",
    "a cropped image of the {n}.",
)
# For classes of one's own, of which nothing is known but the name.
PLAIN_TEMPLATES = ("a photo of {a}.", "a picture of {a}.", "an image of the {n}.", "{n}")


def fashion_captions(*, max_length: int = 48, seed: int = 0, limit: int | None = None) -> Splits:
    """The 12,000 bundled images of Fashion-MNIST, each with a caption made of what is known and seen of it.

    A caption is one of 20 templates around '[size] [tone] name': one of three names of the class, and with a chance of
    0.6 each the size (area of the foreground) and the tone (its mean brightness), in thirds, measured from the image:
    "a product shot of a small dark ankle boot.". The draws depend on `seed` and on the number of images only.
    Prompts (see the module) are `UNSEEN_TEMPLATES` around the first name of each class; no caption uses these.
    `meaning` int32 [N]: equal for captions that say the same in other words; for evaluators only.

    max_length: tokens of a caption, start and end included; longer ones are cut off.
    limit: as in `data.fashion_mnist.fashion_mnist_12k`.
    """
    check_max_length(max_length)
    parts = fashion_mnist_12k(limit=limit).sources()
    written = {
        split: caption_images(source.arrays["image"], source.arrays["label"], np.random.default_rng([seed, i]))
        for i, (split, source) in enumerate(parts.items())
    }
    groups = _groups([texts for texts, _ in written.values()])
    prompts, prompt_length = make_prompts([names[0] for names in SYNONYMS], UNSEEN_TEMPLATES, max_length)
    sources = []
    for (split, source), group in zip(parts.items(), groups):
        texts, meaning = written[split]
        tokens, length = tokenize(texts, max_length)
        arrays = {**source.arrays, "tokens": tokens, "length": length, "group": group, "meaning": meaning}
        captioned = from_arrays(arrays, class_names=source.class_names, where=f"Fashion-MNIST {split}")
        sources.append(dataclasses.replace(captioned, extra={"prompts": prompts, "prompt_length": prompt_length}))
    return Splits(*sources)


def pairs(
    *,
    path: str | None = None,
    image_size: int = 64,
    channels: int = 3,
    max_length: int = 64,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
    max_file_mb: float = MAX_EXAMPLE_MB,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """Images and captions of one's own, all in memory.

    path: a .jsonl file with an object a line: `image` (a file, relative to the .jsonl), `caption`, and optionally
        `label` (the name of a class, or a number from 0 on; null for none). All labels must be of one kind.
    image_size, channels: the centre square of each image is resized to this size; 3 = RGB, 1 = grey.
    max_length: tokens of a caption, start and end included; longer ones are cut off.
    test_fraction: share of the pairs that only the evaluation sees, drawn with `seed`; 0: none.
    limit: the first so many pairs only.
    max_file_mb: a larger file is refused. max_pixels: so is an image of a larger width times height.

    With names of classes there are prompts for them. Without a test set, or labels, evaluators that need them are
    skipped.
    Raises: ValueError naming file and line, before anything is trained, for a line that is not JSON, a missing key, an
    empty caption, an image that is missing or unreadable, labels of two kinds; and for options.
    """
    check_max_length(max_length)
    if not 0 <= test_fraction < 1:
        raise ValueError(f"data.test_fraction={test_fraction}: must lie in 0 .. 1, below 1")
    if not isinstance(image_size, int) or image_size < 1 or channels not in (1, 3):
        raise ValueError(
            f"data.image_size={image_size}, data.channels={channels}: a size of at least 1, 1 or 3 channels"
        )
    file = _existing_file(path)
    rows = _read_rows(file, limit, max_file_mb)
    label, class_names = _labels(shown(file), rows)
    decode = decoder(image_size, channels, max_pixels=max_pixels)
    images = np.stack([_read_image(file, line, row["image"], decode, max_file_mb) for line, row in rows])
    texts = [row["caption"] for _, row in rows]
    tokens, length = tokenize(texts, max_length)
    arrays = dict(image=images, tokens=tokens, length=length, group=_groups([texts])[0], label=label)
    names, extra = [row["image"] for _, row in rows], {}
    if class_names:
        extra["prompts"], extra["prompt_length"] = make_prompts(class_names, PLAIN_TEMPLATES, max_length)
    order = np.random.default_rng(seed).permutation(len(rows))
    count = round(test_fraction * len(rows))
    if count == len(rows):
        raise ValueError(
            f"{shown(file)}: {len(rows)} pairs; with data.test_fraction={test_fraction} none is left to train on"
        )

    def part(ids):
        source = from_arrays({k: v[ids] for k, v in arrays.items()}, class_names=class_names, where=str(file))
        return dataclasses.replace(source, names=lambda rows: [names[ids[i]] for i in rows], extra=extra)

    return Splits(part(np.sort(order[count:])), part(np.sort(order[:count])) if count else None)


def tokenize(texts, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32 [N, max_length], length int32 [N]): start, the bytes of the text, end, padding.

    A byte b is token b + 1. Where a text is too long its last bytes go, the end stays. In this module only this
    function, `detokenize`, VOCAB_SIZE and check_max_length know what a token is.
    """
    tokens = np.full((len(texts), max_length), PAD, np.int32)
    length = np.empty(len(texts), np.int32)
    for row, text in enumerate(texts):
        ids = np.frombuffer(text.encode(), np.uint8)[: max_length - 2].astype(np.int32) + 1
        length[row] = len(ids) + 2
        tokens[row, : length[row]] = START, *ids, END
    return tokens, length


def detokenize(tokens) -> str:
    """The text of one row of tokens; bytes of a character that was cut are left out."""
    return bytes(int(t) - 1 for t in tokens if PAD < t < START).decode(errors="ignore")


def check_max_length(max_length):
    """Raises ValueError unless a start, an end and something between them fit."""
    if not isinstance(max_length, int) or max_length < 3:
        raise ValueError(f"data.max_length={max_length}: must be a whole number of at least 3 tokens")


def make_prompts(names, templates, max_length: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens int32 [K, P, L], length int32 [K, P]) of P templates around K names."""
    tokens, length = tokenize([fill(t, name) for name in names for t in templates], max_length)
    return tokens.reshape(len(names), len(templates), -1), length.reshape(len(names), len(templates))


def fill(template: str, thing: str) -> str:
    """A template around a thing, with its article where the template wants one."""
    article = "" if thing.split(" ")[-1] in PLURAL else "an " if thing[:1].lower() in tuple("aeiou") else "a "
    return template.format(a=article + thing, n=thing)


def caption_images(images, labels, rng) -> tuple[list[str], np.ndarray]:
    """(captions, meaning int32 [N]) of uint8 images [N, H, W, 1]; see `fashion_captions`."""
    size, tone = measure(images)
    count = len(images)
    draw = lambda: rng.random(count)
    template, name, word_size, word_tone = draw(), draw(), draw(), draw()
    size = np.where(draw() < ATTRIBUTE_RATE, size, 1)
    tone = np.where(draw() < ATTRIBUTE_RATE, tone, -1)
    texts = []
    for i in range(count):
        words = (
            _pick(SIZES[size[i]], word_size[i]),
            _pick(TONES[tone[i]], word_tone[i]) if tone[i] >= 0 else "",
            _pick(SYNONYMS[labels[i]], name[i]),
        )
        texts.append(fill(_pick(TEMPLATES, template[i]), " ".join(w for w in words if w)))
    return texts, ((labels * 3 + size) * 4 + tone + 1).astype(np.int32)


def measure(images) -> tuple[np.ndarray, np.ndarray]:
    """(size, tone) of uint8 images [N, H, W, 1], each 0, 1 or 2: small to large, dark to bright."""
    x = images[..., 0] / np.float32(255)
    seen = x > FOREGROUND
    area = seen.mean((1, 2))
    brightness = (x * seen).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1)
    return np.digitize(area, SIZE_BOUNDS), np.digitize(brightness, TONE_BOUNDS)


def _pick(words, u):
    return words[int(u * len(words))]


def _groups(parts):
    """int32 numbers for lists of texts, one list of numbers each: equal texts get equal numbers."""
    numbers = {text: i for i, text in enumerate(dict.fromkeys(text for texts in parts for text in texts))}
    return [np.array([numbers[text] for text in texts], np.int32) for texts in parts]


def _existing_file(path):
    if not path:
        raise ValueError("data.pairs needs a file: --data PAIRS.jsonl with an `image` and a `caption` on each line")
    file = Path(path)
    if not file.is_file():
        raise ValueError(
            f"data.path='{shown(path)}' is not a file; a .jsonl with `image` and `caption` on each line is right"
        )
    return file


def _read_rows(file, limit, max_file_mb):
    """[(line number, row)] of all lines that are not blank."""
    rows = []
    for number, row in itertools.islice(read_jsonl(file, max_file_mb), None if limit is None else max(limit, 0)):
        for key in ("image", "caption"):
            if key not in row:
                raise ValueError(f"{shown(file)}, line {number}: no key `{key}`, only {sorted(row)}")
            if not isinstance(row[key], str) or not row[key].strip():
                raise ValueError(
                    f"{shown(file)}, line {number}: `{key}` is {row[key]!r}; it must be a text that is not empty"
                )
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{shown(file)} holds no pairs; one JSON object a line would be right")
    return rows


def _labels(file, rows):
    """(int32 [N], class names or None)."""
    given = [(line, row.get("label")) for line, row in rows]
    kinds = {}
    for line, value in given:
        if value is None:
            continue
        is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
        if not is_number and not (isinstance(value, str) and value.strip()):
            raise ValueError(
                f"{file}, line {line}: `label` is {value!r}; the name of a class, a number from 0 on, or null is right"
            )
        kinds.setdefault(int if is_number else str, line)
    if len(kinds) > 1:
        raise ValueError(
            f"{file}: `label` is a number in line {kinds[int]} and a name in line {kinds[str]}; take one kind"
        )
    if str in kinds:
        names = tuple(sorted({value for _, value in given if value is not None}))
        return np.array([-1 if v is None else names.index(v) for _, v in given], np.int32), names
    return np.array([-1 if v is None else v for _, v in given], np.int32), None


def _read_image(file, line, name, decode, max_file_mb):
    image = file.parent / name
    try:
        return decode(read_bytes(image, max_file_mb), image)
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise ValueError(f"{shown(file)}, line {line}: image '{shown(image)}' cannot be read: {reason}") from error
