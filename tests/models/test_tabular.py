"""Networks over table rows: shapes, that columns left out have no influence, order, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import forward, setup

from jaxssl.models.positions import sincos_1d
from jaxssl.models.tabular import column_predictor, residual_mlp, table_transformer
from jaxssl.models.tokens import Hide

RANDOM = np.random.default_rng(0)
X = {
    "numbers": jnp.asarray(RANDOM.normal(size=(5, 4)), jnp.float32),
    "categories": jnp.asarray(RANDOM.integers(0, 6, (5, 2)), jnp.int32),
}
SMALL = dict(embed_dim=8, depth=1, num_heads=2, max_categories=6)


def built(module, *inputs, **kwargs):
    params, _ = setup(module, jax.random.key(0), *inputs, **kwargs)
    return params, jax.jit(lambda p, *a: forward(module, p, {}, *a, **kwargs)[0])


@pytest.mark.parametrize("linear_end", [True, False])
def test_residual_mlp_is_its_formula(linear_end):
    module = residual_mlp(widths=(7, 7), dim=3, max_categories=6, linear_end=linear_end)
    params, apply = built(module, X)
    codes = np.eye(6)[np.asarray(X["categories"])].reshape(5, -1)
    h = np.concatenate([X["numbers"], codes], axis=1)
    for i in range(2 if linear_end else 3):
        layer = jax.tree.map(np.asarray, params[f"layer{i}"])
        linear = lambda name: h @ layer[name]["kernel"] + layer[name]["bias"]
        h = np.maximum(linear("linear"), 0) + (linear("resize") if "resize" in layer else h)
    assert "resize" in params["layer0"] and "resize" not in params["layer1"]
    if linear_end:  # one plain linear map: without ReLU and residual, so that features of either sign exist
        h = h @ np.asarray(params["last"]["kernel"]) + np.asarray(params["last"]["bias"])
    assert set(params) == {"layer0", "layer1", "last" if linear_end else "layer2"}
    np.testing.assert_allclose(apply(params, X), h, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool, width", [("flatten", 7 * 8), ("mean", 8), ("register", 8)])
def test_transformer_shapes(pool, width):
    params, apply = built(table_transformer(pool=pool, **SMALL), X)
    h = apply(params, X)
    assert h.shape == (5, width) and h.dtype == jnp.float32


def test_columns_left_out_have_no_influence():
    module = table_transformer(**SMALL)
    columns = jnp.tile(jnp.array([4, 1, 2]), (5, 1))
    params, _ = setup(module, jax.random.key(0), X)
    apply = jax.jit(lambda x: forward(module, params, {}, x, hide=Hide(columns), method="encode")[0].h)
    before = apply(X)
    other = {"numbers": X["numbers"].at[:, 0].add(1.0), "categories": X["categories"].at[:, 1].set(5)}
    np.testing.assert_array_equal(apply(other), before)
    moved = {**X, "numbers": X["numbers"].at[:, 2].add(1.0)}
    assert np.abs(apply(moved) - before).max() > 1e-3
    assert before.shape == (5, 1 + 3, 8)


def test_chosen_columns_come_in_their_order():
    """All columns in another order are the same tokens in that order: positions go with the columns."""
    module, order = table_transformer(**SMALL), np.array([3, 0, 5, 1, 4, 2])
    params, apply = built(module, X, method="encode")
    hide = Hide(jnp.tile(order, (5, 1)))
    shuffled = jax.jit(lambda x: forward(module, params, {}, x, hide=hide, method="encode")[0].h)
    tokens = apply(params, X).h
    np.testing.assert_allclose(shuffled(X)[:, 1:], tokens[:, 1:][:, order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shuffled(X)[:, 0], tokens[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("module", [residual_mlp(widths=(4,), dim=3, max_categories=6), table_transformer(**SMALL)])
def test_one_kind_of_columns_and_codes_out_of_range(module):
    for empty in ("numbers", "categories"):
        x = {**X, empty: X[empty][:, :0]}
        params, apply = built(module, x)
        assert np.isfinite(apply(params, x)).all()
    params, apply = built(module, X)
    assert np.isnan(apply(params, {**X, "categories": X["categories"].at[2, 1].set(6)})[2]).all()
    with pytest.raises(ValueError, match="no columns"):
        setup(module, jax.random.key(0), {k: v[:, :0] for k, v in X.items()})
    with pytest.raises(ValueError, match="rows of a table"):
        setup(module, jax.random.key(0), X["numbers"])


def test_predictor_tells_targets_apart_and_sets_do_not_mix():
    encoder = table_transformer(**SMALL)
    module = column_predictor(encoder, 6, width=8, depth=1, num_heads=2)
    z = jnp.asarray(RANDOM.normal(size=(5, 3, 8)), jnp.float32)
    context = jnp.tile(jnp.array([0, 1]), (5, 1))
    targets = jnp.tile(jnp.array([[2, 3], [4, 5], [2, 3]]), (5, 1, 1))
    params, apply = built(module, z, context, targets)
    pred = apply(params, z, context, targets)
    assert pred.shape == (5, 3, 2, 8) and pred.dtype == jnp.float32
    np.testing.assert_allclose(pred[:, 0], pred[:, 2], rtol=1e-4, atol=1e-5)
    assert np.abs(pred[:, 0] - pred[:, 1]).max() > 1e-4 and np.abs(pred[:, 0, 0] - pred[:, 0, 1]).max() > 1e-4
    moved = apply(params, z, context, targets.at[:, 1].set(jnp.array([3, 5])))
    np.testing.assert_allclose(moved[:, 0], pred[:, 0], rtol=1e-4, atol=1e-5)


def test_positions_are_distinct_and_bounded():
    codes = sincos_1d(8, 65)
    assert codes.shape == (65, 8) and np.abs(codes).max() <= 1
    assert len(np.unique(codes.round(5), axis=0)) == 65


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="pool"):
        table_transformer(pool="register", registers=0)
    with pytest.raises(ValueError, match="num_heads"):
        table_transformer(embed_dim=10, num_heads=4)
    with pytest.raises(ValueError, match="widths"):
        residual_mlp(widths=())
