"""Floors for clouds of points, as `evaluators.floors` describes floors; NumPy only."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.features import EvaluationData


def sorted_coordinates(data: EvaluationData, preprocess: Callable) -> Callable:
    """The coordinates themselves, points in the order of their height: float32 [N, 3 P]."""
    del data

    def predict(params, memory, batch):
        del params, memory
        x = np.asarray(preprocess(None, batch)["x"], np.float32)
        order = np.argsort(x[:, :, 2], axis=1, kind="stable")
        return {"features": np.take_along_axis(x, order[:, :, None], axis=1).reshape(len(x), -1)}

    return predict


def shape_distribution(data: EvaluationData, preprocess: Callable, *, bins: int = 32, heights: bool = True) -> Callable:
    """Features that do not change when a cloud is turned: a histogram of all distances, and moments.

    Concatenated: the share of pairs of points in each of `bins` equal intervals of distance, from 0 to 2 (D2; clouds
    lie in the unit sphere); the roots of the eigenvalues of the covariance, largest first; with `heights` the same
    histogram of the third coordinate, from -1 to 1, and the deviation along it, since clouds are turned about that axis
    only.

    Source: Osada, Funkhouser, Chazelle, Dobkin, Shape distributions, 2002, doi:10.1145/571647.571648
    """
    del data
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins={bins!r}: must be an integer of at least 1.")

    def predict(params, memory, batch):
        del params, memory
        x = np.nan_to_num(np.asarray(preprocess(None, batch)["x"], np.float32))
        return {"features": np.stack([describe(cloud, bins, heights) for cloud in x])}

    return predict


def describe(x: np.ndarray, bins: int, heights: bool) -> np.ndarray:
    """Features of one cloud [P, 3]."""
    first, second = np.triu_indices(len(x), 1)
    distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))[first, second]
    values = np.linalg.eigvalsh(np.cov(x.T, ddof=0).reshape(3, 3))[::-1]
    parts = [_histogram(distance, 0, 2, bins), np.sqrt(values.clip(0))]
    if heights:
        parts += [_histogram(x[:, 2], -1, 1, bins), x[:, 2].std(keepdims=True)]
    return np.concatenate(parts).astype(np.float32)


def _histogram(values, low, high, bins):
    """Shares of values in equal intervals; what lies outside counts in the outermost ones."""
    place = np.clip(((values - low) * (bins / (high - low))).astype(np.int64), 0, bins - 1)
    return np.bincount(place, minlength=bins) / max(len(values), 1)
