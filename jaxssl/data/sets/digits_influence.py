"""scikit-learn's digits as a graph of nearest neighbours."""

import numpy as np

from jaxssl.data.readers.influence import influence_splits
from jaxssl.data.source import Splits


def digits_influence(
    *,
    whole: bool = False,
    k: int = 5,
    power: int = 4,
    cumulative: bool = True,
    num_neighbors: int = 256,
    test_fraction: float = 0.2,
    seed: int = 0,
    limit: int | None = None,
) -> Splits:
    """scikit-learn's 1,797 digits of 8 x 8 pixels as a graph: each is joined to the `k` nearest others.

    The examples are those of `influence`.

    Args:
      k: neighbours that each digit is joined to.
      whole, power, cumulative, num_neighbors, test_fraction, seed, limit: as in `data.readers.influence`.

    Source: Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits
    from sklearn.neighbors import NearestNeighbors

    digits = load_digits()
    features = (digits.data / 16).astype(np.float32)
    if not 1 <= k < len(features):
        raise ValueError(f"data.k={k}: must be at least 1.")
    near = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
    edges = np.stack([np.repeat(np.arange(len(features)), k), near.ravel()], axis=1)
    names = tuple(str(n) for n in digits.target_names)
    options = (whole, power, cumulative, num_neighbors, test_fraction, seed, limit)
    return influence_splits(features, edges, digits.target, names, None, "digits_influence", *options)
