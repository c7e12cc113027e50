"""Tumours, measured on images of cells."""

from jaxssl.data.columns import splits_from_sklearn
from jaxssl.data.source import Splits


def breast_cancer(*, test_fraction: float = 0.3, limit: int | None = None, seed: int = 0) -> Splits:
    """569 tumours, 30 columns measured on images of cells, two classes (malignant, benign); from scikit-learn.

    Args:
      test_fraction: share of each class that is held out.
      limit: number of training rows, at most, and a fifth as many test rows.
      seed: of the held-out rows.

    Source: Wolberg, Mangasarian, Street, Street, Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning
    Repository, 1993, https://doi.org/10.24432/C5DW2B
    """
    from sklearn.datasets import load_breast_cancer

    return splits_from_sklearn(load_breast_cancer(), test_fraction, limit, seed, "breast_cancer")
