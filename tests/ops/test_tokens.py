import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.ops.tokens import MASK, SPECIAL, masked_tokens

FIRST = len(SPECIAL)
OPTIONS = dict(mask_id=MASK, first_id=FIRST, vocab_size=60)


@pytest.fixture(scope="module")
def case():
    random = np.random.default_rng(0)
    tokens = random.integers(FIRST, 60, (500, 20)).astype(np.int32)
    length = random.integers(3, 21, 500)
    allowed = (np.arange(20) > 0) & (np.arange(20) < length[:, None] - 1)
    hidden = jax.jit(lambda k, t, a: masked_tokens(k, t, a, rate=0.25, **OPTIONS))(jax.random.key(0), tokens, allowed)
    return tokens, allowed, jax.tree.map(np.asarray, hidden)


def test_masks_only_what_is_allowed_once_each_and_as_many_as_asked(case):
    tokens, allowed, hidden = case
    for n in range(500):
        chosen = hidden.positions[n][hidden.predicted[n]]
        assert allowed[n][chosen].all() and len(set(chosen)) == len(chosen)
        assert len(chosen) == max(1, np.round(0.25 * allowed[n].sum()))
        np.testing.assert_array_equal(hidden.targets[n], tokens[n][hidden.positions[n]])
        others = np.setdiff1d(np.arange(20), chosen)
        np.testing.assert_array_equal(hidden.tokens[n][others], tokens[n][others])


def test_of_ten_eight_are_hidden_one_is_random_one_stays(case):
    _, _, hidden = case
    shown = np.take_along_axis(hidden.tokens, hidden.positions, axis=1)[hidden.predicted]
    target = hidden.targets[hidden.predicted]
    assert abs(np.mean(shown == MASK) - 0.8) < 0.03
    assert abs(np.mean(shown == target) - 0.1) < 0.03
    assert set(shown) - {MASK} <= set(range(FIRST, 60))


def test_rows_without_a_token_to_hide_are_left_alone():
    tokens = jnp.zeros((2, 4), jnp.int32)
    hidden = masked_tokens(jax.random.key(0), tokens, jnp.zeros((2, 4), bool), **OPTIONS)
    assert not hidden.predicted.any()
    np.testing.assert_array_equal(hidden.tokens, tokens)
    with pytest.raises(ValueError, match="rate"):
        masked_tokens(jax.random.key(0), tokens, tokens == 0, rate=1.5, **OPTIONS)
    with pytest.raises(ValueError, match="first_id"):
        masked_tokens(jax.random.key(0), tokens, tokens == 0, mask_id=3, first_id=9, vocab_size=9)
