"""Weighted nearest-neighbour classification on frozen features."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, scope_of

# Similarities (or votes) held at once; 2 ** 24 float32 are 64 MiB.
_CHUNK_ELEMENTS = 2**24


@columns(Column("knn/top1", "k-NN"))
def knn(
    data: EvaluationData, *, k: int = 20, temperature: float = 0.07, of: str = "features", label: str = "label"
) -> Callable:
    """Test accuracy of `knn_predict`, as `knn/top1` in [0, 1].

    Args:
      k: number of neighbours.
      temperature: of the votes.
      of: the output of `predict` [N, D].
      label: the array int [N] of the batches that is predicted. With another `of` or `label` than the default, the
        results are called '<of>/<label>/knn/top1'.

    Raises:
      LabelsNeeded: at build time, without labels or a test set; when run, with fewer than k labelled training rows.
      ValueError: bad options.
    """
    data.need_labels("knn", label)
    _check_options(k, temperature)

    def run(predict, state) -> dict[str, float]:
        f = data.labelled_features(predict, state, "knn", of, label)
        if k > len(f.train_y):
            raise LabelsNeeded(f"knn: k={k} neighbours but only {len(f.train_y)} labelled training rows")
        predicted = knn_predict(f.train_x, f.train_y, f.test_x, k=k, temperature=temperature, num_classes=f.num_classes)
        results = {"knn/top1": float(np.mean(np.asarray(predicted) == f.test_y))}
        return scoped(results, scope_of(of, label))

    return run


def knn_predict(
    train_x: np.ndarray | jax.Array,
    train_y: np.ndarray | jax.Array,
    test_x: np.ndarray | jax.Array,
    *,
    k: int,
    temperature: float,
    num_classes: int,
) -> jax.Array:
    """Class of every test row by a weighted vote of its k nearest training rows.

    argmax_c sum_{i in k nearest} exp(cos(x, x_i) / temperature) [y_i = c]; the lowest class wins a tie.

    Args:
      train_x: [N, D].
      train_y: int [N], each in [0, num_classes).
      test_x: [M, D].
      k: number of neighbours; the paper uses 20.
      temperature: of the votes; the paper uses 0.07.
      num_classes: number of classes.

    Returns:
      int32 [M]. Memory is bounded: test rows are treated in chunks.

    Raises:
      ValueError: shapes that do not fit, k < 1, k > N, temperature <= 0.

    Source: Wu, Xiong, Yu, Lin, Unsupervised Feature Learning via Non-Parametric Instance Discrimination, 2018,
      arXiv:1805.01978, https://arxiv.org/abs/1805.01978; as used by Caron et al., Emerging Properties in
      Self-Supervised Vision Transformers, 2021, arXiv:2104.14294, https://arxiv.org/abs/2104.14294
    """
    _check_options(k, temperature)
    train_x, train_y, test_x = jnp.asarray(train_x), jnp.asarray(train_y), jnp.asarray(test_x)
    if train_x.ndim != 2 or test_x.ndim != 2 or train_x.shape[1] != test_x.shape[1]:
        raise ValueError(f"train_x and test_x must be [N, D] and [M, D]; got {train_x.shape} and {test_x.shape}")
    if train_y.shape != train_x.shape[:1]:
        raise ValueError(f"train_y must be [N] = {train_x.shape[:1]}; got {train_y.shape}")
    if k > len(train_x):
        raise ValueError(f"k={k} neighbours but only {len(train_x)} training rows; use a smaller k")
    return _knn_predict(train_x, train_y, test_x, k, num_classes, jnp.float32(temperature))


def nearest_similarity(train_x: np.ndarray, x: np.ndarray, *, k: int = 1) -> np.ndarray:
    """Cosine of every row of x [M, D] with its k-th nearest row of train_x [N, D]: float32 [M], in chunks.

    Raises:
      ValueError: k < 1, k > N.
    """
    if not isinstance(k, int) or not 1 <= k <= len(train_x):
        raise ValueError(f"k={k!r}: must be an integer from 1 to the number of training rows, {len(train_x)}.")
    return np.asarray(_nearest_similarity(jnp.asarray(train_x), jnp.asarray(x), k))


@functools.partial(jax.jit, static_argnums=2)
def _nearest_similarity(train_x, x, k):
    train_x = _unit(train_x)
    nearest = lambda part: jax.lax.top_k(jnp.matmul(part, train_x.T, precision="highest"), k)[0][:, -1]
    return _in_chunks(nearest, _unit(x), len(train_x))


def _in_chunks(function, x, width):
    """`function` of parts of the rows x [M, D], `width` numbers for each row at a time."""
    rows = len(x)
    chunk = min(rows, max(1, _CHUNK_ELEMENTS // width))
    padded = jnp.pad(x, ((0, -rows % chunk), (0, 0)))
    return jax.lax.map(function, padded.reshape(-1, chunk, padded.shape[1])).reshape(-1)[:rows]


@functools.partial(jax.jit, static_argnums=(3, 4))
def _knn_predict(train_x, train_y, test_x, k, num_classes, temperature):
    train_x, test_x = _unit(train_x), _unit(test_x)
    classes = jnp.arange(num_classes)

    def predict_chunk(x):
        # bfloat16 or TF32 products would reorder close neighbours.
        similarity = jnp.matmul(x, train_x.T, precision="highest")
        # Without the barrier XLA merges what follows into the selection and sorts whole rows: 15 times slower
        # on a CPU.
        nearest, ids = jax.lax.optimization_barrier(jax.lax.top_k(similarity, k))
        # Relative to the nearest one, so that no temperature overflows.
        votes = jnp.exp((nearest - nearest[:, :1]) / temperature)
        per_class = jnp.sum(votes[:, :, None] * (train_y[ids][:, :, None] == classes), axis=1)
        return jnp.argmax(per_class, axis=1).astype(jnp.int32)

    return _in_chunks(predict_chunk, test_x, max(len(train_x), k * num_classes))


def _unit(x):
    x = x.astype(jnp.float32)
    # Scaled first: squares of very large or very small features leave the range of float32.
    x = x / jnp.maximum(jnp.max(jnp.abs(x), axis=1, keepdims=True), jnp.finfo(jnp.float32).tiny)
    return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _check_options(k, temperature):
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k={k!r}: must be an integer of at least 1.")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature!r}: must be positive.")
