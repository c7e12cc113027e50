import jax
import numpy as np
import pytest

from jaxssl.ops import random_masked


@pytest.mark.parametrize("ratio", [0, 0.25, 0.6, 0.75, 1])
def test_hides_the_same_number_in_every_row(ratio):
    mask = random_masked(jax.random.key(0), 5, 9, ratio)
    hidden = round(ratio * 9)
    assert mask.masked.shape == (5, 9) and mask.masked.dtype == bool
    np.testing.assert_array_equal(mask.masked.sum(axis=1), hidden)
    assert mask.visible_ids.shape == (5, 9 - hidden)


def test_ids_agree_with_the_mask_and_restore_the_order():
    masked, visible_ids, restore_ids = map(np.asarray, random_masked(jax.random.key(1), 5, 8, 0.75))
    tokens = np.arange(40).reshape(5, 8)
    visible = np.take_along_axis(tokens, visible_ids, axis=1)
    for n in range(5):
        assert set(visible[n]) == set(tokens[n][~masked[n]])
    full = np.concatenate([visible, np.full((5, 6), -1)], axis=1)
    restored = np.take_along_axis(full, restore_ids, axis=1)
    np.testing.assert_array_equal(restored, np.where(masked, -1, tokens))


def test_every_patch_is_hidden_equally_often_and_rows_differ():
    masked = np.asarray(random_masked(jax.random.key(2), 4000, 8, 0.25).masked)
    np.testing.assert_allclose(masked.mean(axis=0), 0.25, atol=0.035)  # five standard deviations
    assert len(np.unique(masked, axis=0)) == 28  # all pairs out of eight
    again = random_masked(jax.random.key(2), 4000, 8, 0.25).masked
    np.testing.assert_array_equal(masked, again)
    assert (masked != random_masked(jax.random.key(3), 4000, 8, 0.25).masked).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="ratio"):
        random_masked(jax.random.key(0), 2, 4, 1.5)
    with pytest.raises(ValueError, match="num_patches"):
        random_masked(jax.random.key(0), 2, 0, 0.5)
    with pytest.raises(TypeError, match="ratio"):
        jax.jit(lambda ratio: random_masked(jax.random.key(0), 2, 4, ratio))(0.5)
