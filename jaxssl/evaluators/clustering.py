"""How well k-means on frozen features finds the classes."""

import numpy as np

from jaxssl.evaluators.features import EvaluationData


def clustering(data: EvaluationData, *, num_clusters: int | None = None, restarts: int = 10, seed: int = 0):
    """Agreement of k-means clusters of the L2-normalised training and test features with the labels.

    `clustering/accuracy`: share of examples whose cluster is that of their class, under the best one-to-one matching of
    clusters and classes. `clustering/nmi`: normalised mutual information (arithmetic mean). `clustering/ari`: adjusted
    Rand index. Labels are read only to score.

    Args:
      num_clusters: None takes the number of classes.
      restarts: of k-means; the one of least inertia counts.

    Raises:
      LabelsNeeded: without labels.
    """
    data.need_labels("clustering")
    count = data.num_classes if num_clusters is None else num_clusters
    if not isinstance(count, int) or count < 2:
        raise ValueError(f"num_clusters must be an integer of at least 2; got {num_clusters!r}")

    def run(predict, state) -> dict[str, float]:
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        f = data.labelled_features(predict, state, "clustering")
        x, y = np.concatenate([f.train_x, f.test_x]), np.concatenate([f.train_y, f.test_y])
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        found = KMeans(count, n_init=restarts, random_state=seed).fit_predict(x)
        return {
            "clustering/accuracy": matched_accuracy(y, found),
            "clustering/nmi": float(normalized_mutual_info_score(y, found)),
            "clustering/ari": float(adjusted_rand_score(y, found)),
        }

    return run


def matched_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Share of rows in the cluster that is matched to their label, under the best one-to-one matching."""
    from scipy.optimize import linear_sum_assignment

    size = int(max(labels.max(), clusters.max())) + 1
    table = np.zeros((size, size), np.int64)
    np.add.at(table, (labels, clusters), 1)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(labels))
