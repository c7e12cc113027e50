"""Handwritten digits as columns of a table."""

from jaxssl.data.columns import splits_from_sklearn
from jaxssl.data.source import Splits


def digits_columns(*, test_fraction: float = 0.2, limit: int | None = None, seed: int = 0) -> Splits:
    """1,797 handwritten digits as a table: 64 columns of ink, without their places in the image.

    From scikit-learn; three columns are 0 in all rows.

    Args:
      test_fraction, limit, seed: as in `breast_cancer`.

    Source: Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits

    return splits_from_sklearn(load_digits(), test_fraction, limit, seed, "digits_columns")
