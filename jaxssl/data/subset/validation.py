"""A part of the training data in the place of the test set."""

from jaxssl.data.source import Splits
from jaxssl.data.validation import SEED, SHARE, with_validation
from jaxssl.data.views import splits_of


def validation(*, of: Splits, share: float = SHARE, seed: int = SEED, group: str = "") -> Splits:
    """Holds a part of the training examples out, on which evaluators then measure; the test set of `of` is never read.

    The part has the same share of every class, at least one example where a class has two. Examples that belong together
    stay together: those of a speaker, a device, a file. What is learnt from all training rows when data are read, such as
    the mean of a table's column, has seen the rows of this part too, without their labels.

    Args:
      of: the data; what is in a batch (grouped, mixed, stratified) is kept, less the examples held out.
      share: of the training examples, or of their groups.
      seed: of the draw.
      group: an array of the examples, int [N], that says which belong together; '': that which the data name, if any.

    Raises:
      ValueError: a share outside of (0, 1); no such array; a single group; nothing left to train on.
    """
    return with_validation(splits_of(of, "validation"), share=share, seed=seed, group=group)
