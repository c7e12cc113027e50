"""The tokenizer, the bundled texts, and texts of one's own."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxssl.data.readers.text import text
from jaxssl.data.sets.debian_descriptions import debian_descriptions, debian_training_texts
from jaxssl.data.sets.wordnet_glosses import wordnet_glosses
from jaxssl.data.tokenizer import NUM_BASE, Tokenizer, load_tokenizer, train_tokenizer
from jaxssl.ops.tokens import CLS, END, MASK, PAD, SEP, SPECIAL, START

TEXTS = [
    "",
    " ",
    "a",
    "back-up of  two\tfiles\r\n\n end ",
    "naïve café, 北京 und Ελλάδα",
    "emoji \U0001f600\U0001f468\u200d\U0001f469",
    "combining e\u0301 _under_score__ 0x1F 12.5%",
    "zero\x00byte and \x7f control",
    "".join(map(chr, range(1, 700))),
]


@pytest.fixture(scope="module", params=[debian_descriptions, wordnet_glosses], ids=["debian", "wordnet"])
def bundled(request):
    return request.param()


@pytest.mark.parametrize("tokenizer", [Tokenizer(), load_tokenizer()], ids=["bytes", "bundled"])
def test_round_trip(tokenizer):
    random = np.random.default_rng(0)
    wild = ["".join(chr(c) for c in random.integers(1, 0xD800, 50)) for _ in range(50)]
    for t in TEXTS + wild + debian_training_texts()[:200]:
        assert tokenizer.decode(tokenizer.encode(t)) == t


def test_merges_are_the_most_frequent_pairs():
    tokenizer = train_tokenizer(["abab ab", "abab"], vocab_size=NUM_BASE + 2)
    a, b = (len(SPECIAL) + ord(c) for c in "ab")
    assert tokenizer.merges == [(a, b), (NUM_BASE, NUM_BASE)]
    assert tokenizer.encode("ababab") == [NUM_BASE + 1, NUM_BASE]


def test_counts_kept_up_to_date_give_what_counting_anew_gives():
    """The heap of pair counts against the definition: count all pairs of all pieces before every merge."""
    texts = debian_training_texts()[:60]
    fast = train_tokenizer(texts, vocab_size=NUM_BASE + 60)
    for k in range(60):
        counts, known = {}, Tokenizer(fast.merges[:k])
        from jaxssl.data.tokenizer import _PIECES

        for t in texts:
            for piece in _PIECES.findall(t):
                ids = known.encode(piece)
                for pair in zip(ids, ids[1:]):
                    counts[pair] = counts.get(pair, 0) + 1
        assert fast.merges[k] == min(counts, key=lambda pair: (-counts[pair], pair))


def test_the_bundled_tokenizer_can_be_made_again_and_quickly():
    start = time.monotonic()
    made = train_tokenizer(debian_training_texts(), vocab_size=4096)
    assert time.monotonic() - start < 20
    assert made.merges == load_tokenizer().merges and made.vocab_size == 4096


def test_a_tokenizer_is_kept_in_json(tmp_path):
    made = train_tokenizer(["one two, one two", "one"], vocab_size=NUM_BASE + 3)
    made.save(tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").merges == made.merges
    few = train_tokenizer(["ab"], vocab_size=4096)
    assert few.vocab_size == NUM_BASE + 1
    with pytest.raises(ValueError, match="vocab_size"):
        train_tokenizer(["ab"], vocab_size=100)
    (tmp_path / "bad.json").write_text('{"kind": "byte-pair", "special": ["pad"], "merges": []}')
    with pytest.raises(ValueError, match="bad.json.*special"):
        load_tokenizer(tmp_path / "bad.json")
    with pytest.raises(FileNotFoundError, match="none.json"):
        load_tokenizer(tmp_path / "none.json")


def test_batches_are_framed_cut_and_padded():
    tokenizer = Tokenizer()
    batch = tokenizer.encode_batch(["ab", "abcdefgh"], max_length=6)
    ids = [len(SPECIAL) + ord(c) for c in "abcd"]
    assert batch["tokens"].tolist() == [[CLS, *ids[:2], SEP, PAD, PAD], [CLS, *ids, SEP]]
    assert batch["length"].tolist() == [4, 6]
    row = tokenizer.encode_batch(["a"], max_length=4, first=START, last=END)["tokens"][0].tolist()
    assert row == [START, ids[0], END, PAD]
    with pytest.raises(ValueError, match="max_length"):
        tokenizer.encode_batch(["a"], max_length=2)


def test_bundled_texts_are_balanced_and_disjoint(bundled):
    train, test = bundled
    assert (train.size, test.size, train.num_classes) == (10_000, 1_200, 20)
    assert np.bincount(train.arrays["label"]).tolist() == [500] * 20
    assert np.bincount(test.arrays["label"]).tolist() == [60] * 20
    tokens = {row.tobytes() for row in train.arrays["tokens"]}
    assert not any(row.tobytes() in tokens for row in test.arrays["tokens"])
    assert train.arrays["tokens"].dtype == np.int32 and train.arrays["length"].min() >= 3
    assert MASK not in train.arrays["tokens"]


def test_pairs_belong_to_the_test_texts(bundled, request):
    extra, tokens = bundled.test.extra, bundled.test.arrays["tokens"]
    np.testing.assert_array_equal(extra["retrieval"]["target"]["tokens"], tokens)
    rows = {row.tobytes() for row in tokens}
    pairs = extra["similarity"]
    assert all(row.tobytes() in rows for side in ("left", "right") for row in pairs[side]["tokens"])
    assert not (pairs["left"]["tokens"] == pairs["right"]["tokens"]).all(axis=1).any()
    score = pairs["score"]
    assert score.shape == (2000,) and score.dtype == np.float32 and 0 <= score.min() and 0.85 < score.max() <= 1
    if "debian" in request.node.callspec.id:
        assert 0.4 < (score == 0).mean() < 0.6
    else:
        np.testing.assert_allclose(np.quantile(score, (0.25, 0.5, 0.75)), (0.3, 0.5, 0.7), atol=0.03)


def test_nearness_of_nouns_is_that_of_the_hierarchy():
    """By hand on a small tree: twice the depth of what is above both, against that and the steps up to it."""
    tools = str(Path(__file__).parents[2] / "tools")
    sys.path.insert(0, tools)
    try:
        from make_wordnet_glosses import ancestors, similarity
    finally:
        sys.path.remove(tools)
    # entity > thing > (plant > (tree, herb), animal); the herb is also, two steps up, a medicine below the entity.
    above = dict(entity=[], thing=["entity"], plant=["thing"], tree=["plant"], animal=["thing"])
    above |= dict(medicine=["entity"], herb=["plant", "medicine"])
    synsets = {name: (None, None, None, up) for name, up in above.items()}
    up = {name: ancestors(synsets, name) for name in synsets}
    depth = {name: 1 + steps["entity"] for name, steps in up.items()}
    assert up["tree"] == dict(tree=0, plant=1, thing=2, entity=3)
    assert depth["herb"] == 3, "the shorter way up"
    nearness = lambda a, b: similarity(up[a], up[b], depth)
    assert nearness("tree", "tree") == 1
    assert nearness("tree", "herb") == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert nearness("tree", "animal") == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert nearness("medicine", "animal") == pytest.approx(2 * 1 / (2 * 1 + 1 + 2))


def test_a_part_of_the_bundled_texts():
    train, test = text(limit=400, max_length=16)
    assert train.arrays["tokens"].shape == (400, 16) and test.size == 80
    assert np.bincount(train.arrays["label"]).tolist() == [20] * 20
    with pytest.raises(ValueError, match="data.limit=30"):
        text(limit=30)


def test_texts_of_ones_own(tmp_path):
    lines = tmp_path / "mine.txt"
    lines.write_bytes("\ufefffirst line\r\nzweite Zeile\nthird".encode())
    train, test = text(path=str(lines))
    tokenizer = load_tokenizer()
    assert test is None and not train.has_labels
    assert [tokenizer.decode(r) for r in train.arrays["tokens"]] == ["first line", "zweite Zeile", "third"]
    assert train.names(np.array([2, 0])) == ["mine.txt:3", "mine.txt:1"]
    rows = tmp_path / "mine.jsonl"
    rows.write_text("".join(json.dumps({"text": f"text {i}", "label": "ba"[i % 2]}) + "\n" for i in range(10)))
    train, test = text(path=str(rows), test_fraction=0.2)
    assert (train.size, test.size, train.class_names, test.num_classes) == (8, 2, ("a", "b"), 2)
    numbers = [int(name.split(":")[1]) for s in (train, test) for name in s.names(np.arange(s.size))]
    assert sorted(numbers) == list(range(1, 11))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.txt", b"one\n\ntwo\n", "a.txt, line 2: the text is empty"),
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b"one\n\xff\xfe\n", "a.txt, line 2: not UTF-8"),
        ("a.csv", b"one\n", "a.csv.*must end in .txt"),
        ("a.jsonl", b'{"text": "one"}\n{"txt": "two"}\n', "line 2.*key `text`.*txt"),
        ("a.jsonl", b'{"text": "one"}\n{"text": " "}\n', "line 2: the text is empty"),
        ("a.jsonl", b'{"text": "one"}\ntwo\n', "line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "line 1.*list"),
        ("a.jsonl", b'{"text": 3}\n', "line 1: `text` is a int"),
        ("a.jsonl", b'{"text": "a", "label": -1}\n', "line 1: `label` is -1"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', "line 2: `label` is None"),
    ],
)
def test_bad_files_are_refused_by_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        text(path=str(tmp_path / name))


def test_bad_options_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt"):
        text(path=str(tmp_path / "none.txt"))
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(ValueError, match="test_fraction"):
        text(path=str(tmp_path / "a.txt"), test_fraction=1.0)
    with pytest.raises(ValueError, match="no training texts"):
        text(path=str(tmp_path / "a.txt"), limit=0)
