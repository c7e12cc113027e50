"""How well k-means on frozen features finds the classes."""

from collections.abc import Callable

import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable


@columns(
    Column("clustering/accuracy", "k-means of all examples, ACC"),
    Column("clustering/nmi", "k-means of all examples, NMI"),
    Column("clustering/own_accuracy", "own clusters of all examples, ACC"),
    Column("clustering/own_nmi", "own clusters of all examples, NMI"),
)
def clustering(
    data: EvaluationData, *, num_clusters: int | None = None, restarts: int = 10, seed: int = 0, own: str = ""
) -> Callable:
    """Agreement of k-means clusters of the L2-normalised training and test features with the labels.

    `clustering/accuracy`: share of examples whose cluster is that of their class, under the best one-to-one matching of
    clusters and classes. `clustering/nmi`: normalised mutual information (arithmetic mean). `clustering/ari`: adjusted
    Rand index. Labels are read only to score.

    Args:
      num_clusters: None takes the number of classes.
      restarts: of k-means; the one of least inertia counts.
      own: output of `predict` [N, K] whose largest entry is a cluster; `clustering/own_accuracy` and so on are then the
        agreement of these. A row of the table whose `predict` lacks it, a floor, has no clusters of its own, and k-means
        stands in for them.
      seed: of k-means.

    Raises:
      LabelsNeeded: without labels.
    """
    data.need_labels("clustering")
    count = data.num_classes if num_clusters is None else num_clusters
    if not isinstance(count, int) or count < 2:
        raise ValueError(f"num_clusters={num_clusters!r}: must be an integer of at least 2.")

    def run(predict, state) -> dict[str, float]:
        from sklearn.cluster import KMeans

        f = data.labelled_features(predict, state, "clustering")
        x, y = np.concatenate([f.train_x, f.test_x]), np.concatenate([f.train_y, f.test_y])
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        found = KMeans(count, n_init=restarts, random_state=seed).fit_predict(x)
        results = agreement(y, found)
        if own:
            try:
                parts = [data.outputs(predict, state, (own,), split=split) for split in ("train", "test")]
            except NotApplicable:
                return results | {name.replace("/", "/own_"): value for name, value in results.items()}
            y, scores = (np.concatenate([part[name] for part in parts]) for name in ("label", own))
            scored = agreement(y[y >= 0], scores[y >= 0].argmax(1))
            results |= {name.replace("/", "/own_"): value for name, value in scored.items()}
        return results

    return run


def agreement(labels: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Accuracy, NMI and adjusted Rand index of clusters int [N] against labels int [N]."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "clustering/accuracy": matched_accuracy(labels, clusters),
        "clustering/nmi": float(normalized_mutual_info_score(labels, clusters)),
        "clustering/ari": float(adjusted_rand_score(labels, clusters)),
    }


def matched_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Share of rows in the cluster that is matched to their label, under the best one-to-one matching."""
    from scipy.optimize import linear_sum_assignment

    size = int(max(labels.max(), clusters.max())) + 1
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (labels, clusters), 1)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(labels))
