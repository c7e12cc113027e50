"""How well the features tell anomalies from normal examples."""

from collections.abc import Callable

import numpy as np

from jaxssl.data.splits import hold_out
from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable


@columns(
    Column("anomaly/auroc", "anomalies, AUROC"),
    Column("anomaly/auroc_as_scored", "anomalies as scored, AUROC"),
    Column("anomaly/auroc_either_way", "anomalies either way, AUROC"),
    Column("anomaly/sign", "sign of the score", unit="", better=""),
    Column("anomaly/{n}", "{n}, AUROC"),
)
def anomaly(data: EvaluationData, *, normal: int = 0, validation: float = 0.2, seed: int = 0) -> Callable:
    """Area under the ROC curve of an anomaly score on the test set, in [0, 1].

    The score of a row is -cos(features, mean of the training features), as in CLAN; an output
    `anomaly_score` [N, 1] of `predict` takes its place. Training rows of other classes, if there are any, are left out.

    A score may rank anomalies below normal rows and separate them all the same. So a validation part of the test set,
    `validation` of each class, gives the score its sign: -1 if the mean AUROC there is below 1/2, else 1. One sign holds
    for all classes. The validation part is in no result; these are over the other rows of the test set:

    `anomaly/auroc`: of the score times its sign, each class of anomalies against the normal rows; the mean over these classes.
    `anomaly/<class>`: the same of each class apart, where there are several.
    `anomaly/auroc_as_scored`: the mean of the score as it is, without the sign: a detector that needs no labelled anomaly.
    `anomaly/auroc_either_way`: the mean of max(a, 1 - a), which orients each class by the very rows that it is measured on.
        CLAN's release reports this (github.com/jackwilkie/CLAN, util/metrics.py); it is at least 1/2 for any score.
    `anomaly/sign`: the sign.

    Args:
      normal: label of the normal rows.
      validation: share of each class of the test set, in [0, 1); at least one row of a class that has two. With 0 no row is
        held out and the sign is 1.
      seed: of the draw of the validation part, which else depends on the labels alone: the same for all encoders.

    Raises:
      LabelsNeeded: at build time, without a test set or two classes; when run, without normal rows or anomalies.
      ValueError: a share out of range.

    Source: Wilkie, Hindy, Tachtatzis, Atkinson, Contrastive Self-Supervised Network Intrusion Detection using
      Augmented Negative Pairs, 2025, arXiv:2509.06550, https://arxiv.org/abs/2509.06550
    """
    data.need_labels("anomaly")
    if not 0 <= validation < 1:
        raise ValueError(f"validation={validation!r}: must lie in 0..1, below 1; 0 holds nothing out.")

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

    def areas(score, label):
        """{class: AUROC against the normal rows} of the classes of anomalies."""
        kinds = [int(k) for k in np.unique(label) if k >= 0 and k != normal]
        inside = score[label == normal]
        return {k: auroc(score[label == k], inside) for k in kinds} if len(inside) else {}

    def run(predict, state) -> dict[str, float]:
        score, label = scores(predict, state)
        known = np.zeros(len(label), bool)
        if validation:
            known = hold_out(label, validation, np.random.default_rng(seed), every_class=True)
        seen, found = areas(score[known], label[known]), areas(score[~known], label[~known])
        if not found:
            raise LabelsNeeded(f"anomaly: the test set needs rows of label {normal} and of another one")
        turned = bool(seen) and np.mean(list(seen.values())) < 0.5
        oriented = {k: 1 - area if turned else area for k, area in found.items()}
        mean = lambda values: float(np.mean(list(values)))
        results = {
            "anomaly/auroc": mean(oriented.values()),
            "anomaly/auroc_as_scored": mean(found.values()),
            "anomaly/auroc_either_way": mean(max(area, 1 - area) for area in found.values()),
            "anomaly/sign": -1.0 if turned else 1.0,
        }
        if len(found) > 1:
            name = lambda k: data.class_names[k] if data.class_names else str(k)
            results.update({f"anomaly/{name(k)}": area for k, area in oriented.items()})
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
