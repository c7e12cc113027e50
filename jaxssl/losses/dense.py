"""Losses of feature maps, whose positions are matched between two views."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxssl.losses.redundancy import vicreg_invariance
from jaxssl.losses.rows import count, keep, mean, reduce, rows_that_count, variance, zero_unless
from jaxssl.ops.checks import at_least_two_rows, finite_scalar, float_array, positive_int, positive_scalar
from jaxssl.ops.correspondence import best_matches, nearest_by_feature, nearest_by_position, take_places
from jaxssl.ops.meshes import any_mesh
from jaxssl.ops.norm import l2_normalize


@any_mesh
def dense_info_nce(
    query: jax.Array,
    key: jax.Array,
    negatives: jax.Array,
    matches: jax.Array,
    *,
    temperature: float | jax.Array = 0.2,
    where: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """DenseCL's cross entropy of finding the key of a place of the query map among negatives.

    mean_nl -log(exp(q_nl.k_nm / T) / (exp(q_nl.k_nm / T) + sum_j exp(q_nl.c_j / T))),  m = matches_nl

    `query`: [N, L, D]; `key`: [N, M, D], maps of two views with their grids flattened; `negatives`: [K, D], a queue
    for instance; all L2-normalised inside. `matches`: int [N, L] in [0, M), the place of the key map that shows what a
    place of the query map shows; as published that of `ops.nearest_by_feature` of the backbone's maps.
    `temperature`: T, a number or a (traced) scalar; 0.2 in the release.
    `where`, `reduction`: as in `losses.rows`; of query, key and matches, all `negatives` count.
    `key` and `negatives` are stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, matches that are not int [N, L],
    temperature <= 0.
    Source: Wang, Zhang, Shen, Kong, Li, Dense Contrastive Learning for Self-Supervised Visual Pre-Training, 2020,
    arXiv:2011.09157, https://arxiv.org/abs/2011.09157
    """
    query, key = _maps("query", query, "key", key)
    negatives, matches = float_array("negatives", negatives, rank=2).astype(query.dtype), jnp.asarray(matches)
    if negatives.shape[1] != query.shape[2]:
        raise ValueError(f"negatives must be [K, D] with D = {query.shape[2]}, got shape {negatives.shape}")
    if not jnp.issubdtype(matches.dtype, jnp.integer):
        raise TypeError(f"matches must be int [N, L], got {matches.dtype}")
    if matches.shape != query.shape[:2]:
        raise ValueError(f"matches must be int [N, L] = {query.shape[:2]}, got shape {matches.shape}")
    temperature = positive_scalar("temperature", temperature, query.dtype)
    where = rows_that_count(where, len(query))
    query = l2_normalize(keep(where, query))
    key, negatives = (jax.lax.stop_gradient(l2_normalize(x)) for x in (keep(where, key), negatives))
    positive = jnp.sum(query * take_places(key, keep(where, matches)), axis=2, keepdims=True)
    # Accelerators multiply float32 in reduced precision by default; a small temperature would magnify the error.
    others = jnp.einsum("nld,kd->nlk", query, negatives, precision=jax.lax.Precision.HIGHEST)
    logits = jnp.concatenate([positive, others], axis=2) / temperature
    return reduce(where, logsumexp(logits, axis=2) - logits[:, :, 0], reduction)


@any_mesh
def vicreg_local(
    z1: jax.Array,
    z2: jax.Array,
    centres1: jax.Array,
    centres2: jax.Array,
    *,
    position_matches: tuple[int, int] = (20, 20),
    feature_matches: tuple[int, int] = (20, 20),
    invariance_weight: float | jax.Array = 25.0,
    variance_weight: float | jax.Array = 25.0,
    covariance_weight: float | jax.Array = 1.0,
    where: jax.Array | None = None,
) -> jax.Array:
    """VICRegL's local criterion of the maps of two views: places matched by position, and by feature.

        L = l(P_12) / 2 + l(P_21) / 2 + l(F_12) / 2 + l(F_21) / 2
        l(x, y) = lambda |x - y|^2 / (N K D) + mean_k [mu (v(x_k) + v(y_k)) / 2 + nu (c(x_k) + c(y_k)) / 2]

    P_12 are the K places of view 1 whose nearest place of view 2, in the pixels of the image, is nearest, each with
    that place; F_12 likewise by the Euclidean distance of `z1` and `z2`. x_k [N, D] are the k-th of these places of
    all examples, in the order of the map: v and c, `vicreg_variance` and `vicreg_covariance`, are those of one k over
    the batch, not of all places together.

    `z1`: [N, L, D], `z2`: [N, M, D], projected maps with their grids flattened, not normalised; `centres1`: [N, L, 2],
    `centres2`: [N, M, 2], of `ops.patch_centres`. `position_matches`, `feature_matches`: K of the places of view 1, and
    of view 2; at most L and M, 0 leaves the term out. `where`: as in `losses.rows`; where fewer than two rows count
    variance and covariance are 0.
    Only the choice of the places is stop-gradient.
    Raises: TypeError, ValueError for integers, wrong or different shapes, N < 2, more matches than places.
    Source: Bardes, Ponce, LeCun, VICRegL: Self-Supervised Learning of Local Visual Features, 2022, arXiv:2210.01571,
    https://arxiv.org/abs/2210.01571
    """
    z1, z2 = _maps("z1", z1, "z2", z2)
    at_least_two_rows("z1", z1)
    centres1, centres2 = _maps("centres1", centres1, "centres2", centres2)
    for name, centres, z in (("centres1", centres1, z1), ("centres2", centres2, z2)):
        if centres.shape != (*z.shape[:2], 2):
            raise ValueError(f"{name} must be [N, L, 2] = {(*z.shape[:2], 2)}, got shape {centres.shape}")
    weights = dict(invariance=invariance_weight, variance=variance_weight, covariance=covariance_weight)
    weights = {name: finite_scalar(f"{name}_weight", weight, z1.dtype) for name, weight in weights.items()}
    where = rows_that_count(where, len(z1))
    z1, z2, centres1, centres2 = (keep(where, x) for x in (z1, z2, centres1, centres2))
    total = jnp.zeros((), z1.dtype)
    for x, y, at_x, at_y, side in ((z1, z2, centres1, centres2, 0), (z2, z1, centres2, centres1, 1)):
        for name, num, nearest in (
            ("position_matches", position_matches[side], lambda: nearest_by_position(at_x, at_y)),
            ("feature_matches", feature_matches[side], lambda: nearest_by_feature(x, y, metric="euclidean")),
        ):
            positive_int(f"{name}[{side}]", num, least=0)
            if num > x.shape[1]:
                raise ValueError(f"{name}[{side}]={num}: must be at most {x.shape[1]}, the places of view {side + 1}")
            if num:
                found = best_matches(*nearest(), num)
                term = _of_matches(take_places(x, found.ids1), take_places(y, found.ids2), weights, where)
                # NaN distances have no order: the loss is NaN too.
                total += jnp.where(jnp.isnan(found.distances).any(), jnp.nan, term) / 2
    return total


def _of_matches(x, y, weights, where):
    """The criterion of matched places x, y [N, K, D], with variance and covariance of each k over the batch."""
    invariance = vicreg_invariance(x.reshape(len(x), -1), y.reshape(len(y), -1), where=where)
    spread, covariance = 0.0, 0.0
    for z in (x, y):
        deviation = jnp.sqrt(variance(where, z, ddof=1) + 1e-4)
        spread += jnp.mean(jax.nn.relu(1 - deviation)) / 2
        centred = keep(where, z - mean(where, z))
        products = jnp.einsum("nkc,nkd->kcd", centred, centred, precision=jax.lax.Precision.HIGHEST)
        squares = jnp.square(products / jnp.maximum(count(where, z) - 1, 1))
        covariance += jnp.sum(jnp.where(jnp.eye(z.shape[2], dtype=bool), 0.0, squares)) / (z.shape[1] * z.shape[2]) / 2
    rest = weights["variance"] * spread + weights["covariance"] * covariance
    return weights["invariance"] * invariance + zero_unless(where, rest, least=2)


def _maps(name_a, a, name_b, b):
    """Two floating maps [N, L, D] and [N, M, D] in their common dtype."""
    a, b = float_array(name_a, a, rank=3), float_array(name_b, b, rank=3)
    if len(a) != len(b) or a.shape[2] != b.shape[2]:
        raise ValueError(f"{name_a} and {name_b} must be [N, L, D] and [N, M, D], got shapes {a.shape} and {b.shape}")
    dtype = jnp.promote_types(a.dtype, b.dtype)
    return a.astype(dtype), b.astype(dtype)
