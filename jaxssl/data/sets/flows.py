"""Generated rows like counters of network flows, with five kinds of attack."""

import numpy as np

from jaxssl.data.columns import splits_from_numbers
from jaxssl.data.source import Splits

# The generated part of the data, as tables name it.
GENERATED = "generated data"


CLASSES = ("benign", "resampled", "shifted", "louder", "spiked", "rewired")


def flows(
    *,
    train_size: int = 4000,
    test_size: int = 1000,
    columns: int = 20,
    factors: int = 5,
    services: int = 1,
    noise: float = 0.2,
    shift: float = 3.0,
    limit: int | None = None,
    seed: int = 0,
) -> Splits:
    """Generated rows like counters of network flows: correlated columns, and attacks.

    A benign row belongs to one of `services`, s, and is x_j = sqrt(1 - noise^2) w_sj . f + noise e_j + m_sj with
    f ~ N(0, I) [factors], |w_sj| = 1. One service has m = 0: its rows are Gaussian, and Mahalanobis distance orders them by
    their density. Several services have m ~ N(0, I): their rows are a mixture, whose density one covariance does not tell.

    Training sees benign rows only. The test set holds `test_size` rows of each class:
      0 benign;
      1 resampled: 2 to 5 columns have values of other benign rows, so that every column alone keeps its distribution;
      2 shifted: moved by `shift` deviations along the first principal axis, so that columns stay correlated;
      3 louder: twice as far from the mean of the service, so that columns stay correlated;
      4 spiked: 1 or 2 columns are higher by 3 to 5 deviations;
      5 rewired: of factors of its own: every column keeps its deviation, and the correlations are others.

    Negatives made by drawing some cells of a row anew within its usual range (`augment.table.resampled`) imitate the first
    attack, and none of the others.

    Args:
      train_size: number of training rows.
      test_size: number of test rows of each class.
      columns: number of columns, at least 5.
      factors: number of hidden factors that the columns share.
      services: number of services, at least 1.
      noise: standard deviation of a column's own part e, in [0, 1].
      shift: of class 2, in deviations.
      limit: number of training rows, at most, and a fifth as many test rows.
      seed: of all that is drawn.

    Raises:
      ValueError: options out of range.
    """
    if not 5 <= columns:
        raise ValueError(f"data.columns={columns}: must be at least 5.")
    if not 0 <= noise <= 1:
        raise ValueError(f"data.noise={noise}: must lie in [0, 1].")
    if services < 1:
        raise ValueError(f"data.services={services}: must be at least 1.")
    rng = np.random.default_rng(seed)

    def directions(count):
        weights = rng.normal(size=(count, factors, columns))
        return weights / np.linalg.norm(weights, axis=1, keepdims=True)

    weights = directions(services)
    means = rng.normal(size=(services, columns)) if services > 1 else np.zeros((1, columns))

    def around(size, weights):
        """Rows of deviation 1 around 0, `weights` [factors, columns] or [size, factors, columns]."""
        mixed = np.einsum(
            "nf,...fc->nc" if weights.ndim == 2 else "nf,nfc->nc", rng.normal(size=(size, factors)), weights
        )
        return np.sqrt(1 - noise**2) * mixed + noise * rng.normal(size=(size, columns))

    def benign(size):
        """(rows, the means of their services)."""
        kinds = rng.integers(0, services, size) if services > 1 else np.zeros(size, int)
        return around(size, weights[kinds]) + means[kinds], means[kinds]

    (train, _), (normal, _), (resampled, _), (shifted, _) = (benign(size) for size in (train_size, *[test_size] * 3))
    others, counts = benign(test_size)[0], rng.integers(2, 6, test_size)
    for row, count in enumerate(counts):
        chosen = rng.permutation(columns)[:count]
        # Each value from a row of its own.
        resampled[row, chosen] = others[rng.integers(0, test_size, count), chosen]
    centred = means - means.mean(axis=0)
    covariance = np.mean(
        [(1 - noise**2) * w.T @ w + np.outer(m, m) for w, m in zip(weights, centred, strict=True)], axis=0
    )
    values, axes = np.linalg.eigh(covariance + noise**2 * np.eye(columns))
    shifted += shift * np.sqrt(values[-1]) * axes[:, -1]
    louder, middle = benign(test_size)
    louder += louder - middle
    spiked, middle = benign(test_size)
    for row, count in enumerate(rng.integers(1, 3, test_size)):
        spiked[row, rng.permutation(columns)[:count]] += rng.uniform(3, 5, count)
    rewired = around(test_size, directions(1)[0]) + means[rng.integers(0, services, test_size)]
    x = np.concatenate([train, normal, resampled, shifted, louder, spiked, rewired])
    y = np.repeat([0, *range(len(CLASSES))], [train_size, *[test_size] * len(CLASSES)])
    rows = np.split(np.arange(len(x)), [train_size])
    return splits_from_numbers(x, y, CLASSES, *rows, limit, "flows")
