"""Generated rows like counters of network flows, with two kinds of attack."""

import numpy as np

from jaxssl.data.columns import splits_from_numbers
from jaxssl.data.source import Splits

# The generated part of the data, as tables name it.
GENERATED = "generated data"


def flows(
    *,
    train_size: int = 4000,
    test_size: int = 1000,
    columns: int = 20,
    factors: int = 5,
    noise: float = 0.2,
    shift: float = 3.0,
    limit: int | None = None,
    seed: int = 0,
) -> Splits:
    """Generated rows like counters of network flows: correlated columns, and attacks that break the correlation.

    A benign row is x_j = sqrt(1 - noise^2) w_j . f + noise e_j with f ~ N(0, I) [factors], |w_j| = 1, so that every
    column has deviation 1. Training sees benign rows only. The test set holds `test_size` rows of each class:
      0 benign;
      1 resampled: 2 to 5 columns have values of other benign rows, so that every column alone keeps its distribution;
      2 shifted: moved by `shift` deviations along the first principal axis, so that columns stay correlated.

    Args:
      train_size: number of training rows.
      test_size: number of test rows of each class.
      columns: number of columns, at least 5.
      factors: number of hidden factors that the columns share.
      noise: standard deviation of a column's own part e, in [0, 1].
      shift: of class 2, in deviations.
      limit: number of training rows, at most, and a fifth as many test rows.
      seed: of all that is drawn.
    """
    if not 5 <= columns:
        raise ValueError(f"data.columns={columns}: must be at least 5.")
    if not 0 <= noise <= 1:
        raise ValueError(f"data.noise={noise}: must lie in [0, 1].")
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(factors, columns))
    weights /= np.linalg.norm(weights, axis=0)

    def benign(size):
        mixed = rng.normal(size=(size, factors)) @ weights
        return np.sqrt(1 - noise**2) * mixed + noise * rng.normal(size=(size, columns))

    train, normal, resampled, shifted = benign(train_size), *(benign(test_size) for _ in range(3))
    others, counts = benign(test_size), rng.integers(2, 6, test_size)
    for row, count in enumerate(counts):
        chosen = rng.permutation(columns)[:count]
        # Each value from a row of its own.
        resampled[row, chosen] = others[rng.integers(0, test_size, count), chosen]
    covariance = (1 - noise**2) * weights.T @ weights + noise**2 * np.eye(columns)
    values, axes = np.linalg.eigh(covariance)
    shifted += shift * np.sqrt(values[-1]) * axes[:, -1]
    x = np.concatenate([train, normal, resampled, shifted])
    y = np.repeat([0, 0, 1, 2], [train_size, test_size, test_size, test_size])
    rows = np.split(np.arange(len(x)), [train_size])
    return splits_from_numbers(x, y, ("benign", "resampled", "shifted"), *rows, limit, "flows")
