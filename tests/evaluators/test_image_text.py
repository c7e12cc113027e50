"""Zero-shot classification and retrieval against loops and scikit-learn."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

from jaxssl.evaluators.features import EvaluationData, LabelsNeeded, NotApplicable
from jaxssl.evaluators.floors.flat import flat
from jaxssl.evaluators.retrieval import first_hit, retrieval
from jaxssl.evaluators.zero_shot import zero_shot, zero_shot_logits, zero_shot_weights

STATE = SimpleNamespace(params={}, memory={}, step=jnp.int32(7))
N, D, CLASSES, PROMPTS, LENGTH = 50, 6, 4, 3, 5
RANDOM = np.random.default_rng(0)
IMAGES, TABLE = RANDOM.normal(size=(N, D)).astype(np.float32), RANDOM.normal(size=(30, D)).astype(np.float32)
LABELS, TOKENS = RANDOM.integers(0, CLASSES, N).astype(np.int32), RANDOM.integers(0, 30, (N, LENGTH)).astype(np.int32)
LABELS[7] = -1
PROMPT_TOKENS = RANDOM.integers(0, 30, (CLASSES, PROMPTS, LENGTH)).astype(np.int32)
EXTRA = {"prompts": PROMPT_TOKENS, "prompt_length": np.full((CLASSES, PROMPTS), 4, np.int32)}


def batches(size=16):
    """Rows backwards, the last batch filled up with rows that must not be read."""
    order = np.arange(N)[::-1]
    for start in range(0, N, size):
        ids = order[start : start + size]
        ids = np.concatenate([ids, np.zeros(size - len(ids), int)])
        arrays = dict(image=IMAGES[ids], tokens=TOKENS[ids], label=LABELS[ids], index=ids, meaning=ids // 2)
        arrays["length"] = np.full(size, LENGTH, np.int32)
        yield {k: jnp.asarray(v) for k, v in arrays.items()} | {"_mask": np.arange(size) < N - start}


def embed(tokens, length):
    """A text is the sum of its first tokens, in some length."""
    return np.stack([TABLE[t[:n]].sum(0) for t, n in zip(tokens, length)])


def predict(params, memory, batch):
    tokens, length = np.asarray(batch["tokens"]), np.asarray(batch["length"])
    return {"features": batch["image"], "image_embedding": batch["image"], "text_embedding": embed(tokens, length)}


DATA = EvaluationData(batches, batches, num_classes=CLASSES, extra=EXTRA)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_zero_shot_is_the_nearest_mean_of_the_prompts():
    metrics = zero_shot(DATA)(predict, STATE)
    rows, single = LABELS >= 0, []
    prompts = np.stack([unit(embed(p, [4] * PROMPTS)) for p in PROMPT_TOKENS])

    def accuracy(weights):
        return np.mean([max(range(CLASSES), key=lambda c: unit(x) @ weights[c]) for x in IMAGES[rows]] == LABELS[rows])

    for p in range(PROMPTS):
        single.append(accuracy(prompts[:, p]))
    assert metrics["zero_shot/top1"] == pytest.approx(accuracy(unit(prompts.mean(1))))
    assert metrics["zero_shot/top1_single_template"] == pytest.approx(np.mean(single))
    assert len(set(single)) > 1


def test_each_prompt_is_normalised_before_the_mean():
    t = np.array([[[100.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(zero_shot_weights(t), [[np.sqrt(0.5)] * 2], rtol=1e-6)
    np.testing.assert_allclose(zero_shot_logits([[3.0, 0.0]], zero_shot_weights(t)), [[100 * np.sqrt(0.5)]], rtol=1e-6)


def test_prompts_go_through_the_text_tower_in_chunks_of_a_batch():
    sizes = []

    def counting(params, memory, batch):
        sizes.append(len(batch["tokens"]))
        return predict(params, memory, batch)

    data = EvaluationData(lambda: batches(5), lambda: batches(5), num_classes=CLASSES, extra=EXTRA)
    small = zero_shot(data)(counting, STATE)
    assert set(sizes) == {5} and small == zero_shot(DATA)(predict, STATE)


def test_zero_shot_says_what_is_missing():
    with pytest.raises(NotApplicable, match="no 'prompts'"):
        zero_shot(EvaluationData(batches, batches, num_classes=CLASSES))
    with pytest.raises(LabelsNeeded):
        zero_shot(EvaluationData(batches, None, num_classes=CLASSES, extra=EXTRA))
    with pytest.raises(ValueError, match="K = 3 classes"):
        zero_shot(EvaluationData(batches, batches, num_classes=3, extra=EXTRA))
    with pytest.raises(ValueError, match="prompts have 2 tokens"):
        short = {**EXTRA, "prompts": PROMPT_TOKENS[..., :2]}
        zero_shot(EvaluationData(batches, batches, num_classes=CLASSES, extra=short))(predict, STATE)
    floor = flat(None, lambda key, batch: {"x": {"image": batch["image"], "tokens": batch["tokens"]}}, only="image")
    np.testing.assert_array_equal(DATA.features(floor, STATE).test_x, IMAGES)
    for evaluator in (zero_shot, retrieval):
        with pytest.raises(NotApplicable, match="image_embedding"):
            evaluator(DATA)(floor, STATE)


def test_retrieval_without_groups_is_scikit_learns():
    scores = unit(IMAGES) @ unit(embed(TOKENS, [LENGTH] * N)).T
    metrics = retrieval(DATA)(predict, STATE)
    for k in (1, 5):
        assert metrics[f"retrieval/recall_at_{k}"] == top_k_accuracy_score(range(N), scores, k=k, labels=range(N))
    assert metrics["retrieval/mrr"] == pytest.approx(label_ranking_average_precision_score(np.eye(N), scores))
    backwards = retrieval(DATA, query="text_embedding", target="image_embedding")(predict, STATE)
    assert backwards["retrieval/mrr"] == pytest.approx(label_ranking_average_precision_score(np.eye(N), scores.T))


def test_retrieval_counts_the_first_of_a_group():
    target = embed(TOKENS, [LENGTH] * N)
    scores, expected = unit(IMAGES) @ unit(target).T, []
    for n in range(N):
        order = np.argsort(-scores[n])
        expected.append(1 + next(i for i, m in enumerate(order) if m // 2 == n // 2))
    np.testing.assert_array_equal(first_hit(IMAGES, target, np.arange(N) // 2), expected)
    metrics = retrieval(DATA, groups="meaning", ks=(3,))(predict, STATE)
    assert metrics == {
        "retrieval/recall_at_3": pytest.approx(np.mean(np.array(expected) <= 3)),
        "retrieval/mrr": pytest.approx(np.mean(1 / np.array(expected))),
    }
    with pytest.raises(NotApplicable, match="no 'caption'"):
        retrieval(DATA, groups="caption")(predict, STATE)


def test_perfect_and_collapsed_embeddings():
    np.testing.assert_array_equal(first_hit(IMAGES, 3 * IMAGES), 1)
    ones = np.ones((N, D))
    np.testing.assert_array_equal(first_hit(ones, ones), N)
    np.testing.assert_array_equal(first_hit(ones, ones, np.zeros(N)), 1)
    np.testing.assert_array_equal(first_hit(np.zeros((N, D)), ones), N)
    with pytest.raises(ValueError, match="ks"):
        retrieval(DATA, ks=(0,))


def test_ridge_to_words_finds_the_words_of_a_picture():
    """Generated captions of the bundled images: far above chance without a network, and images alone have features."""
    from jaxssl.augment.image_text import plain
    from jaxssl.data.pipeline import evaluation_batches
    from jaxssl.data.sets.fashion_captions import fashion_captions
    from jaxssl.evaluators.floors.pairs import ridge_to_words

    splits = fashion_captions(limit=1000)
    batches = lambda source: lambda: evaluation_batches(source, batch_size=200)
    data = EvaluationData(batches(splits.train), batches(splits.test), 10, extra=splits.test.extra)
    predict = ridge_to_words(data, plain(mean=(0.3,), std=(0.35,)))
    assert zero_shot(data)(predict, STATE)["zero_shot/top1"] > 0.4
    assert retrieval(data, groups="meaning")(predict, STATE)["retrieval/recall_at_5"] > 0.1
    image = next(batches(splits.test)())["image"]
    assert sorted(predict({}, {}, {"image": image})) == ["features", "image_embedding"]
    with pytest.raises(ValueError, match="alpha=0"):
        ridge_to_words(data, None, alpha=0)
