"""Views of table rows: `numbers` float32 [N, Dn] and `categories` int32 [N, Dc] of a batch."""

import jax
import jax.numpy as jnp

from jaxssl.augment.dtypes import integer, real
from jaxssl.core import Augment

KINDS = ("uniform", "gaussian", "rows")


def plain() -> Augment:
    """Rows as they are, for evaluation and export.

    Returns:
      preprocess(key, batch) -> batch with `x` = {'numbers' [N, Dn], 'categories' [N, Dc]}; everything else of the
      batch stays. It draws nothing: the key may be None.
    """

    def preprocess(key, batch):
        del key
        x, rest = _taken(batch)
        return {**rest, "x": x}

    return preprocess


def unchanged() -> Augment:
    """Rows as they are, as the one view of methods that hide columns by themselves: `views` = (x,)."""

    def augment(key, batch):
        del key
        x, rest = _taken(batch)
        return {**rest, "views": (x,)}

    return augment


def resampled(
    *,
    kind: str = "uniform",
    probability: float = 0.1,
    row_probability: float = 1.0,
    low: float = -1.7,
    high: float = 1.7,
) -> Augment:
    """The rows themselves, and beside them the rows with some cells drawn anew: `views` = (x, corrupted x).

    Args:
      kind: where a new number is drawn: 'uniform' in [low, high], the published choice; 'gaussian' from N(0, 1);
        'rows' from the same column of a random row of the batch. A new category is always that of a random row.
      probability: that a cell is drawn anew, in a row that is changed.
      row_probability: that a row is changed.
      low, high: of 'uniform', in deviations of the standardised column.

    Returns:
      augment(key, batch) -> batch; every cell is drawn apart.

    Raises:
      ValueError: options out of range.

    Source: Wilkie, Hindy, Tachtatzis, Atkinson, Contrastive Self-Supervised Network Intrusion Detection using
    Augmented Negative Pairs, 2025, arXiv:2509.06550, https://arxiv.org/abs/2509.06550
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: must be one of {KINDS}.")
    for name, value in (("probability", probability), ("row_probability", row_probability)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: must lie in [0, 1].")
    if not low < high:
        raise ValueError(f"low={low}, high={high}: low must be below high.")

    def fresh(key, width):
        """New numbers of one row."""
        if kind == "uniform":
            return jax.random.uniform(key, (width,), minval=low, maxval=high)
        return jax.random.normal(key, (width,))

    def chances(key, size, num_numbers, num_categories):
        """Of one row: which cells change, rows that give their values, and new numbers."""
        key_row, key_cells, key_donors, key_fresh = jax.random.split(key, 4)
        width = num_numbers + num_categories
        changed = jax.random.bernoulli(key_cells, probability, (width,))
        changed &= jax.random.bernoulli(key_row, row_probability)
        donors = jax.random.randint(key_donors, (width,), 0, size)
        return changed, donors, fresh(key_fresh, num_numbers)

    def augment(key, batch):
        x, rest = _taken(batch)
        size, num = x["numbers"].shape
        keys = jax.random.split(key, size)
        changed, donors, new = jax.vmap(lambda k: chances(k, size, num, x["categories"].shape[1]))(keys)
        if kind == "rows":
            new = jnp.take_along_axis(x["numbers"], donors[:, :num], axis=0)
        new_categories = jnp.take_along_axis(x["categories"], donors[:, num:], axis=0)
        corrupted = {
            "numbers": jnp.where(changed[:, :num], new, x["numbers"]),
            "categories": jnp.where(changed[:, num:], new_categories, x["categories"]),
        }
        return {**rest, "views": (x, corrupted)}

    return augment


def _taken(batch):
    """(the columns, the rest of the batch)."""
    missing = {"numbers", "categories"} - set(batch)
    if missing:
        raise ValueError(f"augment.table needs batches of a table; {sorted(missing)} missing in {sorted(batch)}")
    rest = {name: value for name, value in batch.items() if name not in ("numbers", "categories")}
    x = {"numbers": real(batch["numbers"], "numbers"), "categories": integer(batch["categories"], "categories")}
    return x, rest
