"""Generated captions, pairs from a file, and their views."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxssl.augment import image as image_views
from jaxssl.augment import image_text
from jaxssl.data import captions
from jaxssl.data.captions import END, PAD, START, detokenize, tokenize
from jaxssl.data.readers.pairs import pairs
from jaxssl.data.sets.fashion_captions import (
    SIZES,
    SYNONYMS,
    TEMPLATES,
    TONES,
    UNSEEN_TEMPLATES,
    fashion_captions,
    measure,
)


@pytest.fixture(scope="module")
def splits():
    return fashion_captions(limit=1000)


@pytest.fixture(scope="module")
def texts(splits):
    return [detokenize(t) for t in splits.train.arrays["tokens"]]


def test_tokens_are_bytes_between_a_start_and_an_end_that_is_never_cut_off():
    tokens, length = tokenize(["ab", "", "abcdef", "é"], 6)
    expected = [
        [START, 98, 99, END, PAD, PAD],
        [START, END, PAD, PAD, PAD, PAD],
        [START, 98, 99, 100, 101, END],
        [START, 0xC3 + 1, 0xA9 + 1, END, PAD, PAD],
    ]
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(length, [4, 2, 6, 4])
    assert tokens.dtype == length.dtype == np.int32 and END == captions.VOCAB_SIZE - 1


def test_captions_are_the_same_every_time_and_others_with_another_seed(splits):
    again, other = fashion_captions(limit=1000), fashion_captions(limit=1000, seed=1)
    for split, source in splits.sources().items():
        for name, value in source.arrays.items():
            np.testing.assert_array_equal(again.sources()[split].arrays[name], value)
        assert (other.sources()[split].arrays["tokens"] != source.arrays["tokens"]).any()
    train, test = splits
    assert (train.size, test.size, train.num_classes) == (1000, 200, 10)
    assert not np.array_equal(train.arrays["tokens"][:200], test.arrays["tokens"])


def test_captions_name_the_class_and_no_other_and_are_never_cut_off(splits, texts):
    arrays = splits.train.arrays
    assert arrays["length"].max() <= 48 and all(t[-1] in ".!" for t in texts)
    for text, label in zip(texts, arrays["label"]):
        own = [n for n in SYNONYMS[label] if text.find(n) >= 0]
        assert own, text
        words = " ".join(w for w in text.replace(".", " ").replace("!", " ").replace(",", " ").split())
        others = {n for c, names in enumerate(SYNONYMS) if c != label for n in names}
        longest = max(own, key=len)
        assert not any(f" {n} " in f" {words.replace(longest, '')} " for n in others), text


def test_all_templates_and_names_occur_and_no_unseen_template_does(texts):
    joined = "\n".join(texts)
    for template in TEMPLATES:
        parts = [p for p in template.replace("{a}", "|").replace("{n}", "|").split("|") if len(p) > 1]
        assert all(p in joined for p in parts), template
    assert all(name in joined for names in SYNONYMS for name in names)
    assert not set(UNSEEN_TEMPLATES) & set(TEMPLATES)
    for start in ("an image of", "this is", "a good photo", "new in our", "the picture shows", "what you see"):
        assert start not in joined
    assert " a a" not in joined and " an trousers" not in joined and "a trousers" not in joined
    assert "an ankle boot" in joined and "  " not in joined


def test_attributes_are_measured_from_the_image(splits, texts):
    image = np.zeros((3, 10, 10, 1), np.uint8)
    image[0, :2], image[1, :5], image[2] = 60, 160, 250
    size, tone = measure(image)
    np.testing.assert_array_equal(size, [0, 1, 2])
    np.testing.assert_array_equal(tone, [0, 1, 2])
    size, tone = measure(splits.train.arrays["image"])
    assert np.bincount(size, minlength=3).min() > 200 and np.bincount(tone, minlength=3).min() > 200
    for words, value, level in (
        (SIZES[0], size, 0), (SIZES[2], size, 2),
        (TONES[0], tone, 0), (TONES[1], tone, 1), (TONES[2], tone, 2),
    ):  # fmt: skip
        said = np.array([any(f" {w} " in f" {t}" for w in words) for t in texts])
        assert said.sum() > 50 and (value[said] == level).all()


def test_groups_are_equal_captions_and_meanings_hold_several(splits):
    (train, test), text = splits, {}
    for source in (train, test):
        for tokens, group, meaning in zip(*(source.arrays[n] for n in ("tokens", "group", "meaning"))):
            assert text.setdefault(int(group), (detokenize(tokens), int(meaning))) == (detokenize(tokens), int(meaning))
    assert len({t for t, _ in text.values()}) == len(text)
    assert len(set(train.arrays["meaning"])) < len(set(train.arrays["group"])) / 4


def test_prompts_are_unseen_templates_around_each_class(splits):
    prompts, length = (splits.test.extra[n] for n in ("prompts", "prompt_length"))
    assert prompts.shape == (10, len(UNSEEN_TEMPLATES), 48) and length.shape == prompts.shape[:2]
    np.testing.assert_array_equal((prompts != PAD).sum(-1), length)
    assert detokenize(prompts[9, 0]) == "an image of an ankle boot."
    assert detokenize(prompts[1, 3]) == "trousers for sale."


def test_views_crop_the_image_and_leave_the_text(splits):
    batch = splits.train.fetch(np.arange(6))
    statistics = dict(mean=(0.3,), std=(0.4,))
    made = jax.jit(image_text.clip(size=20, **statistics))(jax.random.key(0), batch)
    (view,) = made["views"]
    assert view["image"].shape == (6, 20, 20, 1) and set(view) == {"image", "tokens", "mask"}
    np.testing.assert_array_equal(view["tokens"], batch["tokens"])
    np.testing.assert_array_equal(view["mask"].sum(1), batch["length"])
    assert set(made) == {"views", "label", "index", "group", "meaning"}
    again = image_text.clip(size=20, **statistics)(jax.random.key(1), batch)["views"][0]
    assert np.abs(again["image"] - view["image"]).max() > 0.1

    x = image_text.plain(size=20, **statistics)(None, batch)["x"]
    np.testing.assert_allclose(x["image"], image_views.plain(size=20, **statistics)(None, batch)["x"], rtol=1e-6)
    only = image_text.plain(**statistics)(None, {"image": batch["image"]})["x"]
    assert set(only) == {"image"}
    with pytest.raises(ValueError, match="no 'tokens'"):
        image_text.clip(size=20, **statistics)(jax.random.key(0), {"image": batch["image"]})


def write(folder, rows):
    file = folder / "pairs.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return str(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "sub").mkdir()
    for i in range(10):
        Image.fromarray(np.full((12 + i, 16, 3), 20 * i, np.uint8)).save(folder / "sub" / f"{i}.png")
    (folder / "notes.png").write_text("no image")
    return folder


def rows_of(labels):
    return [{"image": f"sub/{i}.png", "caption": f"picture {i % 4}", "label": label} for i, label in enumerate(labels)]


def test_pairs_are_read_with_their_labels_and_split(folder):
    path = write(folder, [*rows_of(["red", None, "blue"] * 3), "", {"image": "sub/9.png", "caption": "last"}])
    train, test = pairs(path=path, image_size=8, max_length=20, test_fraction=0.3)
    assert (train.size, test.size, train.class_names) == (7, 3, ("blue", "red"))
    assert train.arrays["image"].shape == (7, 8, 8, 3)
    seen = {}
    for source in (train, test):
        a = source.arrays
        for name, image, tokens, label, group in zip(
            source.names(np.arange(source.size)), a["image"], a["tokens"], a["label"], a["group"]
        ):
            seen[name] = (int(image.mean()), detokenize(tokens), int(label), int(group))
    assert len(seen) == 10
    for i in range(9):
        grey, text, label, group = seen[f"sub/{i}.png"]
        assert (grey, text, label) == (20 * i, f"picture {i % 4}", (1, -1, 0)[i % 3])
        assert group == seen[f"sub/{i % 4}.png"][3]
    assert seen["sub/9.png"][1:3] == ("last", -1)
    assert detokenize(train.extra["prompts"][0, 0]) == "a photo of a blue." and train.extra["prompts"].shape[:2] == (
        2,
        4,
    )

    numbered = pairs(path=write(folder, rows_of([2, 0, 1, None])), image_size=8, channels=1, test_fraction=0, limit=3)
    assert numbered.test is None and numbered.train.arrays["image"].shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(numbered.train.arrays["label"], [2, 0, 1])
    assert not numbered.train.extra


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"image": "sub/1.png", ', "line 2: not JSON"),
        ('["sub/1.png", "a"]', "line 2: .* is no object"),
        ({"image": "sub/1.png"}, "line 2: no key `caption`, only .*'image'"),
        ({"caption": "a"}, "line 2: no key `image`"),
        ({"image": "sub/1.png", "caption": "  "}, "line 2: `caption` is '  '"),
        ({"image": "sub/1.png", "caption": 3}, "line 2: `caption` is 3"),
        ({"image": "sub/77.png", "caption": "a"}, "line 2: image '.*sub/77.png' cannot be read: there is no such file"),
        ({"image": "notes.png", "caption": "a"}, "line 2: image '.*notes.png' cannot be read"),
        ({"image": "sub", "caption": "a"}, "line 2: image '.*sub' cannot be read"),
        ({"image": "sub/1.png", "caption": "a", "label": -4}, "line 2: `label` is -4"),
        ({"image": "sub/1.png", "caption": "a", "label": 1}, "line 2: `label` is 1, but that of line 1 is 'red'"),
    ],
)
def test_bad_lines_are_named_with_file_and_line(folder, line, message):
    path = write(folder, [{"image": "sub/0.png", "caption": "a", "label": "red"}, line])
    with pytest.raises(ValueError, match=message) as error:
        pairs(path=path, image_size=8)
    assert "pairs.jsonl" in str(error.value)


def test_bad_files_and_options_are_named(folder, tmp_path):
    good = write(folder, rows_of([0, 1]))
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    for options, message in (
        (dict(path=""), "--data PAIRS.jsonl"),
        (dict(path=str(folder)), "is not a file"),
        (dict(path=str(tmp_path / "empty.jsonl")), "holds no pairs"),
        (dict(path=str(tmp_path / "bytes.jsonl")), "not UTF-8"),
        (dict(path=good, test_fraction=1.0), "data.test_fraction=1.0"),
        (dict(path=good, test_fraction=0.9), "none is left to train on"),
        (dict(path=good, channels=2), "data.channels=2"),
        (dict(path=good, max_length=2), "data.max_length=2"),
    ):
        with pytest.raises(ValueError, match=message):
            pairs(**options)
