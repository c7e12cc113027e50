"""How good, how sure and how honest the logits of a classifier are."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.columns import Column, columns, scoped
from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, scope_of


@columns(
    Column("classification/top1", "top-1"),
    Column("classification/top5", "top-5"),
    Column("classification/macro", "mean over classes"),
    Column("classification/many", "classes of many examples"),
    Column("classification/medium", "classes of a medium number"),
    Column("classification/few", "classes of few examples"),
    Column("classification/nll", "negative log-likelihood", "nats", "lower"),
    Column("classification/ece", "calibration error", "%", "lower"),
    Column("classification/aurc", "AURC", "%", "lower"),
    Column("classification/e_aurc", "E-AURC", "%", "lower"),
    Column("classification/map", "mAP"),
    Column("classification/class_{n}", "class {n}"),
)
def classification(
    data: EvaluationData,
    *,
    of: str = "logits",
    label: str = "label",
    bins: int = 15,
    per_class: bool = False,
    shots: tuple[int, int] = (20, 100),
) -> Callable:
    """Quality of the logits [N, C] of `predict` on the test set; no classifier is fitted.

    `classification/top1`, `/top5` (of more than 5 classes): share of the test rows whose label is the largest logit, is
      among the five largest.
    `/macro`: mean over the classes of the test set of the share of their rows that is right (balanced accuracy).
    `/many`, `/medium`, `/few`: the same over the classes with more than shots[1] training examples, with shots[0] to
      shots[1], with fewer; where the classes fall into several of these groups.
    `/nll`: mean of -log softmax(logits)[label]. `/ece`: expected calibration error, see `calibration_error`.
    `/aurc`, `/e_aurc`: area under the risk-coverage curve and its excess over that of the best order, see
      `risk_coverage`.
    `/map`, for labels [N, C] of 0, 1 and -1 (unknown) under another name than 'label', alone: mean over the classes of
      the average precision of their logits.

    Args:
      of: the output of `predict`.
      label: the array of the batches. With another `of` or `label` than the default, the results are called
        '<of>/<label>/classification/...'.
      bins: of the calibration error.
      per_class: also '/class_<name>' for every class: the share of its rows that is right, or its average precision.
      shots: least and greatest number of training examples of a class of a medium number.

    Raises:
      LabelsNeeded: at build time, without labels or a test set; when run, without a labelled test row.
      NotApplicable: when run, for a row without such an output.
      ValueError: bad options; a label that has no logit.

    Sources: groups of classes: Liu, Miao, Zhan, Wang, Gong, Yu, Large-Scale Long-Tailed Recognition in an Open World,
      2019, arXiv:1904.05160, https://arxiv.org/abs/1904.05160 (many: more than 100 examples, few: fewer than 20).
      The other measures: see the functions.
    """
    data.need_labels("classification", label)
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins={bins!r}: must be an integer of at least 1.")
    if len(shots) != 2 or not 0 <= shots[0] <= shots[1]:
        raise ValueError(f"shots={shots!r}: must be two numbers of examples, the smaller first, as in (20, 100).")

    def run(predict, state) -> dict[str, float]:
        found = data.outputs(predict, state, (of,), arrays=() if label == "label" else (label,))
        logits, y = np.asarray(found[of], np.float64), found[label]
        if logits.ndim != 2:
            raise ValueError(f"of='{of}': the output has shape {logits.shape}; [N, C] would be right.")
        name = lambda c: data.class_names[c] if data.class_names and label == "label" else str(c)
        if y.ndim == 2:
            results, parts = precision(logits, y)
        else:
            known = y >= 0
            if not known.any():
                raise LabelsNeeded(f"classification: no example of the test set has a label (all {y.size} are -1)")
            logits, y = logits[known], y[known]
            if y.max() >= logits.shape[1]:
                raise ValueError(f"label='{label}': the label {y.max()} has no logit among {logits.shape[1]}.")
            results, parts = _single_label(logits, y, bins)
            results |= _by_shots(parts, data.array(label, split="train"), shots)
        if per_class:
            results |= {f"class_{name(c)}": value for c, value in parts.items()}
        usual = "features" if of == "logits" else of
        return scoped({f"classification/{key}": value for key, value in results.items()}, scope_of(usual, label))

    return run


def _single_label(logits, y, bins) -> tuple[dict[str, float], dict[int, float]]:
    """Results, and the share of right answers of every class of the test set."""
    right = logits.argmax(1) == y
    log_p = log_softmax(logits)
    confidence = np.exp(log_p.max(1))
    parts = {int(c): float(right[y == c].mean()) for c in np.unique(y)}
    aurc, best = risk_coverage(confidence, ~right)
    results = {"top1": float(right.mean()), "macro": float(np.mean(list(parts.values())))}
    if logits.shape[1] > 5:
        own = np.take_along_axis(logits, y[:, None], 1)
        results["top5"] = float(np.mean((logits > own).sum(1) < 5))
    return {
        **results,
        "nll": float(-np.take_along_axis(log_p, y[:, None], 1).mean()),
        "ece": calibration_error(confidence, right, bins=bins),
        "aurc": aurc,
        "e_aurc": aurc - best,
    }, parts


def _by_shots(parts, train_y, shots) -> dict[str, float]:
    """Means over the classes of each group of training counts; {} where all classes are of one group."""
    counts = np.bincount(train_y[train_y >= 0], minlength=max(parts) + 1)
    group = lambda n: "many" if n > shots[1] else "few" if n < shots[0] else "medium"
    groups: dict[str, list[float]] = {}
    for c, value in parts.items():
        groups.setdefault(group(counts[c]), []).append(value)
    return {name: float(np.mean(values)) for name, values in groups.items()} if len(groups) > 1 else {}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log softmax of logits [N, C] in float64."""
    from scipy.special import log_softmax

    return log_softmax(np.asarray(logits, np.float64), axis=1)


def calibration_error(confidence: np.ndarray, right: np.ndarray, *, bins: int = 15) -> float:
    """Expected calibration error: sum over bins of (share of rows) |share of right rows - mean confidence|.

    Args:
      confidence: [N] in [0, 1].
      right: bool [N].
      bins: equal parts of (0, 1], each without its lower end.

    Source: Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599,
      https://arxiv.org/abs/1706.04599
    """
    place = np.clip(np.ceil(np.asarray(confidence, np.float64) * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=right - np.asarray(confidence, np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def risk_coverage(confidence: np.ndarray, wrong: np.ndarray) -> tuple[float, float]:
    """(AURC, that of the best order): mean over k of the error rate among the k surest rows; lower is better.

    Rows of equal confidence stand in random order: the mean over these orders is taken, so that the result does not
    depend on the order of the rows. The best order has all errors at its end.

    Args:
      confidence: [N].
      wrong: bool [N].

    Source: Geifman, Uziel, El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, 2019,
      arXiv:1805.08206, https://arxiv.org/abs/1805.08206 (which approximates the best order by r + (1 - r) ln(1 - r))
    """
    wrong, size = np.asarray(wrong, np.float64), len(wrong)
    _, place, counts = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=wrong) / counts
    coverage = np.arange(1, size + 1)
    errors = np.cumsum(share[np.sort(place)])
    best = np.maximum(0, coverage - (size - wrong.sum()))
    return float(np.mean(errors / coverage)), float(np.mean(best / coverage))


def precision(scores: np.ndarray, labels: np.ndarray) -> tuple[dict[str, float], dict[int, float]]:
    """({'map': mean}, {class: its average precision}) of scores [N, C] and labels [N, C] of 1, 0 and -1 (left out).

    Classes without a positive row are left out.

    Raises:
      LabelsNeeded: no class has a positive row.
      ValueError: shapes that differ.
    """
    from sklearn.metrics import average_precision_score

    if scores.shape != labels.shape:
        raise ValueError(f"labels of shape {labels.shape} and logits of shape {scores.shape}; they must be equal.")
    parts = {}
    for c in np.flatnonzero((labels == 1).any(axis=0)):
        known = labels[:, c] >= 0
        parts[int(c)] = float(average_precision_score(labels[known, c], scores[known, c]))
    if not parts:
        raise LabelsNeeded("classification: no class has a positive row in the test set")
    return {"map": float(np.mean(list(parts.values())))}, parts
