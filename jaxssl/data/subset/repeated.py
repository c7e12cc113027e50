"""Every example several times side by side."""

import dataclasses

from jaxssl.data.source import Splits
from jaxssl.data.views import refuse, splits_of


def repeated(*, of: Splits, repeats: int) -> Splits:
    """Batches in which an example stands `repeats` times side by side, each time augmented anew.

    Args:
      of: the data.
      repeats: R, which must divide batch_size; an epoch has R times as many steps.

    Raises:
      ValueError: fewer than one.

    Source: Hoffer, Ben-Nun, Hubara, Giladi, Hoefler, Soudry, Augment your batch, 2019, arXiv:1901.09335,
      https://arxiv.org/abs/1901.09335
    """
    splits = splits_of(of, "repeated")
    if repeats < 1:
        raise refuse("repeated", "repeats", repeats, "must be at least 1")
    return splits._replace(train=dataclasses.replace(splits.train, repeats=repeats * splits.train.repeats))
