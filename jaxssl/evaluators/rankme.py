"""Effective rank of the features: a quality measure without labels."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, scope_of
from jaxssl.ops.spectral import effective_rank, feature_std


@columns(Column("rankme/rank", "effective rank", "", "higher"))
def rankme(data: EvaluationData, *, num_rows: int = 4096, seed: int = 0, of: str = "features") -> Callable:
    """Effective rank of the training features, and their spread over the examples.

    `rankme/rank`: `ops.spectral.effective_rank` of the features [N, D], not centred, from 1 (collapsed) to
    min(N, D).
    `rankme/feature_std`: `ops.spectral.feature_std`, 0 when all examples have one feature vector, 1 / sqrt(D)
    when evenly spread. No labels are read.

    Args:
      num_rows: training rows used, drawn once with `seed`; all of them if there are fewer. Take many more
        than D: the rank of N rows cannot exceed N.
      of: the output of `predict` [N, D]. With another one than the features, the results are called
        '<of>/rankme/...'.

    Source: Garrido, Balestriero, Najman, LeCun, RankMe: Assessing the Downstream Performance of Pretrained
      Self-Supervised Representations by Their Rank, 2022, arXiv:2210.02885, https://arxiv.org/abs/2210.02885
    """
    if not isinstance(num_rows, int) or num_rows < 2:
        raise ValueError(f"num_rows={num_rows!r}: must be an integer of at least 2.")

    def run(predict, state) -> dict[str, float]:
        x = data.features(predict, state, of).train_x
        if len(x) > num_rows:
            # A random draw: the ids of many data sets are sorted by class.
            x = x[np.sort(np.random.default_rng(seed).choice(len(x), num_rows, replace=False))]
        x = jnp.asarray(x)
        results = {"rankme/rank": float(effective_rank(x)), "rankme/feature_std": float(feature_std(x))}
        return scoped(results, scope_of(of))

    return run
