"""The 1,797 handwritten digits that come with scikit-learn, for runs of seconds."""

import numpy as np

from jaxssl.data.source import Splits, from_arrays

TEST_SIZE = 360


def digits() -> Splits:
    """1,437 training and 360 test images, uint8 [8, 8, 1] (17 grey levels spread over 0..255), ten classes.

    The split is fixed and balanced by class.
    Source: Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    image = np.round(data.images * (255 / 16)).astype(np.uint8)
    rows = train_test_split(np.arange(len(image)), test_size=TEST_SIZE, random_state=0, stratify=data.target)
    names = [str(name) for name in data.target_names]
    train, test = (
        from_arrays({"image": image[part], "label": data.target[part]}, class_names=names)
        for part in map(np.sort, rows)
    )
    return Splits(train, test)
