"""Generated rows of sensors among columns of noise."""

import numpy as np

from jaxssl.data.columns import splits_from_numbers
from jaxssl.data.source import Splits

# The generated part of the data, as tables name it.
GENERATED = "generated data"


def sensors(
    *,
    train_size: int = 4000,
    test_size: int = 1000,
    classes: int = 6,
    factors: int = 4,
    copies: int = 4,
    noise: float = 0.3,
    noise_columns: int = 16,
    limit: int | None = None,
    seed: int = 0,
) -> Splits:
    """Generated rows of sensors: a few hidden quantities, each seen by several columns, among columns of mere noise.

    A row of class y has hidden f ~ N(mean_y, I / 4) [factors]; the means are drawn from N(0, I). `copies` columns see
    every quantity, each in its own way, x_j = sin(w_j f + b_j) + noise e_j with w_j in 0.5 ... 2; `noise_columns` more are
    N(0, 1). The columns are shuffled, so that their order does not say which go together.

    Args:
      train_size, test_size: number of rows.
      classes: number of classes, at least 2.
      factors: number of hidden quantities.
      copies: columns that see each quantity.
      noise: standard deviation of the noise e.
      noise_columns: number of columns of noise alone.
      limit: number of training rows, at most, and a fifth as many test rows.
      seed: of all that is drawn.
    """
    for name, value, least in (("classes", classes, 2), ("factors", factors, 1), ("copies", copies, 1)):
        if value < least:
            raise ValueError(f"data.{name}={value}: must be at least {least}.")
    if noise < 0 or noise_columns < 0:
        raise ValueError(f"data.noise={noise}, data.noise_columns={noise_columns}: must be at least 0.")
    rng, size = np.random.default_rng(seed), train_size + test_size
    y = rng.integers(0, classes, size)
    hidden = rng.normal(size=(classes, factors))[y] + 0.5 * rng.normal(size=(size, factors))
    seen = np.repeat(hidden, copies, axis=1)
    frequency, phase = rng.uniform(0.5, 2, seen.shape[1]), rng.uniform(0, 2 * np.pi, seen.shape[1])
    x = np.sin(frequency * seen + phase) + noise * rng.normal(size=seen.shape)
    x = np.concatenate([x, rng.normal(size=(size, noise_columns))], axis=1)[
        :, rng.permutation(seen.shape[1] + noise_columns)
    ]
    rows = np.split(np.arange(size), [train_size])
    return splits_from_numbers(x, y, [str(i) for i in range(classes)], *rows, limit, "sensors")
