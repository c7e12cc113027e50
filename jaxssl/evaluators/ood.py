"""Do features or logits tell that an example is of another kind of data than the training set?"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from jaxssl.data.source import Splits
from jaxssl.evaluators.anomaly import auroc
from jaxssl.evaluators.classification import log_softmax
from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.knn import nearest_similarity
from jaxssl.evaluators.transfer import splits_of

Score = Literal["nearest", "mahalanobis", "confidence", "energy"]
# The output that each score is computed from.
READS = dict(nearest="features", mahalanobis="features", confidence="logits", energy="logits")


@columns(
    Column("ood/auroc", "out of distribution, AUROC"),
    Column("ood/fpr95", "out of distribution, FPR at 95 % TPR", "%", "lower"),
)
def ood(
    data: EvaluationData,
    *,
    source: Splits | Mapping[str, Any],
    score: Score = "nearest",
    k: int = 1,
    of: str = "",
    scope: str = "",
) -> Callable:
    """How well a score tells the test set of other data from that of the run; no label is read.

    `ood/auroc`: P(score of an example of the other data > score of a test example), ties counting half.
    `ood/fpr95`: share of the other data's examples that pass where 95 % of the test examples do.
    The scores, larger = more foreign; f a feature vector of length 1, z logits:

        nearest       1 - cos(f, its k-th nearest training feature)              Sun et al.
        mahalanobis   (f - m)' C^-1 (f - m), m and C of the training features    Sehwag et al., with one cluster
        confidence    -max softmax(z)                                            Hendrycks and Gimpel
        energy        -log sum exp(z)                                            Liu et al.

    The encoder must take the other data: set `preprocess.size` where its images are of another size. Where the other data
    have no test set, all their examples are foreign ones.

    Args:
      source: the other data, a section as `data`, as in dict(name="data.sets.digits"), or `Splits`.
      score: 'nearest', 'mahalanobis', 'confidence' or 'energy'.
      k: of the nearest neighbour (50 for CIFAR, 1,000 for ImageNet in the paper, where all of the training set is used).
      of: the output of `predict` [N, D] or [N, C]; '' = `features`, or `logits` for the last two scores.
      scope: under which the results stand, one for each of several data sets; '' = none.

    Raises:
      NotApplicable: at build time, without a test set; when run, for a row without such an output.
      ValueError: bad options.

    Sources: Sun, Ming, Zhu, Li, Out-of-Distribution Detection with Deep Nearest Neighbors, 2022, arXiv:2204.06507,
      https://arxiv.org/abs/2204.06507; Sehwag, Chiang, Mittal, SSD: A Unified Framework for Self-Supervised Outlier
      Detection, 2021, arXiv:2103.12051, https://arxiv.org/abs/2103.12051; Hendrycks, Gimpel, A Baseline for Detecting
      Misclassified and Out-of-Distribution Examples in Neural Networks, 2016, arXiv:1610.02136,
      https://arxiv.org/abs/1610.02136; Liu, Wang, Owens, Li, Energy-based Out-of-distribution Detection, 2020,
      arXiv:2010.03759, https://arxiv.org/abs/2010.03759
    """
    if score not in READS:
        raise ValueError(f"score={score!r}: must be one of {', '.join(READS)}.")
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k={k!r}: must be an integer of at least 1.")
    if data.test_batches is None:
        raise NotApplicable("ood needs a test set; the data has none")
    of, other = of or READS[score], data.of(splits_of(source))
    foreign = "train" if other.test_batches is None else "test"

    def run(predict, state) -> dict[str, float]:
        if score in ("confidence", "energy"):
            own = data.outputs(predict, state, (of,))[of]
            ood_score = confidence if score == "confidence" else energy
        else:
            found = data.features(predict, state, of)
            own, train = found.test_x, found.train_x
            ood_score = (
                mahalanobis(train) if score == "mahalanobis" else lambda x: 1 - nearest_similarity(train, x, k=k)
            )
        inside, outside = ood_score(own), ood_score(other.outputs(predict, state, (of,), split=foreign)[of])
        return scoped({"ood/auroc": auroc(outside, inside), "ood/fpr95": fpr(inside, outside)}, scope)

    return run


def confidence(logits: np.ndarray) -> np.ndarray:
    """-max softmax of logits [N, C]: [N]."""
    return -np.exp(log_softmax(logits).max(axis=1))


def energy(logits: np.ndarray) -> np.ndarray:
    """-log sum exp of logits [N, C]: [N]."""
    from scipy.special import logsumexp

    return -logsumexp(np.asarray(logits, np.float64), axis=1)


def mahalanobis(train_x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Squared Mahalanobis distance of rows of length 1 to those of train_x [N, D]: x [M, D] -> [M], in float64.

    Directions in which the training features do not vary are left out.
    """
    from sklearn.preprocessing import normalize

    train_x = normalize(np.asarray(train_x, np.float64))
    mean = train_x.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(train_x, rowvar=False, bias=True).reshape(len(mean), len(mean)))
    # Below this only the rounding of float32 is left.
    kept = variances > 1e-9 * max(variances[-1], 1e-30)
    scale = axes[:, kept] / np.sqrt(variances[kept])
    return lambda x: np.sum(((normalize(np.asarray(x, np.float64)) - mean) @ scale) ** 2, axis=1)


def fpr(inside: np.ndarray, outside: np.ndarray, *, tpr: float = 0.95) -> float:
    """Share of the scores `outside` at or below the threshold that lets at least a share `tpr` of `inside` pass."""
    threshold = np.sort(inside)[int(np.ceil(tpr * len(inside))) - 1]
    return float(np.mean(np.asarray(outside) <= threshold))
