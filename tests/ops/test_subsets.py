import jax
import numpy as np
import pytest

from jaxssl.ops import disjoint_subsets

SIZES = dict(num_context=3, num_target=4, num_sets=4)


@pytest.fixture(scope="module")
def drawn():
    return jax.jit(lambda key: disjoint_subsets(key, 3000, 10, **SIZES))(jax.random.key(0))


def test_shapes_no_repetition_and_no_target_in_the_context(drawn):
    context, targets = np.asarray(drawn.context), np.asarray(drawn.targets)
    assert context.shape == (3000, 3) and targets.shape == (3000, 4, 4)
    assert context.dtype == targets.dtype == np.int32
    for row in range(200):
        assert len(set(context[row])) == 3
        for target in targets[row]:
            assert len(set(target)) == 4 and not set(target) & set(context[row])


def test_every_column_as_often_as_every_other(drawn):
    for ids, share in ((drawn.context, 0.3), (drawn.targets[:, 2], 0.4)):
        counts = np.bincount(np.asarray(ids).reshape(-1), minlength=10) / 3000
        np.testing.assert_allclose(counts, share, atol=0.04)


def test_target_sets_of_a_row_differ(drawn):
    """A shuffle in place that is stored four times would make them equal."""
    first, second = (np.sort(np.asarray(drawn.targets[:, j]), axis=1) for j in (0, 1))
    np.testing.assert_allclose((first == second).all(1).mean(), 1 / 35, atol=0.015)  # one of 7 choose 4


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="side by side"):
        disjoint_subsets(jax.random.key(0), 2, 6, **SIZES)
    with pytest.raises(ValueError, match="num_sets"):
        disjoint_subsets(jax.random.key(0), 2, 10, **{**SIZES, "num_sets": 0})
