"""Every public loss with small arguments, and which axes of these are the rows of the batch."""

import functools
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import losses

N = 6
WHERE = np.array([True, False, True, True, False, True])

# Whose value is no mean of values of examples.
NO_REDUCTION = {
    "barlow_twins": "a correlation over the batch",
    "clan": "a mean over the pairs that are active",
    "clan_active_fraction": "a share of pairs",
    "dino_center": "no loss but a mean over the batch",
    "vicreg": "has parts without",
    "vicreg_local": "has parts without",
    "vicreg_covariance": "a covariance over the batch",
    "vicreg_variance": "a variance over the batch",
}


class Case(NamedTuple):
    name: str
    arrays: tuple  # floating; a gradient is taken of each
    axes: tuple  # of every array, the axes that are rows
    constants: dict = {}  # arrays by keyword, led by rows
    options: dict = {}

    @property
    def has_reduction(self) -> bool:
        return "reduction" in inspect.signature(getattr(losses, self.name)).parameters


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def some(seed, *shape):
    return np.random.default_rng(seed).random(shape) < 0.6


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def _case(name, *arrays, axes=None, constants=None, options=None):
    return Case(name, arrays, axes or ((0,),) * len(arrays), constants or {}, options or {})


def _cases():
    a, b = normal(0, N, 4), normal(1, N, 4)
    tokens = normal(0, N, 3, 4), normal(1, N, 3, 4)
    points = normal(0, N, 4, 3), normal(1, N, 5, 3)
    scale, bias, rows = np.float32(1.5), np.float32(-2), ((0,), (0,), ())
    for name in ("nt_xent", "info_nce", "negative_cosine_similarity", "byol", "vicreg_invariance", "barlow_twins"):
        yield _case(name, a, b)
    yield _case("vicreg", 0.4 * a, b)
    for name in ("nt_xent_chunked", "info_nce_chunked"):
        yield _case(name, a, b, options={"block_size": 2})
    for name in ("info_nce", "info_nce_chunked"):
        yield _case(name, a, b, normal(2, 8, 4), axes=rows)
    places = {"matches": np.arange(2 * N).reshape(N, 2) % 3}
    yield _case("dense_info_nce", normal(0, N, 2, 4), normal(1, N, 3, 4), normal(2, 8, 4), axes=rows, constants=places)
    by = {"position_matches": (2, 1), "feature_matches": (1, 2)}
    centres = 8 * normal(2, N, 2, 2), 8 * normal(3, N, 3, 2)
    yield _case("vicreg_local", normal(0, N, 2, 4), 0.4 * normal(1, N, 3, 4), *centres, options=by)
    yield _case("vicreg_variance", 0.4 * a)
    yield _case("vicreg_covariance", a)
    yield _case("neighbor_contrast", a, np.abs(normal(2, N, N)), axes=((0,), (0, 1)))
    for over in ("targets", "preds"):
        yield _case("patch_matching", *tokens, options={"over": over}, constants={"valid": some(2, N, 3)})
    yield _case("patch_matching_accuracy", *tokens, constants={"valid": some(2, N, 3)})
    for name in ("clip", "clip_chunked"):
        yield _case(name, a, b, scale, axes=rows)
    groups = {"groups": np.array([0, 0, 1, 0, 2, 1])}
    yield _case("clip", a, b, scale, axes=rows, constants=groups)
    for name in ("sigmoid_pairs", "sigmoid_pairs_chunked"):
        yield _case(name, a, b, scale, bias, axes=(*rows, ()), options={"max_scale": 100.0})
    yield _case("sigmoid_pairs", a, b, scale, bias, axes=(*rows, ()), constants=groups)
    for kind in ("l1", "l2"):
        yield _case("jepa", *tokens, options={"kind": kind})
        yield _case("chamfer", *points, options={"kind": kind})
    yield _case("chamfer", normal(0, N, 2, 4, 3), normal(1, N, 2, 5, 3), constants={"masked": some(2, N, 2)})
    yield _case("scaled_cosine_error", a, b)
    yield _case("scaled_cosine_error", *tokens, constants={"masked": some(2, N, 3)})
    yield _case(
        "masked_patch_mse",
        normal(0, N, 4, 4),
        normal(1, N, 4, 4, 1),
        constants={"masked": some(2, N, 4)},
        options={"patch_size": 2},
    )
    yield _case("masked_token_mse", *tokens, constants={"masked": some(2, N, 3)})
    for pairing in ("diagonal", "row"):
        yield _case(
            "comasked_consistency",
            *tokens,
            constants={"masked1": some(2, N, 3), "masked2": some(3, N, 3)},
            options={"pairing": pairing},
        )
    tokens = {"targets": np.arange(N) % 4, "predicted": np.arange(N) != 3}
    yield _case("masked_token_cross_entropy", a, constants=tokens)
    yield _case("cross_entropy", a, constants={"target": np.arange(N) % 4}, options={"label_smoothing": 0.1})
    for name in ("kd", "jeffreys", "js"):
        yield _case(name, a, b, options={"temperature": 2.0})
    yield _case("soft_cross_entropy", a, softmax(b))
    views = ((0,), (1,), (1,))
    weights = {"positive_weights": np.ones(2, np.float32), "negative_weights": np.float32([1, 0, 2])}
    yield _case("multiview_contrastive", a, normal(1, 2, N, 4), normal(2, 3, N, 4), axes=views, options=weights)
    yield _case("clan", a, b)
    yield _case("clan_active_fraction", a, b)
    yield _case("swav", np.tanh(normal(0, 2, N, 4)), np.tanh(normal(1, 2, N, 4)), axes=((1,), (1,)))
    yield _case("dino", normal(0, 3, N, 4), normal(1, 2, N, 4), normal(2, 4), axes=((1,), (1,), ()))
    yield _case("dino_center", normal(2, 4), normal(1, 2, N, 4), axes=((), (1,)))
    yield _case("dec", softmax(a))
    yield _case("dec", softmax(a), softmax(b))


def _numbered(cases):
    return {f"{case.name}-{i}": case for i, case in enumerate(cases)}


CASES = _numbered(_cases())


def evaluate(case: Case, arrays, constants, where=None) -> dict[str, Any]:
    """The loss and the gradients of all arrays."""
    call = functools.partial(getattr(losses, case.name), **constants, **case.options, where=where)

    def total(*arrays):
        value = call(*arrays)
        return jnp.sum(value), value  # dino_center has several numbers

    (_, value), gradients = jax.value_and_grad(total, argnums=tuple(range(len(arrays))), has_aux=True)(*arrays)
    return {"value": value, "gradients": gradients}


def of_examples(case: Case, arrays, constants, where=None):
    """The values of the examples, where the loss has them."""
    options = constants | case.options
    return getattr(losses, case.name)(*arrays, **options, where=where, reduction="none") if case.has_reduction else 0


def of_rows(array, axes, chosen):
    """`array` with the rows `chosen` of its axes `axes` only."""
    for axis in axes:
        array = np.compress(chosen, array, axis=axis)
    return array


def with_rows(array, axes, chosen, value):
    """`array` with `value` wherever one of the axes `axes` is at a row that is not chosen."""
    array = np.array(array)
    for axis in axes:
        np.moveaxis(array, axis, 0)[~chosen] = value
    return array
