import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import text
from jaxssl.augment.text import mirror, plain, span_masked
from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.ops.tokens import MASK

LONG = "reads and writes many kinds of files on disk and tape"


@pytest.fixture(scope="module")
def batch():
    arrays = load_tokenizer().encode_batch([LONG] * 20 + ["short one"] * 4, max_length=24)
    return {**arrays, "label": np.arange(24), "index": np.arange(24)}


def test_one_view_is_whole_and_the_other_has_a_span_hidden(batch):
    augment = jax.jit(mirror(span=2, min_length=10))
    out = augment(jax.random.key(0), batch)
    (whole, hidden), length = out["views"], batch["length"]
    np.testing.assert_array_equal(whole["tokens"], batch["tokens"])
    for view in out["views"]:
        np.testing.assert_array_equal(view["mask"].sum(axis=1), length)
    changed = np.asarray(hidden["tokens"] != whole["tokens"])
    assert changed.sum(axis=1).tolist() == [2] * 20 + [0] * 4
    assert (np.asarray(hidden["tokens"])[changed] == MASK).all()
    # Every text draws its own span, and a key always draws the same.
    assert len({row.tobytes() for row in changed[:20]}) > 3
    again = augment(jax.random.key(0), batch)["views"][1]["tokens"]
    np.testing.assert_array_equal(again, hidden["tokens"])
    assert "tokens" not in out and (out["label"] == batch["label"]).all() and "index" in out


def test_no_span_leaves_two_equal_views(batch):
    first, second = mirror(span=0)(jax.random.key(0), batch)["views"]
    np.testing.assert_array_equal(first["tokens"], second["tokens"])


def test_plain_keeps_the_text_and_the_other_entries(batch):
    out = plain()(None, batch)
    np.testing.assert_array_equal(out["x"]["tokens"], batch["tokens"])
    assert set(out) == {"x", "label", "index"} and out["x"]["mask"].dtype == bool


def test_bad_options_and_batches_are_refused(batch):
    for wrong in (dict(span=-1), dict(span=3, min_length=4)):
        with pytest.raises(ValueError, match=list(wrong)[-1]):
            mirror(**wrong)
    with pytest.raises(ValueError, match="no 'tokens'"):
        plain()(None, {"image": 0})


def test_a_span_lies_inside_and_only_long_texts_have_one():
    tokens = jnp.arange(10, 22, dtype=jnp.int32)
    hide = lambda key, n: span_masked(key, tokens, n, span=3, min_length=6, mask_id=MASK)
    starts = set()
    for length in (3, 5, 6, 12):
        rows = np.asarray(jax.vmap(hide, in_axes=(0, None))(jax.random.split(jax.random.key(0), 200), length))
        for row in rows:
            places = np.flatnonzero(row == MASK)
            np.testing.assert_array_equal(np.delete(row, places), np.delete(tokens, places))
            assert len(places) == (3 if length >= 6 else 0)
            if length >= 6:
                assert places[0] >= 1 and places[-1] < length - 1 and np.ptp(places) == 2
                starts.add((length, places[0]))
    assert starts == {(6, 1), (6, 2), *((12, s) for s in range(1, 9))}
    with pytest.raises(ValueError, match="min_length"):
        span_masked(jax.random.key(0), tokens, 5, span=3, min_length=4, mask_id=MASK)


def test_the_mask_token_is_that_of_the_tokenizer():
    assert text.MASK == MASK


def test_tokens_are_dropped_in_each_view_apart_but_never_the_ends(batch):
    """What is left moves up: neither positions nor padding show how long the text was."""
    views = jax.jit(mirror(span=0, drop_rate=(0.3, 0.5)))(jax.random.key(0), batch)["views"]
    shares = []
    for view in views:
        for tokens, mask, whole, length in zip(view["tokens"], view["mask"], batch["tokens"], batch["length"]):
            left = np.asarray(tokens)[np.asarray(mask)].tolist()
            assert np.asarray(mask)[: len(left)].all() and not np.asarray(tokens)[len(left) :].any()
            assert [left[0], left[-1]] == [whole[0], whole[length - 1]]
            inner = iter(whole[1 : length - 1].tolist())
            assert all(token in inner for token in left[1:-1]), "not a part of the text in its order"
            shares.append((len(left) - 2) / (length - 2))
    assert 0.5 < np.mean(shares) < 0.7
    assert (views[0]["tokens"] != views[1]["tokens"]).any()
    hidden = mirror(span=2, min_length=10, drop_rate=(0.4, 0.4))(jax.random.key(0), batch)["views"]
    assert (hidden[1]["tokens"] == MASK).any() and not (hidden[0]["tokens"] == MASK).any()
    # Every view of every text has a rate of its own.
    views = mirror(span=0, drop_rate=(0.0, 0.9))(jax.random.key(0), batch)["views"]
    left = np.stack([view["mask"].sum(1)[:20] for view in views])
    assert np.ptp(left, axis=1).min() > 4 and (left[0] != left[1]).any()
    with pytest.raises(ValueError, match=r"drop_rate=.*: must be"):
        mirror(drop_rate=(0.2, 1.0))
