"""Views of table rows: cells that change, where their values come from, and that rows are drawn apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment.table import plain, resampled, unchanged

N = 4000
RANDOM = np.random.default_rng(0)
BATCH = {
    "numbers": jnp.asarray(RANDOM.normal(size=(N, 4)), jnp.float32) * jnp.array([1.0, 2.0, 3.0, 0.0]),
    "categories": jnp.asarray(RANDOM.integers(0, 5, (N, 2)), jnp.int32),
    "label": jnp.arange(N),
}


def views(key=0, batch=BATCH, **options):
    out = jax.jit(resampled(**options))(jax.random.key(key), batch)
    assert set(out) == {"views", "label"}
    return out["views"]


def test_plain_and_unchanged_keep_everything():
    out = plain()(None, BATCH)
    assert set(out) == {"x", "label"}
    (view,) = unchanged()(jax.random.key(0), BATCH)["views"]
    for name in ("numbers", "categories"):
        np.testing.assert_array_equal(out["x"][name], BATCH[name])
        np.testing.assert_array_equal(view[name], BATCH[name])


def test_uniform_changes_a_tenth_of_the_cells_within_the_range():
    first, second = views()
    np.testing.assert_array_equal(first["numbers"], BATCH["numbers"])
    changed = np.asarray(first["numbers"] != second["numbers"])
    np.testing.assert_allclose(changed.mean(0), 0.1, atol=0.02)
    new = np.asarray(second["numbers"])[changed]
    assert new.min() >= -1.7 and new.max() <= 1.7
    np.testing.assert_allclose([new.mean(), new.std()], [0, 1.7 / np.sqrt(3)], atol=0.08)
    # Cells are changed apart: two columns together as often as chance has it.
    np.testing.assert_allclose((changed[:, 0] & changed[:, 1]).mean(), 0.01, atol=0.006)


def test_rows_are_resampled_from_their_own_column():
    first, second = views(kind="rows", probability=1.0)
    for name in ("numbers", "categories"):
        old, new = np.asarray(first[name]), np.asarray(second[name])
        for column in range(old.shape[1]):
            assert set(new[:, column]) <= set(old[:, column])
    np.testing.assert_allclose(second["numbers"].std(0), first["numbers"].std(0), rtol=0.1)
    assert abs(np.corrcoef(first["numbers"][:, 1], second["numbers"][:, 1])[0, 1]) < 0.06


def test_row_probability_leaves_rows_alone():
    first, second = views(kind="gaussian", probability=1.0, row_probability=0.25)
    touched = np.asarray(first["numbers"] != second["numbers"])
    assert set(touched.sum(1)) == {0, 4}
    np.testing.assert_allclose(touched[:, 0].mean(), 0.25, atol=0.03)


def test_a_key_repeats_and_zero_strength_is_the_identity():
    once, again, other = views(1)[1]["numbers"], views(1)[1]["numbers"], views(2)[1]["numbers"]
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    first, second = views(probability=0.0)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("empty", ["numbers", "categories"])
def test_columns_of_one_kind_only(empty):
    first, second = views(batch={**BATCH, empty: BATCH[empty][:, :0]}, probability=1.0)
    assert second[empty].shape == (N, 0) and second[empty].dtype == BATCH[empty].dtype


def test_what_makes_no_sense_is_refused():
    for options, said in ((dict(kind="x"), "kind"), (dict(probability=2.0), "probability"), (dict(low=3.0), "low")):
        with pytest.raises(ValueError, match=said):
            resampled(**options)
    with pytest.raises(ValueError, match="numbers"):
        plain()(None, {"image": jnp.zeros((2, 4, 4, 1))})
