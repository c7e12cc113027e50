"""What holds for every public function: any mesh, finite gradients where lengths, variances and probabilities are 0."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxssl import ops
from jaxssl.ops import graph, tokens

P = PartitionSpec
N, D, K = 4, 6, 4
WIDTHS = (1e-4, 1.0)


def draw(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def positive(*shape):
    x = np.exp(draw(*shape))
    return x / x.sum(-1, keepdims=True)


# By name: the function of arrays, and the arrays. Gradients are those of floating arrays.
OPS = {
    "alignment": (ops.alignment, (draw(N, D), draw(N, D) + 1)),
    "bank_take": (lambda x: ops.bank_take(x, jnp.array([3, -1, 3, 0])), (draw(8, D),)),
    "bank_update": (
        lambda x, y: ops.bank_update(x, jnp.array([3, -1, 3, 0]), y, momentum=0.5),
        (draw(8, D), draw(N, D)),
    ),
    "best_matches": (
        lambda x: ops.best_matches(jnp.zeros(x.shape, int), x, 2),
        (draw(N, K),),
    ),
    "clustered_mask_2d": (lambda: ops.clustered_mask_2d(jax.random.key(0), 2, (4, 4), 5, cluster=(1, 2)), ()),
    "disjoint_subsets": (
        lambda: ops.disjoint_subsets(jax.random.key(0), 4, 6, num_context=2, num_target=2, num_sets=2),
        (),
    ),
    "effective_rank": (ops.effective_rank, (draw(N, D),)),
    "ema_init": (lambda x: ops.ema_init({"w": x}), (draw(N, D),)),
    "ema_update": (lambda x, y: ops.ema_update({"w": x}, {"w": y}, 0.9), (draw(N, D), draw(N, D) + 1)),
    "entropy": (ops.entropy, (positive(N, K),)),
    "farthest_points": (lambda x: ops.farthest_points(x, 3), (draw(2, 8, 3),)),
    "feature_std": (ops.feature_std, (draw(N, D),)),
    "group_points": (lambda x: ops.group_points(x, 3, 2), (draw(2, 8, 3),)),
    "kmeans": (lambda x: ops.kmeans(jax.random.key(0), x, 2, restarts=2, num_iters=3), (draw(N, D),)),
    "l2_normalize": (ops.l2_normalize, (draw(N, D),)),
    "mmd": (lambda x, y: ops.mmd(x, y, widths=WIDTHS), (draw(N, D), draw(N, D) + 1)),
    "multi_block_mask_1d": (lambda: ops.multi_block_mask_1d(jax.random.key(0), 2, 8, 0.5, min_block=2), ()),
    "nearest_by_feature": (
        lambda x, y: (ops.nearest_by_feature(x, y), ops.nearest_by_feature(x, y, metric="euclidean")),
        (draw(2, 4, 3), draw(2, 8, 3)),
    ),
    "nearest_by_position": (ops.nearest_by_position, (draw(2, 4, 2), draw(2, 8, 2))),
    "nearest_points": (lambda x, y: ops.nearest_points(x, y, 2), (draw(2, 4, 3), draw(2, 8, 3))),
    "pairwise_mmd": (lambda x: ops.pairwise_mmd(x, widths=WIDTHS), (draw(2, N, D),)),
    "patch_centres": (lambda x: ops.patch_centres(x, jnp.arange(len(x)) % 2 == 0, (2, 3)), (draw(N, 4),)),
    "patchify": (lambda x: ops.patchify(x, 2), (draw(2, 4, 4, 2),)),
    "queue_push": (lambda x, y: ops.queue_push(x, jnp.int32(3), y), (draw(8, D), draw(N, D))),
    "random_masked": (lambda: ops.random_masked(jax.random.key(0), 2, 8, 0.5), ()),
    "select_sensors": (lambda x: ops.select_sensors(x, 1), (draw(4),)),
    "sinkhorn": (ops.sinkhorn, (draw(N, K),)),
    "squared_distances": (ops.squared_distances, (draw(N, D), draw(N, D) + 1)),
    "student_t_assignment": (ops.student_t_assignment, (draw(N, D), draw(2, D))),
    "take_places": (lambda x: ops.take_places(x, jnp.array([[1, 1], [0, 3]])), (draw(2, 4, 3),)),
    "target_distribution": (ops.target_distribution, (positive(N, K),)),
    "tree_distance": (lambda x, y: ops.tree_distance({"w": x}, {"w": y}), (draw(N, D), draw(N, D) + 1)),
    "uniformity": (ops.uniformity, (draw(N, D),)),
    "unpatchify": (lambda x: ops.unpatchify(x, 2), (draw(2, 4, 8),)),
    # Not among the names of the package, but public in their modules.
    "graph.influence_matrix": (
        lambda w: graph.influence_matrix(jnp.arange(4) * 2, jnp.array([[0, 2], [4, -1], [6, 1], [2, 2]]), w),
        (positive(4, 2),),
    ),
    "graph.drop_edges": (lambda: graph.drop_edges(jax.random.key(0), jnp.ones((2, 6), bool), 0.5), ()),
    "graph.replacements": (
        lambda: graph.replacements(jax.random.key(0), jnp.eye(2, 6, dtype=bool), jnp.ones((2, 6), bool)),
        (),
    ),
    "graph.segment_softmax": (
        lambda w: graph.segment_softmax(w, jnp.array([0, 1, 1, 3]), 4, jnp.array([True, True, True, False])),
        (draw(4, 2),),
    ),
    "graph.masked_nodes": (lambda: graph.masked_nodes(jax.random.key(0), jnp.ones((2, 6), bool), 0.5), ()),
    "graph.propagate": (
        lambda h: graph.propagate(h, jnp.array([0, 1, 0]), jnp.array([1, 0, 0]), jnp.array([True, True, False])),
        (draw(N, D),),
    ),
    "tokens.masked_tokens": (
        lambda: tokens.masked_tokens(
            *(jax.random.key(0), jnp.ones((2, 8), int), jnp.ones((2, 8), bool)), mask_id=3, first_id=6, vocab_size=16
        ),
        (),
    ),
}
NO_FUNCTIONS_OF_ARRAYS = {
    *("BlockMask", "ColumnSubsets", "Matches", "RandomMask", "any_mesh", "hidden_count", "partly_hidden"),
    *("cosine_momentum", "linear_momentum", "momentum_schedule"),
}


def test_table_is_complete():
    assert {name for name in OPS if "." not in name} == set(ops.__all__) - NO_FUNCTIONS_OF_ARRAYS


def everything(arrays):
    """Results of all functions and the sum of squares of those that are floating, for the gradient."""
    results, total = {}, 0.0
    for name, (function, _) in OPS.items():
        try:
            if not arrays[name]:
                # Only a key: what a mesh refuses, it refuses while tracing.
                jax.eval_shape(function)
                continue
            results[name] = function(*arrays[name])
            for leaf in jax.tree.leaves(results[name]):
                if jnp.issubdtype(leaf.dtype, jnp.floating):
                    total += jnp.sum(jnp.square(leaf))
        except Exception as error:
            error.add_note(f"in {name}")
            raise
    return total, results


run = jax.jit(jax.value_and_grad(everything, has_aux=True))
ARRAYS = {name: arrays for name, (_, arrays) in OPS.items()}


@functools.cache
def expected():
    return jax.tree.map(np.asarray, run(ARRAYS))


def assert_expected(actual):
    jax.tree.map_with_path(
        lambda path, x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5, err_msg=jax.tree_util.keystr(path)),
        actual,
        expected(),
    )


def sharded(mesh):
    def put(x):
        axes = ["data", *[None] * (x.ndim - 2), *["model"] * (x.ndim > 1)]
        fits = [axis if axis and size % 2 == 0 else None for axis, size in zip(axes, x.shape)]
        return jax.device_put(x, NamedSharding(mesh, P(*fits)))

    return jax.tree.map(put, ARRAYS)


@pytest.mark.parametrize("kind", [AxisType.Explicit, pytest.param(AxisType.Auto, marks=pytest.mark.slow)])
def test_on_a_mesh(kind):
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(kind, kind))
    with jax.set_mesh(mesh):
        assert_expected(run(sharded(mesh)))


def test_inside_shard_map():
    mesh = jax.make_mesh((2,), ("data",))
    first = lambda tree: jax.tree.map(lambda x: x[0], tree)
    inside = lambda arrays: jax.tree.map(lambda x: x[None], run(first(arrays)))
    twice = jax.tree.map(lambda x: jax.device_put(np.stack([x, x]), NamedSharding(mesh, P("data"))), ARRAYS)
    mapped = jax.shard_map(inside, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    both = jax.tree.map(np.asarray, jax.jit(mapped)(twice))
    assert_expected(first(both))


@pytest.mark.slow
def test_inside_pmap():
    twice = jax.tree.map(lambda x: np.stack([x, x]), ARRAYS)
    both = jax.tree.map(np.asarray, jax.pmap(run, devices=jax.devices()[:2])(twice))
    assert_expected(jax.tree.map(lambda x: x[1], both))


def degenerate(kind):
    """The arrays of all functions with zeros, equal rows, or a value of 0 or 1 in every place."""

    def change(x):
        if kind == "equal rows":
            return np.broadcast_to(x.reshape(-1, x.shape[-1])[0], x.shape)
        return np.zeros_like(x) if kind == "zeros" else np.eye(*x.shape[-2:], dtype=x.dtype) + np.zeros_like(x)

    return {name: tuple(change(x) if x.ndim > 1 else x for x in arrays) for name, arrays in ARRAYS.items()}


@pytest.mark.parametrize("kind", ["zeros", "equal rows", "zeros and ones"])
def test_gradients_are_finite(kind):
    (_, results), gradients = run(degenerate(kind))
    for name, gradient in gradients.items():
        assert all(np.isfinite(x).all() for x in gradient), name
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(results.get(name))), name


SINGLE_ROW = [name for name, (_, arrays) in OPS.items() if arrays and arrays[0].ndim == 2 and len(arrays[0]) == N]
NEED_ROWS = {"uniformity", "kmeans", "graph.propagate", "graph.influence_matrix"}


def test_a_single_row():
    names = [name for name in SINGLE_ROW if name not in NEED_ROWS]

    def total(arrays):
        outputs = [OPS[name][0](*arrays[name]) for name in names]
        return sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(outputs))

    for fill in (lambda x: x[:1], lambda x: np.zeros_like(x[:1])):
        gradients = jax.jit(jax.grad(total))({name: tuple(map(fill, ARRAYS[name])) for name in names})
        for name, gradient in gradients.items():
            assert all(np.isfinite(x).all() for x in gradient), name
    with pytest.raises(ValueError, match="N >= 2"):
        ops.uniformity(draw(1, D))
