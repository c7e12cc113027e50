"""Malignant tumours as anomalies among benign ones."""

from jaxssl.data.columns import split_rows, splits_from_numbers
from jaxssl.data.source import Splits


def breast_cancer_anomaly(*, test_fraction: float = 0.4, limit: int | None = None, seed: int = 0) -> Splits:
    """`breast_cancer` for the detection of anomalies: training sees benign rows only.

    The test set are the held-out benign rows (class 0) and all malignant ones (class 1).

    Args:
      test_fraction: share of the benign rows that is held out, drawn by `seed`.
      limit, seed: as in `breast_cancer`.
    """
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    y = 1 - data.target
    rows = split_rows(y, test_fraction, seed, True, "breast_cancer_anomaly")
    return splits_from_numbers(data.data, y, ("benign", "malignant"), *rows, limit, "breast_cancer_anomaly")
