"""Segmentation from patch features: against loops, and cases with a known answer."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.evaluators.dense import (
    confusion_matrix,
    knn_scores,
    mean_iou,
    place_labels,
    segmentation,
    to_pixels,
)
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.floors.patches import patches

STATE = SimpleNamespace(params={}, memory={}, step=0)
C = 3


def make(num_train=12, num_test=6, size=12, grid=4, dim=5, noise=0.0, seed=0, batch=5, **extra):
    """Data whose patch features are noisy codes of the class of the patch, and `predict` that gives them."""
    random = np.random.default_rng(seed)
    codes = random.normal(size=(C, dim))
    cell = size // grid

    def part(count):
        cells = random.integers(0, C, (count, grid, grid))
        masks = np.repeat(np.repeat(cells, cell, axis=1), cell, axis=2).astype(np.uint8)
        patches = codes[cells] + noise * random.normal(size=(count, grid, grid, dim))
        return {"segmentation": masks, "patches": patches.astype(np.float32), "index": np.arange(count)}

    def batches(arrays):
        def serve():
            for start in range(0, len(arrays["index"]), batch):
                yield {name: x[start : start + batch] for name, x in arrays.items()}

        return serve

    train, test = part(num_train), part(num_test)
    predict = jax.jit(
        lambda params, memory, batch: {"patches": batch["patches"], "features": batch["patches"][:, 0, 0]}
    )
    data = EvaluationData(
        batches(train), batches(test), num_classes=10, extra={"segmentation_names": np.array(["a", "b", "c"]), **extra}
    )
    return data, predict, train, test


def naive_place_labels(masks, grid, num_classes):
    out = np.full((len(masks), *grid), -1)
    for n, i, j in np.ndindex(out.shape):
        counts = np.zeros(num_classes, int)
        for y, x in np.ndindex(masks.shape[1:]):
            inside = y * grid[0] // masks.shape[1] == i and x * grid[1] // masks.shape[2] == j
            if inside and 0 <= masks[n, y, x] < num_classes:
                counts[masks[n, y, x]] += 1
        if counts.sum():
            out[n, i, j] = counts.argmax()
    return out


@pytest.mark.parametrize("grid", [(2, 3), (4, 4), (1, 1)])
def test_place_labels_match_loops(grid):
    masks = np.random.default_rng(0).integers(-1, 5, (3, 9, 10))
    masks[0, :5] = 255
    np.testing.assert_array_equal(
        jax.jit(place_labels, static_argnums=(1, 2))(masks, grid, 4), naive_place_labels(masks, grid, 4)
    )


def naive_to_pixels(scores, size):
    out = np.zeros((len(scores), *size, scores.shape[-1]))
    for n, y, x in np.ndindex(out.shape[:3]):
        for i, j in np.ndindex(scores.shape[1:3]):
            at = [(p + 0.5) * cells / length - 0.5 for p, cells, length in zip((y, x), scores.shape[1:3], size)]
            at = [min(max(a, 0), cells - 1) for a, cells in zip(at, scores.shape[1:3])]
            out[n, y, x] += max(0, 1 - abs(at[0] - i)) * max(0, 1 - abs(at[1] - j)) * scores[n, i, j]
    return out


def test_scores_go_to_pixels_bilinearly():
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(to_pixels(scores, (7, 12)), naive_to_pixels(scores, (7, 12)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(to_pixels(scores, (3, 4)), scores)


def test_confusion_and_mean_iou_by_hand():
    target = np.array([0, 0, 0, 1, 1, 2, 255, -1])
    predicted = np.array([0, 0, 1, 1, 3, 3, 0, 0])
    confusion = np.asarray(confusion_matrix(target, predicted, 4))
    np.testing.assert_array_equal(confusion, [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    # Class 3 does not occur; it only takes pixels from others.
    assert mean_iou(confusion) == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert mean_iou(np.zeros((4, 4), int)) == 0


def naive_knn(x, train_x, train_y, k, temperature):
    out = np.zeros((len(x), C))
    for n, row in enumerate(x):
        cosines = [row @ other / np.linalg.norm(row) / np.linalg.norm(other) for other in train_x]
        for i in np.argsort(cosines)[::-1][:k]:
            out[n, train_y[i]] += np.exp(cosines[i] / temperature)
        out[n] /= out[n].sum()
    return out


def test_votes_match_loops():
    random = np.random.default_rng(0)
    x, train_x, train_y = random.normal(size=(4, 6)), random.normal(size=(9, 6)), random.integers(0, C, 9)
    found = knn_scores(
        jnp.float32(x), train_x=np.float32(train_x), train_y=train_y, k=5, temperature=0.1, num_classes=C
    )
    np.testing.assert_allclose(found, naive_knn(x, train_x, train_y, 5, 0.1), rtol=1e-3, atol=1e-6)


OPTIONS = dict(num_images=12, per_image=16, num_test_images=6, k=3, penalties=(1e-3, 1e-5))


def test_the_whole_evaluator_matches_loops():
    """All places of all images are learnt from: then nothing is random."""
    data, predict, train, test = make(noise=1.0)
    # A flat vote: where neighbours agree entirely, pixels half-way between cells would be ties.
    found = segmentation(data, **{**OPTIONS, "k": 5, "temperature": 1.0})(predict, STATE)
    x, y = train["patches"].reshape(-1, 5), naive_place_labels(train["segmentation"], (4, 4), C).reshape(-1)
    votes = naive_knn(test["patches"].reshape(-1, 5), x, y, 5, 1.0).reshape(6, 4, 4, C)
    predicted = naive_to_pixels(votes, (12, 12)).argmax(-1)
    ious = []
    for c in range(C):
        here, said = test["segmentation"] == c, predicted == c
        ious.append((here & said).sum() / (here | said).sum())
    assert found["segmentation/knn_miou"] == pytest.approx(np.mean(ious), abs=1e-6)
    assert found["segmentation/knn_accuracy"] == pytest.approx((predicted == test["segmentation"]).mean(), abs=1e-6)
    assert found["segmentation/penalty"] in (1e-3, 1e-5)


def test_separable_classes_are_found():
    """Cells as large as pixels: nothing is lost at borders, and both reach 1."""
    data, predict, _, _ = make(size=4)
    found = segmentation(data, **OPTIONS)(predict, STATE)
    assert found["segmentation/knn_miou"] == 1 and found["segmentation/linear_miou"] == 1


def test_features_without_the_class_give_chance():
    data, predict, _, _ = make(num_train=40, num_test=30, noise=100.0)
    found = segmentation(data, **{**OPTIONS, "num_images": 40, "num_test_images": 30})(predict, STATE)
    assert 0.1 < found["segmentation/knn_miou"] < 0.3 and found["segmentation/linear_miou"] < 0.3


def test_only_the_first_images_count_whatever_the_batch():
    values = []
    for batch in (5, 12):
        data, predict, train, test = make(noise=1.0, batch=batch)
        values.append(
            segmentation(data, **{**OPTIONS, "num_images": 7, "num_test_images": 3, "per_image": 5})(predict, STATE)
        )
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    data, predict, _, _ = make(noise=1.0, num_train=40)
    assert segmentation(data, **{**OPTIONS, "per_image": 2, "seed": 0})(predict, STATE) != segmentation(
        data, **{**OPTIONS, "per_image": 2, "seed": 1}
    )(predict, STATE)


def test_pixels_that_do_not_count_reach_nothing():
    data, predict, train, test = make(size=4)
    train["segmentation"][:, 0], test["segmentation"][:, 0] = 255, 255
    train["patches"][:, 0], test["patches"][:, 0] = 7, -7
    assert segmentation(data, **OPTIONS)(predict, STATE)["segmentation/knn_miou"] == 1


def test_what_is_missing_is_said():
    data, predict, train, test = make()
    with pytest.raises(NotApplicable, match="needs a test set"):
        segmentation(EvaluationData(data.train_batches))
    with pytest.raises(NotApplicable, match="the data has no 'other_names'; give the number of classes"):
        segmentation(data, target="other")
    with pytest.raises(NotApplicable, match=r"the batches have no 'other' \[N, H, W\]"):
        segmentation(data, target="other", num_classes=3, **OPTIONS)(predict, STATE)
    with pytest.raises(NotApplicable, match="predict gives no 'maps'"):
        segmentation(data, of="maps", **OPTIONS)(predict, STATE)
    with pytest.raises(ValueError, match=r"needs patches \[N, h, w, D\]"):
        segmentation(data, of="features", **OPTIONS)(predict, STATE)
    with pytest.raises(NotApplicable, match="k=20 neighbours but only 12 places"):
        segmentation(data, num_images=12, per_image=1)(predict, STATE)
    for wrong in (dict(k=0), dict(num_images=1.5), dict(temperature=0), dict(penalties=())):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            segmentation(data, **wrong)


def test_places_are_drawn_from_all_classes_of_an_image_alike():
    """One place in sixteen is of class 1, and half of the draws."""
    from jaxssl.evaluators.dense import _sample

    masks = np.zeros((400, 4, 4), np.uint8)
    masks[:, 1, 2] = 1
    batch = {"segmentation": masks, "index": np.arange(400)}
    found = {"patches": jnp.arange(16.0).reshape(1, 4, 4, 1) * jnp.ones((400, 1, 1, 1))}
    drawn = jax.jit(lambda b, f: _sample(b, f, target="segmentation", of="patches", num_classes=2, count=1, seed=0))(
        batch, found
    )
    assert 0.4 < np.mean(drawn["labels"]) < 0.6
    np.testing.assert_array_equal(drawn["places"][..., 0] == 6, drawn["labels"] == 1)
    # All of them: each once.
    every = _sample(batch, found, target="segmentation", of="patches", num_classes=2, count=16, seed=0)
    np.testing.assert_array_equal(np.sort(every["places"][..., 0], axis=1), np.tile(np.arange(16), (400, 1)))


def test_floors_are_the_pixels_of_patches():
    images = np.random.default_rng(0).normal(size=(3, 8, 12, 3)).astype(np.float32)
    preprocess = lambda key, batch: {"x": batch["image"]}
    raw = patches(None, preprocess, patch_size=4)({}, {}, {"image": images})
    assert raw["patches"].shape == (3, 2, 3, 48)
    np.testing.assert_array_equal(raw["patches"][1, 1, 2], images[1, 4:8, 8:12].reshape(-1))
    mean = patches(None, preprocess, patch_size=4, colour=True)({}, {}, {"image": images})["patches"]
    np.testing.assert_allclose(mean[1, 1, 2], images[1, 4:8, 8:12].mean((0, 1)), rtol=1e-5, atol=1e-6)
