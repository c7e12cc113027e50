"""Training on some domains, the test on others."""

from collections.abc import Sequence

import numpy as np

from jaxssl.data.source import Source, Splits
from jaxssl.data.views import Evaluate, column, narrowed, picked, pool, refuse, splits_of


def domains(
    *,
    of: Splits,
    train: Sequence[int],
    test: Sequence[int] = (),
    array: str = "domain",
    evaluate: Evaluate = "chosen",
) -> Splits:
    """Trains on the examples of some domains; the test set keeps those of others.

    Args:
      of: the data.
      train: domains that are trained on.
      test: domains of the test set; () leaves it as it is.
      array: of the examples, int [N], which says the domain.
      evaluate: as in `data.subset.chosen`; here by default no probe learns from another domain either.

    Raises:
      ValueError: no such array, or no example of a domain.
    """
    splits = splits_of(of, "domains")
    order = _of_domains(splits.train, pool(splits.train, "domains"), train, array, "train")
    made = picked(splits, order, evaluate)
    if not test:
        return made
    if splits.test is None:
        raise refuse("domains", "test", tuple(test), "the data has no test set")
    return made._replace(test=narrowed(splits.test, _of_domains(splits.test, None, test, array, "test")))


def _of_domains(source: Source, ids: np.ndarray | None, wanted: Sequence[int], array: str, option: str) -> np.ndarray:
    ids = np.arange(source.size) if ids is None else ids
    domain = column(source, array, "domains")[ids]
    if domain.ndim != 1 or domain.dtype.kind not in "iu":
        raise refuse("domains", "array", array, f"is {domain.dtype} {list(domain.shape)}; one whole number an example")
    if not len(wanted):
        raise refuse("domains", option, tuple(wanted), "one domain at least would be right")
    for number in wanted:
        if not (domain == number).any():
            there = ", ".join(map(str, np.unique(domain)[:20]))
            raise refuse("domains", option, tuple(wanted), f"no example is of domain {number}; there are {there}")
    return ids[np.isin(domain, list(wanted))]
