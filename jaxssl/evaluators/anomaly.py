"""How well the features tell anomalies from normal examples."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable


@columns(
    Column("anomaly/auroc", "anomalies, AUROC"),
    Column("anomaly/auroc_either_way", "anomalies either way, AUROC"),
    Column("anomaly/{n}", "{n}, AUROC"),
)
def anomaly(data: EvaluationData, *, normal: int = 0) -> Callable:
    """Area under the ROC curve of an anomaly score on the test set, in [0, 1].

    The score of a row is -cos(features, mean of the training features), as in CLAN; an output
    `anomaly_score` [N, 1] of `predict` takes its place. Training rows of other classes, if there are any, are left out.

    `anomaly/auroc`: each class of anomalies against the normal rows, the mean over these classes.
    `anomaly/<class>`: of each class apart, where there are several.
    `anomaly/auroc_either_way`: the mean of max(a, 1 - a), under which a score that ranks normal rows higher also counts as
        good; published numbers of CLAN are of this kind.

    Args:
      normal: label of the normal rows.

    Raises:
      LabelsNeeded: at build time, without a test set or two classes; when run, without normal rows or anomalies.

    Source: Wilkie, Hindy, Tachtatzis, Atkinson, Contrastive Self-Supervised Network Intrusion Detection using
      Augmented Negative Pairs, 2025, arXiv:2509.06550, https://arxiv.org/abs/2509.06550
    """
    data.need_labels("anomaly")

    def scores(predict, state):
        """(score [M], label [M]) of the test rows."""
        try:
            found = data.outputs(predict, state, ("anomaly_score",))
            return found["anomaly_score"][:, 0], found["label"]
        except NotApplicable:
            f = data.features(predict, state)
        rows = (f.train_y == normal) | (f.train_y < 0)
        if not rows.any():
            raise LabelsNeeded(f"anomaly: no row of the training set has label {normal}, that of normal rows")
        return anomaly_score(f.train_x[rows], f.test_x), f.test_y

    def run(predict, state) -> dict[str, float]:
        score, label = scores(predict, state)
        kinds = [int(k) for k in np.unique(label) if k >= 0 and k != normal]
        if not (label == normal).any() or not kinds:
            raise LabelsNeeded(f"anomaly: the test set needs rows of label {normal} and of another one")
        areas = {k: auroc(score[label == k], score[label == normal]) for k in kinds}
        results = {
            "anomaly/auroc": float(np.mean(list(areas.values()))),
            "anomaly/auroc_either_way": float(np.mean([max(a, 1 - a) for a in areas.values()])),
        }
        if len(kinds) > 1:
            name = lambda k: data.class_names[k] if data.class_names else str(k)
            results.update({f"anomaly/{name(k)}": area for k, area in areas.items()})
        return results

    return run


def anomaly_score(train_x: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """-cos(row, mean training row) of every test row [M], in float64; a zero row has cosine 0."""
    centre = np.mean(train_x, axis=0, dtype=np.float64)
    test_x = np.asarray(test_x, np.float64)
    lengths = np.linalg.norm(test_x, axis=1) * np.linalg.norm(centre)
    return -(test_x @ centre) / np.where(lengths > 0, lengths, 1)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """P(score of a positive > score of a negative), ties counting half; scores [P] and [Q]."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    return float(roc_auc_score(truth, np.concatenate([positive, negative])))
