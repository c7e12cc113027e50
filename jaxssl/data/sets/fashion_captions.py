"""Captions made by rules for the bundled images of Fashion-MNIST."""

import dataclasses

import numpy as np

from jaxssl.data.captions import check_max_length, fill, groups_of, make_prompts, tokenize
from jaxssl.data.sets.fashion_mnist_12k import fashion_mnist_12k
from jaxssl.data.source import Splits, from_arrays

# The generated part of the data, as tables name it.
GENERATED = "captions made by rules"

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


def fashion_captions(*, max_length: int = 48, seed: int = 0, limit: int | None = None) -> Splits:
    """The 12,000 bundled images of Fashion-MNIST, each with a caption made from its class and its pixels.

    A caption is one of 20 templates around '[size] [tone] name': one of three names of the class, and with a chance of
    0.6 each the size (area of the foreground) and the tone (its mean brightness), in thirds, measured from the image:
    "a product shot of a small dark ankle boot.". The draws depend on `seed` and on the number of images only.
    Prompts (see the module) are `UNSEEN_TEMPLATES` around the first name of each class; no caption uses these.
    `meaning` int32 [N]: equal for captions that say the same in other words; for evaluators only.

    Args:
      max_length: tokens of a caption, start and end included; longer ones are cut off.
      limit: as in `data.sets.fashion_mnist_12k`.
      seed: of the draws.
    """
    check_max_length(max_length)
    parts = fashion_mnist_12k(limit=limit).sources()
    written = {
        split: caption_images(source.arrays["image"], source.arrays["label"], np.random.default_rng([seed, i]))
        for i, (split, source) in enumerate(parts.items())
    }
    groups = groups_of([texts for texts, _ in written.values()])
    prompts, prompt_length = make_prompts([names[0] for names in SYNONYMS], UNSEEN_TEMPLATES, max_length)
    sources = []
    for (split, source), group in zip(parts.items(), groups):
        texts, meaning = written[split]
        tokens, length = tokenize(texts, max_length)
        arrays = {**source.arrays, "tokens": tokens, "length": length, "group": group, "meaning": meaning}
        captioned = from_arrays(arrays, class_names=source.class_names, where=f"Fashion-MNIST {split}")
        sources.append(dataclasses.replace(captioned, extra={"prompts": prompts, "prompt_length": prompt_length}))
    return Splits(*sources)


def caption_images(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
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


def measure(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(size, tone) of uint8 images [N, H, W, 1], each 0, 1 or 2: small to large, dark to bright."""
    x = images[..., 0] / np.float32(255)
    seen = x > FOREGROUND
    area = seen.mean((1, 2))
    brightness = (x * seen).sum((1, 2)) / np.maximum(seen.sum((1, 2)), 1)
    return np.digitize(area, SIZE_BOUNDS), np.digitize(brightness, TONE_BOUNDS)


def _pick(words, u):
    return words[int(u * len(words))]
