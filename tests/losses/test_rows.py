"""`where` and `reduction` of every public loss: a loss that is not in the table, or lacks either, fails."""

import functools
import inspect

import jax
import numpy as np
import pytest
from loss_reference import x64
from loss_table import CASES, NO_REDUCTION, WHERE, N, evaluate, normal, of_examples, of_rows, with_rows

from jaxssl import losses

close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)


def test_every_loss_is_in_the_table_and_takes_both():
    assert {case.name for case in CASES.values()} == set(losses.__all__)
    for name in losses.__all__:
        parameters = inspect.signature(getattr(losses, name)).parameters
        assert parameters["where"].default is None, name
        assert ("reduction" in parameters) == (name not in NO_REDUCTION), name


@pytest.mark.parametrize("name", CASES)
def test_rows_that_do_not_count_are_as_if_not_there(name):
    case = CASES[name]
    with x64():
        arrays = [np.float64(a) for a in case.arrays]
        run = jax.jit(lambda *a: evaluate(case, *a) | {"rows": of_examples(case, *a)})
        subset = lambda tree: [of_rows(a, axes, WHERE) for a, axes in zip(tree, case.axes)]
        constants = {key: of_rows(a, (0,), WHERE) for key, a in case.constants.items()}
        expected = run(subset(arrays), constants, None)
        dirty = [with_rows(a, axes, WHERE, np.nan) for a, axes in zip(arrays, case.axes)]
        found = run(dirty, case.constants, WHERE)
        close(found["value"], expected["value"])
        for gradient, wanted, axes in zip(found["gradients"], expected["gradients"], case.axes, strict=True):
            close(of_rows(gradient, axes, WHERE), wanted)
            assert np.array_equal(gradient, with_rows(gradient, axes, WHERE, 0.0))
        if case.has_reduction:
            assert found["rows"].shape == (N,)
            assert np.array_equal(found["rows"], with_rows(found["rows"], (0,), WHERE, 0.0))
            close(found["rows"][WHERE], expected["rows"])
            weighted = {"valid", "masked", "masked1", "predicted"} & case.constants.keys()
            counting = expected["rows"] if not weighted else expected["rows"][rows_with_weight(constants)]
            close(np.mean(counting), expected["value"])
        # Nothing counts: no loss, and no gradient. The centre stays.
        nowhere = np.zeros(N, bool)
        dirty = [with_rows(a, axes, nowhere, np.nan) for a, axes in zip(arrays, case.axes)]
        nothing = run(dirty, case.constants, nowhere)
        assert np.array_equal(nothing["value"], arrays[0] if case.name == "dino_center" else 0.0)
        assert not any(np.any(g) for g in nothing["gradients"]) and not np.any(nothing["rows"])


def rows_with_weight(constants):
    masks = [m for key, m in constants.items() if key in ("valid", "masked", "masked1", "masked2", "predicted")]
    both = functools.reduce(np.logical_and, masks)
    return both.reshape(len(both), -1).any(1)


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_a_number_and_counts_is_never_swallowed(name):
    case = CASES[name]
    call = functools.partial(getattr(losses, case.name), **case.constants, **case.options)
    loss = jax.jit(lambda arrays: call(*arrays))
    assert np.isfinite(loss(case.arrays)).all()
    for i, array in enumerate(case.arrays):
        arrays = list(case.arrays)
        arrays[i] = np.full_like(array, np.nan)
        assert np.isnan(loss(arrays)).all(), f"argument {i}"


TOKENS = normal(0, 2, 3, 4), normal(1, 2, 3, 4)
MASK = np.array([[True, False, True], [False, False, True]])
OTHER = np.array([[True, True, False], [False, True, True]])
VIEWS = normal(0, 5, 4), normal(1, 2, 5, 4), normal(2, 3, 5, 4)
WEIGHTS = {"positive_weights": np.float32([1, 0]), "negative_weights": np.float32([0, 1, 0])}
# Loss, arrays, and where each of these does not count.
MASKED = {
    "scaled_cosine_error": (lambda *a: losses.scaled_cosine_error(*a, masked=MASK), TOKENS, (~MASK, ~MASK)),
    "chamfer": (
        lambda *a: losses.chamfer(*a, masked=MASK, kind="l1"),
        (normal(0, 2, 3, 4, 3), normal(1, 2, 3, 5, 3)),
        (~MASK, ~MASK),
    ),
    "masked_patch_mse": (
        lambda p, x: losses.masked_patch_mse(p, x, MASK, patch_size=2),
        (normal(0, 2, 3, 4), normal(1, 2, 2, 6, 1)),
        (~MASK, np.repeat(np.repeat(~MASK, 2, axis=1)[:, None], 2, axis=1)),
    ),
    "masked_token_mse": (lambda *a: losses.masked_token_mse(*a, MASK), TOKENS, (~MASK, ~MASK)),
    "patch_matching": (lambda *a: losses.patch_matching(*a, valid=MASK), TOKENS, (~MASK, ~MASK)),
    "patch_matching_accuracy": (lambda *a: losses.patch_matching_accuracy(*a, valid=MASK), TOKENS, (~MASK, ~MASK)),
    "comasked_consistency": (
        lambda *a: losses.comasked_consistency(*a, MASK, OTHER),
        TOKENS,
        (~(MASK & OTHER), ~(MASK & OTHER)),
    ),
    "comasked_consistency_row": (
        lambda *a: losses.comasked_consistency(*a, [[1, 0, 1], [0, 0, 0]], [[1, 1, 0], [1, 1, 1]], pairing="row"),
        TOKENS,
        (np.array([[False, True, True], [True] * 3]), np.array([[False] * 3, [True] * 3])),
    ),
    "masked_token_cross_entropy": (
        lambda s: losses.masked_token_cross_entropy(s, np.array([1, 9, 2]), MASK[0]),
        (TOKENS[0][0],),
        (~MASK[0],),
    ),
    "multiview_contrastive": (
        lambda *a: losses.multiview_contrastive(*a, **WEIGHTS),
        VIEWS,
        (np.zeros(5, bool), WEIGHTS["positive_weights"] == 0, WEIGHTS["negative_weights"] == 0),
    ),
}


@pytest.mark.parametrize("name", MASKED)
def test_masks_select_and_do_not_multiply(name):
    loss, arrays, away = MASKED[name]
    run = jax.jit(jax.value_and_grad(loss, argnums=tuple(range(len(arrays)))))
    value, gradients = run(*arrays)
    for bad in (np.nan, np.inf):
        found, dirty = run(*[np.where(a[(...,) + (None,) * (x.ndim - a.ndim)], bad, x) for x, a in zip(arrays, away)])
        assert found == value
        jax.tree.map(np.testing.assert_array_equal, dirty, gradients)
        assert not any(np.any(g[a]) for g, a in zip(dirty, away))


def test_rows_of_clan_s_negatives_have_a_where_of_their_own():
    z, z_aug = normal(0, 4, 3), normal(1, 5, 3)
    where, where_aug = np.array([1, 1, 0, 1], bool), np.array([1, 0, 1, 1, 0], bool)
    for loss in map(jax.jit, (losses.clan, losses.clan_active_fraction)):
        dirty = with_rows(z, (0,), where, np.nan), with_rows(z_aug, (0,), where_aug, np.nan)
        found = loss(*dirty, where=where, where_aug=where_aug)
        np.testing.assert_allclose(found, loss(z[where], z_aug[where_aug]), rtol=1e-6)
        np.testing.assert_allclose(loss(dirty[0], z_aug, where=where), loss(z[where], z_aug), rtol=1e-6)
    with pytest.raises(ValueError, match=r"where_aug must be bool \[N\] with N = 5"):
        losses.clan(z, z_aug, where_aug=where)


@pytest.mark.parametrize("name", CASES)
def test_where_and_reduction_are_checked(name):
    case = CASES[name]
    call = lambda **options: jax.eval_shape(
        lambda *a: getattr(losses, case.name)(*a, **case.constants, **case.options, **options), *case.arrays
    )
    with pytest.raises(TypeError, match="where must be bool"):
        call(where=np.ones(N, np.int32))
    for wrong in (np.ones(N + 1, bool), np.ones((N, 1), bool), np.bool_(True)):
        with pytest.raises(ValueError, match=rf"where must be bool \[N\] with N = {N}"):
            call(where=wrong)
    if case.has_reduction:
        for wrong in ("sum", None, 1):
            with pytest.raises(ValueError, match=f"reduction={wrong!r}: .*'mean' or 'none'"):
                call(reduction=wrong)


def test_arrays_without_rows_have_no_where():
    with pytest.raises(ValueError, match="where: the arrays have no axis of rows"):
        losses.scaled_cosine_error(np.ones(3), np.ones(3), where=np.ones(1, bool))
    with pytest.raises(ValueError, match="where: the arrays have no axis of rows"):
        losses.chamfer(np.ones((2, 3)), np.ones((2, 3)), where=np.ones(1, bool))


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_where_all_rows_are_equal(name):
    """At zero, and where the rows of all arrays are one row, so that every distance is 0."""
    case = CASES[name]
    run = jax.jit(lambda arrays: evaluate(case, arrays, case.constants))
    zero = [np.zeros_like(a) if axes else a for a, axes in zip(case.arrays, case.axes)]
    one = [np.ones_like(a) if axes else a for a, axes in zip(case.arrays, case.axes)]
    for arrays in (zero, one):
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(run(arrays)))
