"""Coresets: the part of a data set that stands for the whole of it, chosen by distances between embeddings."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.files import whole_file

# Rows whose similarities to all others are held at once.
BLOCK = 256
# Gains that differ by less, an example, are equal.
TIE = 1e-11

Select = Literal["k_center", "facility_location", "random"]


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1, so that distances are those of cosines; a zero row stays zero. [N, D] -> [N, D]."""
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def k_center(x: np.ndarray, budget: int) -> np.ndarray:
    """The greedy solution of the k-centre problem: each choice is the point farthest from all choices before it.

    The first choice is the point nearest to the mean; of equal distances the lower row counts. The covering radius
    max_i min_j |x_i - x_j| is at most twice the least possible one of that many centres (with any first choice).

    Args:
      x: embeddings, float [N, D].
      budget: number of centres, 1 .. N.

    Returns:
      Rows in the order of choice, int64 [budget].

    Raises:
      ValueError: an array that is not [N, D] or not finite, a budget outside of 1 .. N.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance, 1985, doi:10.1016/0304-3975(85)90224-5;
      as a coreset: Sener, Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach, 2017,
      arXiv:1708.00489, https://arxiv.org/abs/1708.00489
    """
    x = checked(x, budget)
    x = x - x.mean(axis=0)
    squares = np.square(x).sum(axis=1)
    chosen, taken = np.empty(budget, np.int64), np.zeros(len(x), bool)
    nearest, row = np.full(len(x), np.inf), int(np.argmin(squares))
    for i in range(budget):
        chosen[i], taken[row] = row, True
        nearest = np.minimum(nearest, np.maximum(squares + squares[row] - 2 * x @ x[row], 0))
        row = int(np.argmax(np.where(taken, -1.0, nearest)))  # of duplicates none is chosen twice
    return chosen


def facility_location(x: np.ndarray, budget: int, *, block: int = BLOCK) -> np.ndarray:
    """The greedy solution of facility location: each choice adds most to the sum of similarities to the nearest choice.

        f(S) = sum_i max_{j in S} s_ij,   s_ij = 1 + cos(x_i, x_j) >= 0

    f is monotone and submodular, so that the greedy value is at least 1 - 1/e of the largest. The gains of all candidates
    are kept and updated for the rows that a choice has come nearer to: about N^2 D log(budget) products in
    all. The similarities [N, N] are never held at once.

    Args:
      x: embeddings, float [N, D].
      budget: number of choices, 1 .. N.
      block: rows whose similarities to all others are held at once; the result does not depend on it.

    Returns:
      Rows in the order of choice, int64 [budget]; of equal gains the lower row.

    Raises:
      ValueError: as `k_center`.

    Source: Nemhauser, Wolsey, Fisher, An analysis of approximations for maximizing submodular set functions, 1978,
      doi:10.1007/BF01588971
    """
    z = unit_rows(checked(x, budget))
    best, chosen, taken = np.zeros(len(z)), np.empty(budget, np.int64), np.zeros(len(z), bool)
    gains = len(z) + z @ z.sum(axis=0)
    for i in range(budget):
        free = np.where(taken, -np.inf, gains)
        # Two points that are covered by none but each other gain the same, but for rounding.
        row = int(np.flatnonzero(free >= free.max() - TIE * len(z))[0])
        chosen[i], taken[row] = row, True
        near = 1 + z @ z[row]
        nearer = np.flatnonzero(near > best)
        for part in (nearer[j : j + block] for j in range(0, len(nearer), block)):
            similarity = 1 + z[part] @ z.T
            gains -= np.clip(similarity, best[part, None], near[part, None]).sum(axis=0) - best[part].sum()
        best = np.maximum(best, near)
    return chosen


def random_rows(num_rows: int, budget: int, seed: int = 0) -> np.ndarray:
    """Rows drawn without replacement, int64 [budget]; a smaller budget draws the first of them."""
    _check_budget(budget, num_rows)
    return np.random.default_rng(seed).permutation(num_rows)[:budget].astype(np.int64)


def covering(x: np.ndarray, chosen: np.ndarray, *, block: int = BLOCK) -> dict[str, float]:
    """How well the rows `chosen` stand for all rows of `x` [N, D].

    Args:
      x: embeddings, float [N, D].
      chosen: rows, int [budget].
      block: rows whose distances are held at once; the result does not depend on it.

    Returns:
      {`radius`: max_i min_j |x_i - x_j|, which `k_center` makes small, `distance`: mean_i min_j |x_i - x_j|,
      `similarity`: mean_i max_j cos(x_i, x_j), which `facility_location` makes large}.
    """
    x, z = np.asarray(x, np.float64), unit_rows(np.asarray(x, np.float64))
    squares, centres = np.square(x).sum(1), x[chosen]
    nearest, closest = [], []
    for i in range(0, len(x), block):
        part = slice(i, i + block)
        distance = squares[part, None] - 2 * x[part] @ centres.T + squares[chosen]
        nearest.append(np.sqrt(np.maximum(distance.min(axis=1), 0)))
        closest.append((z[part] @ z[chosen].T).max(axis=1))
    nearest, closest = np.concatenate(nearest), np.concatenate(closest)
    nearest[chosen] = 0.0
    return {"radius": float(nearest.max()), "distance": float(nearest.mean()), "similarity": float(closest.mean())}


def checked(x: np.ndarray, budget: int) -> np.ndarray:
    """`x` as float64 [N, D]. Raises ValueError where it is something else, or the budget does not fit."""
    x = np.asarray(x)
    if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"embeddings are {x.dtype} {list(x.shape)}; they must be floats [N, D]")
    wrong = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if wrong.size:
        raise ValueError(f"embeddings: {wrong.size} rows are not finite, the first is {wrong[0]}")
    _check_budget(budget, len(x))
    return x.astype(np.float64)


def _check_budget(budget, num_rows):
    if not 1 <= budget <= num_rows:
        raise ValueError(f"budget={budget}: must be at least 1 and at most {num_rows}, the number of examples.")


@columns(
    Column("coreset/examples", "examples", "", ""),
    Column("coreset/radius", "covering radius", "", "lower"),
    Column("coreset/distance", "mean distance", "", "lower"),
    Column("coreset/similarity", "mean cosine", "", "higher"),
    Column("coreset/classes", "entropy of classes", "%", "higher"),
)
def coreset(
    splits: Any,
    workdir: Path,
    *,
    embeddings: str,
    budget: int | None = None,
    fraction: float | None = None,
    select: Select = "k_center",
    normalize: bool = True,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Chooses a coreset by embeddings of an earlier run and writes its ids; a random part of the same size beside it.

    ids.npy in the run folder gets `index` of the chosen examples, int64 [budget], in the order of choice, which
    `data.subset.chosen` reads.

    Args:
      splits: the data; labels are looked at for the report only.
      workdir: run folder.
      embeddings: .npz with `features` [N, D] and `index` [N] of the training examples, as `after.embed` writes.
      budget: number of examples; or
      fraction: their share of the training examples.
      select: 'k_center', 'facility_location', or 'random', which looks at no embedding.
      normalize: k_center takes rows of length 1, so that distances are those of cosines.
      seed: of the random part.

    Returns:
      Rows 'coreset' (or 'random') and 'random, same size': numbers of `covering` and how evenly the classes are met.

    Raises:
      ValueError: embeddings that are not of these data or not finite, a budget that does not fit, both or none given.
    """
    if (budget is None) == (fraction is None):
        raise ValueError(f"study.budget={budget}, study.fraction={fraction}: just one of them would be right.")
    features, index = read_embeddings(embeddings)
    known = np.isin(index, np.arange(getattr(splits.train, "num_ids", splits.train.size)))
    if not known.all():
        raise ValueError(f"study.embeddings='{embeddings}': {(~known).sum()} ids are none of the data.")
    if budget is None and not 0 < fraction <= 1:
        raise ValueError(f"study.fraction={fraction}: must lie in (0, 1].")
    budget = budget if budget is not None else max(1, round(fraction * len(index)))
    _check_budget(budget, len(index))
    x = unit_rows(np.asarray(features, np.float64)) if normalize else features
    chance = random_rows(len(index), budget, seed)
    if select == "random":
        rows = {"random": chance}
    else:
        chosen = (k_center if select == "k_center" else facility_location)(x, budget)
        rows = {"coreset": chosen, "random, same size": chance}
    with whole_file(Path(workdir) / "ids.npy") as file:
        np.save(file, index[next(iter(rows.values()))])
    label = np.asarray(splits.train.fetch(index)["label"]) if splits.train.num_classes > 1 else None
    return {name: _row(x, chosen, label, splits.train.num_classes) for name, chosen in rows.items()}


def read_embeddings(path: str) -> tuple[np.ndarray, np.ndarray]:
    """(features [N, D], index int64 [N]) of a .npz file. Raises ValueError where it is none, or lacks them."""
    try:
        with np.load(path) as found:
            features, index = found["features"], np.asarray(found["index"], np.int64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"study.embeddings='{path}': no .npz file with `features` [N, D] and `index` [N] ({error}); the `after.embed` of"
            " a stage writes one."
        ) from None
    if len(features) != len(index):
        raise ValueError(f"study.embeddings='{path}': {len(features)} rows of features, {len(index)} of index.")
    return features, index


def _row(x, chosen, label, num_classes):
    row = {"coreset/examples": len(chosen), **{f"coreset/{k}": v for k, v in covering(x, chosen).items()}}
    if label is not None:
        share = np.bincount(label[chosen][label[chosen] >= 0], minlength=num_classes) / len(chosen)
        share = share[share > 0]
        row["coreset/classes"] = float(-(share * np.log(share)).sum() / np.log(num_classes))
    return row
