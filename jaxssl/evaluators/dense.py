"""Dense prediction: classes of pixels from patch features, by nearest neighbours and by a linear map."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.evaluators import probes
from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.features import EvaluationData, NotApplicable

PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5)


@columns(
    Column("segmentation/knn_miou", "segmentation, k-NN (mIoU)"),
    Column("segmentation/linear_miou", "segmentation, linear (mIoU)"),
)
def segmentation(
    data: EvaluationData,
    *,
    target: str = "segmentation",
    of: str = "patches",
    num_classes: int = 0,
    num_images: int = 1280,
    per_image: int = 8,
    num_test_images: int = 400,
    k: int = 20,
    temperature: float = 0.07,
    penalties: tuple[float, ...] = PENALTIES,
    seed: int = 0,
) -> Callable:
    """Mean intersection over union of predicted pixel classes, `segmentation/knn_miou` and `segmentation/linear_miou`.

    The training set is `per_image` random places of each of `num_images` training images, with the class of most of
    their pixels; in an image all its classes are equally likely, however many places they have. Every place of a test
    image gets scores: the votes of its `k` nearest training places, exp(cos / temperature), or the probabilities of a
    logistic regression on standardised features. The scores go to pixels bilinearly; the class of the largest score is
    the pixel's. The mean is over the classes that occur in the test images' pixels. `segmentation/knn_accuracy` and
    `segmentation/linear_accuracy` are shares of right pixels.

    The linear map takes the penalty (relative to the mean loss) with the best mean intersection over union of places on
    the last fifth of the training images, reported as `segmentation/penalty`, and is then fitted to all of them.

    Args:
      target: array int [N, H, W] of the batches, the class of every pixel; outside [0, num_classes) = not counted.
      of: output [N, h, w, D] of `predict`.
      num_classes: C; 0 takes as many as there are names in `<target>_names` of the source's `extra`.
      num_images, num_test_images: number of images of each part, the first ones.
      per_image: number of places of an image.
      seed: of the draw of places.
      k, temperature: of the nearest neighbours, as in `evaluators.knn`.
      penalties: tried.

    Raises:
      NotApplicable: at build time without a test set or a number of classes; when run, without such an array or output,
        or with fewer places than k.
      ValueError: bad options.

    Source: the nearest neighbours of patches as in Balazevic, Steiner, Parthasarathy, Arandjelovic, Henaff, Towards
      In-context Scene Understanding, 2023, arXiv:2306.01667, https://arxiv.org/abs/2306.01667
    """
    for name, value in dict(num_images=num_images, per_image=per_image, num_test_images=num_test_images, k=k).items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: must be an integer of at least 1.")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature!r}: must be above 0.")
    if not penalties or min(penalties) <= 0:
        raise ValueError(f"penalties={penalties!r}: must be one or more positive numbers.")
    if data.test_batches is None:
        raise NotApplicable("segmentation needs a test set; the data has none")
    learnt = dataclasses.replace(data, train_batches=lambda: _first(data.train_batches(), num_images))
    tested = dataclasses.replace(data, test_batches=lambda: _first(data.test_batches(), num_test_images))
    num_classes = num_classes or len(data.extra.get(f"{target}_names", ()))
    if not num_classes:
        raise NotApplicable(
            f"segmentation: num_classes=0 and the data has no '{target}_names'; give the number of classes"
        )
    options = dict(target=target, of=of, num_classes=num_classes)
    sample = functools.partial(_sample, count=per_image, seed=seed, **options)

    def run(predict, state) -> dict[str, float]:
        places = learnt.outputs(predict, state, (of,), split="train", reduce=sample)
        x, labels = (places[name][:num_images] for name in ("places", "labels"))
        image = np.repeat(np.arange(len(x)), per_image).reshape(labels.shape)
        x, labels, image = x[labels >= 0], labels[labels >= 0], image[labels >= 0]
        if len(x) < max(k, 2):
            raise NotApplicable(f"segmentation: k={k} neighbours but only {len(x)} places of {num_images} images")
        mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
        standardised = (x - mean) / np.where(std > 0, std, 1)
        coef, intercept, penalty = _linear(standardised, labels, image, penalties, num_classes)
        coef = coef / np.where(std > 0, std, 1)[:, None]
        scorers = {
            "knn": functools.partial(
                knn_scores, train_x=x, train_y=labels, k=k, temperature=temperature, num_classes=num_classes
            ),
            "linear": functools.partial(_probabilities, coef=coef, intercept=intercept - mean @ coef),
        }
        count = functools.partial(_count, scorers=scorers, **options)
        found, results = tested.outputs(predict, state, (of,), reduce=count), {"segmentation/penalty": penalty}
        for name in scorers:
            confusion = found[name][:num_test_images].sum(0, dtype=np.int64)
            results[f"segmentation/{name}_miou"] = mean_iou(confusion)
            results[f"segmentation/{name}_accuracy"] = float(np.trace(confusion) / max(confusion.sum(), 1))
        return results

    return run


def knn_scores(
    x: jax.Array, *, train_x: jax.Array, train_y: jax.Array, k: int, temperature: float, num_classes: int
) -> jax.Array:
    """Shares of the classes among the votes exp(cos / temperature) of the k nearest of `train_x` [M, D].

    Args:
      x: [N, D].
      train_x: [M, D].
      train_y: int [M].
      k, temperature: as in `evaluators.knn`.
      num_classes: C.

    Returns:
      [N, C].
    """
    unit = lambda a: a / jnp.maximum(jnp.linalg.norm(a, axis=1, keepdims=True), 1e-12)
    train_y = jnp.asarray(train_y)
    # bfloat16 or TF32 products would reorder close neighbours.
    similarity = jnp.matmul(unit(x), unit(jnp.asarray(train_x)).T, precision="highest")
    # Without the barrier XLA merges what follows into the selection and sorts whole rows.
    nearest, ids = jax.lax.optimization_barrier(jax.lax.top_k(similarity, k))
    votes = jax.nn.softmax(nearest / temperature, axis=1)
    return jnp.sum(votes[:, :, None] * (train_y[ids][:, :, None] == jnp.arange(num_classes)), axis=1)


def place_labels(masks: jax.Array, grid: tuple[int, int], num_classes: int) -> jax.Array:
    """The class of most pixels of every cell of a grid; of equally many the lowest; -1 where no pixel counts.

    Args:
      masks: int [N, H, W]; what is not in [0, num_classes) does not count.
      grid: (h, w). A pixel belongs to the cell in which its centre lies.

    Returns:
      int32 [N, h, w].
    """
    cell = lambda size, cells: jnp.arange(size) * cells // size == jnp.arange(cells)[:, None]
    rows, cols = (cell(size, cells).astype(jnp.float32) for size, cells in zip(masks.shape[1:], grid, strict=True))
    pixels = (masks[..., None] == jnp.arange(num_classes)).astype(jnp.float32)
    counts = jnp.einsum("hy,nyxc,wx->nhwc", rows, pixels, cols)
    return jnp.where(counts.sum(-1) > 0, jnp.argmax(counts, axis=-1), -1).astype(jnp.int32)


def to_pixels(scores: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Scores [N, h, w, C] of the cells of a grid as scores [N, H, W, C] of pixels, bilinearly between cell centres."""
    return jax.image.resize(scores, (len(scores), *size, scores.shape[-1]), "linear", antialias=False)


def confusion_matrix(target: jax.Array, predicted: jax.Array, num_classes: int) -> jax.Array:
    """int32 [C, C], how many entries of class i are predicted as class j; targets outside [0, C) are left out."""
    counts = (target >= 0) & (target < num_classes)
    pairs = jnp.where(counts, target.astype(jnp.int32) * num_classes + predicted, num_classes**2)
    return jnp.bincount(pairs.reshape(-1), length=num_classes**2 + 1)[:-1].reshape(num_classes, num_classes)


def mean_iou(confusion: np.ndarray) -> float:
    """Mean over the classes that occur of |target and predicted| / |target or predicted|, from counts [C, C]."""
    right = np.diag(confusion).astype(np.float64)
    targets, predicted = confusion.sum(1), confusion.sum(0)
    present = targets > 0
    return float(np.mean((right / np.maximum(targets + predicted - right, 1))[present])) if present.any() else 0.0


def _first(batches, count):
    """Whole batches until `count` rows have come; results are cut to `count` afterwards."""
    rows = 0
    for batch in batches:
        if rows >= count:
            return
        yield batch
        rows += len(batch["index"])


def _masks(batch, target, patches):
    if target not in batch:
        raise NotApplicable(f"segmentation: the batches have no '{target}' [N, H, W], only {sorted(batch)}")
    if patches.ndim != 4:
        raise ValueError(f"segmentation needs patches [N, h, w, D]; predict gave {patches.shape}")
    if batch[target].ndim != 3:
        raise ValueError(f"segmentation: '{target}' has shape {batch[target].shape}; int [N, H, W] would be right")
    return batch[target].astype(jnp.int32)


def _sample(batch, found, *, target, of, num_classes, count, seed):
    """`count` random places of every image, all its classes alike: features [N, count, D] and labels [N, count]."""
    patches = found[of]
    labels = place_labels(_masks(batch, target, patches), patches.shape[1:3], num_classes)

    def one(index, patches, labels):
        key = jax.random.fold_in(jax.random.key(seed), index)
        labels = labels.reshape(-1)
        often = jnp.sum(labels[:, None] == labels, axis=1)
        # The largest of log(weight) + Gumbel noise: a draw without replacement. Places that do not count come last.
        score = jnp.where(labels >= 0, jax.random.gumbel(key, labels.shape) - jnp.log(often), -jnp.inf)
        ids = jnp.resize(jax.lax.top_k(score, min(count, labels.size))[1], (count,))
        return patches.reshape(-1, patches.shape[-1])[ids].astype(jnp.float32), labels[ids]

    x, y = jax.vmap(one)(batch["index"], patches, labels)
    return {"places": x, "labels": y}


def _count(batch, found, *, target, of, num_classes, scorers):
    """Counts [N, C, C] of every image, of each scorer."""
    patches = found[of]
    masks = _masks(batch, target, patches)

    def one(image):
        patches, mask = image
        rows = patches.reshape(-1, patches.shape[-1]).astype(jnp.float32)
        counts = {}
        for name, scores in scorers.items():
            cells = scores(rows).reshape(1, *patches.shape[:2], num_classes)
            counts[name] = confusion_matrix(mask, jnp.argmax(to_pixels(cells, mask.shape)[0], axis=-1), num_classes)
        return counts

    return jax.lax.map(one, (patches, masks))


def _probabilities(x, *, coef, intercept):
    coef, intercept = jnp.asarray(coef, jnp.float32), jnp.asarray(intercept, jnp.float32)
    return jax.nn.softmax(jnp.matmul(x, coef, precision="highest") + intercept)


def _linear(x, labels, image, penalties, num_classes):
    """(coef [D, C], intercept [C], penalty) of a logistic regression on standardised places x [M, D]."""
    x, labels = jnp.asarray(x, jnp.float32), jnp.asarray(labels)
    rotated = probes.rotate(x)
    held_out = image >= np.quantile(image, 0.8) if len(np.unique(image)) > 4 else np.arange(len(image)) % 5 == 4
    weight, params, scores = jnp.asarray(~held_out, jnp.float32), probes.zero_start(rotated, num_classes), {}
    for penalty in sorted(penalties, reverse=True):
        params = probes.fit_logistic(rotated, labels, penalty, weight, params, 1e-4, 200)
        coef, intercept = (np.asarray(p) for p in probes.unrotate(rotated, params))
        predicted = np.argmax(np.asarray(x)[held_out] @ coef + intercept, axis=1)
        confusion = confusion_matrix(labels[held_out], jnp.asarray(predicted), num_classes)
        scores[penalty] = mean_iou(np.asarray(confusion))
    best = max(scores, key=lambda penalty: (scores[penalty], penalty))
    params = probes.fit_logistic(rotated, labels, best, jnp.ones(len(x)), params, 1e-5, 500)
    return *(np.asarray(p, np.float64) for p in probes.unrotate(rotated, params)), best
