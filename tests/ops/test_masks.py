import jax
import numpy as np
import pytest

from jaxssl.ops import random_masked
from jaxssl.ops.masks import hidden_count, partly_hidden


@pytest.mark.parametrize("ratio", [0, 0.25, 0.6, 0.75, 1])
def test_hides_the_same_number_in_every_row(ratio):
    mask = random_masked(jax.random.key(0), 5, 9, ratio)
    hidden = {0: 0, 0.25: 3, 0.6: 6, 0.75: 7, 1: 9}[ratio]  # 9 - floor((1 - ratio) * 9)
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


def test_number_of_hidden_patches():
    # (ratio, patches): visible ones floored, hidden ones floored.
    expected = {(0.75, 49): (37, 36), (0.75, 196): (147, 147), (0.6, 64): (39, 38), (0.6, 32): (20, 19)}
    expected |= {(0.7, 10): (7, 7), (0.9, 10): (9, 9), (0.8, 5): (4, 4), (0.25, 4): (1, 1)}
    for (ratio, size), counts in expected.items():
        for floor, count in zip(("visible", "hidden"), counts):
            assert hidden_count(ratio, size, floor=floor) == count
            mask = jax.eval_shape(lambda: random_masked(jax.random.key(0), 2, size, num_hidden=count))
            assert mask.visible_ids.shape == (2, size - count)
        mask = jax.eval_shape(lambda: random_masked(jax.random.key(0), 2, size, ratio))
        assert mask.visible_ids.shape == (2, size - counts[0])


@pytest.mark.parametrize("ratio, size, floor", [(0, 49, "visible"), (0.0, 49, "hidden"), (1, 49, "visible")])
def test_none_and_all_are_refused_by_name(ratio, size, floor):
    with pytest.raises(ValueError, match=f"method.masking_ratio={ratio}: hides {49 * ratio:.0f} of 49 patches; "):
        hidden_count(ratio, size, option="method.masking_ratio", floor=floor)


def test_a_grid_too_small_for_the_ratio_is_refused():
    for ratio, size in ((0.99, 49), (0.75, 1), (0.75, 3), (0.01, 49)):
        for floor in ("visible", "hidden"):
            with pytest.raises(ValueError, match=f"masking_ratio={ratio}: hides [0-9.]+ of {size} patches"):
                hidden_count(ratio, size, floor=floor)
    with pytest.raises(ValueError, match="num_masked=9: hides 9 of 9 patches"):
        partly_hidden(9, 9, option="num_masked=9")
    for ratio in ("0.5", True, None):
        with pytest.raises(TypeError, match="masking_ratio"):
            hidden_count(ratio, 49)
    for ratio in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="masking_ratio"):
            hidden_count(ratio, 49)


def test_bad_arguments():
    for options in ({}, {"ratio": 0.5, "num_hidden": 2}):
        with pytest.raises(ValueError, match="either ratio or num_hidden"):
            random_masked(jax.random.key(0), 2, 4, **options)
    with pytest.raises(ValueError, match="num_hidden=5"):
        random_masked(jax.random.key(0), 2, 4, num_hidden=5)
    with pytest.raises(ValueError, match="ratio"):
        random_masked(jax.random.key(0), 2, 4, 1.5)
    with pytest.raises(ValueError, match="num_patches"):
        random_masked(jax.random.key(0), 2, 0, 0.5)
    with pytest.raises(TypeError, match="ratio"):
        jax.jit(lambda ratio: random_masked(jax.random.key(0), 2, 4, ratio))(0.5)
