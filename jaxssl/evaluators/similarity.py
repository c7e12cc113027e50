"""Similarity of pairs: does the cosine of features agree with the judgement of people?"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.pairs import features_of, unit_rows
from jaxssl.ops.spectral import uniformity


@columns(Column("similarity/spearman", "similarity, Spearman", ""))
def similarity(data: EvaluationData, *, name: str = "similarity") -> Callable:
    """Rank correlation of the cosine of features with graded pairs of `data.extra`.

    `similarity/spearman`: Spearman's correlation over the pairs, -1 to 1; 0 where all cosines are equal.
    `similarity/uniformity`: `ops.spectral.uniformity` of the left examples, 0 = collapsed, lower = more even.

    Args:
      name: entry of `data.extra`: a dict of `left` and `right`, dicts of arrays [P, ...] as those of an example, and
        `score` [P], larger = more alike.

    Raises:
      NotApplicable: at build time, without such an entry.
      ValueError: pairs of unequal numbers, fewer than two.

    Source: Spearman correlation as in Agirre et al., SemEval-2012 Task 6, https://aclanthology.org/S12-1051; uniformity
      of Wang and Isola, 2020, arXiv:2005.10242, https://arxiv.org/abs/2005.10242
    """
    pairs = data.extra.get(name)
    if pairs is None:
        raise NotApplicable(f"similarity needs graded pairs; the data has no extra '{name}'")
    score = np.asarray(pairs["score"])
    sizes = {len(score), *(len(v) for side in ("left", "right") for v in pairs[side].values())}
    if len(sizes) > 1 or len(score) < 2:
        raise ValueError(
            f"similarity: extra '{name}' holds {sorted(sizes)} rows; left, right and score need equally many"
        )

    def run(predict, state) -> dict[str, float]:
        left, right = (features_of(predict, state, pairs[side]) for side in ("left", "right"))
        cosine = np.sum(unit_rows(left) * unit_rows(right), axis=1)
        return {
            "similarity/spearman": spearman(cosine, score),
            "similarity/uniformity": float(uniformity(jnp.asarray(left))),
        }

    return run


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two lists, ties sharing their mean rank; 0 where one is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
