"""Wines, by their chemistry."""

from jaxssl.data.columns import splits_from_sklearn
from jaxssl.data.source import Splits


def wine(*, test_fraction: float = 0.3, limit: int | None = None, seed: int = 0) -> Splits:
    """178 wines, 13 columns of chemistry, three cultivars; from scikit-learn.

    Args:
      test_fraction, limit, seed: as in `breast_cancer`.

    Source: Aeberhard, Forina, Wine, UCI Machine Learning Repository, 1992, https://doi.org/10.24432/C5PC7J
    """
    from sklearn.datasets import load_wine

    return splits_from_sklearn(load_wine(), test_fraction, limit, seed, "wine")
