"""Similarity and retrieval over pairs, against scikit-learn and SciPy; the floor of texts."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import label_ranking_average_precision_score

from jaxssl.augment.text import plain
from jaxssl.build import build
from jaxssl.core import State
from jaxssl.data.pipeline import evaluation_batches
from jaxssl.data.readers.text import text
from jaxssl.evaluators.features import EvaluationData, NotApplicable
from jaxssl.evaluators.floors.text import tfidf
from jaxssl.evaluators.pairs import CHUNK, features_of
from jaxssl.evaluators.retrieval import first_hit, retrieval
from jaxssl.evaluators.similarity import similarity, spearman

STATE = State(np.int32(0), {}, {}, {})


def itself(params, memory, batch):
    """The arrays of the batch as outputs."""
    return (
        {"features": batch["row"], "image": batch["row"], "text": batch["other"]}
        if "other" in batch
        else {"features": batch["row"]}
    )


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def cosine(a, b):
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.fixture(scope="module")
def pairs():
    left = normal(0, 300, 5)
    score = np.random.default_rng(1).integers(0, 6, 300).astype(np.float32)
    return {"left": {"row": left}, "right": {"row": left + normal(2, 300, 5)}, "score": score}


def data(**extra):
    return EvaluationData(train_batches=lambda: iter(()), extra=extra)


def test_spearman_is_that_of_scipy(pairs):
    left, right, score = pairs["left"]["row"], pairs["right"]["row"], pairs["score"]
    found = similarity(data(similarity=pairs))(itself, STATE)
    expected = scipy.stats.spearmanr(cosine(left, right), score).statistic
    np.testing.assert_allclose(found["similarity/spearman"], expected, atol=1e-6)
    distance = np.sum((left[:, None] - left[None]) ** 2, axis=2)
    unit = left / np.linalg.norm(left, axis=1, keepdims=True)
    distance = np.sum((unit[:, None] - unit[None]) ** 2, axis=2)[~np.eye(300, dtype=bool)]
    np.testing.assert_allclose(found["similarity/uniformity"], np.log(np.mean(np.exp(-2 * distance))), rtol=1e-4)


def test_spearman_of_ties_and_constants():
    a, b = [1, 2, 2, 3, 3, 3], [5, 1, 1, 4, 4, 0]
    np.testing.assert_allclose(spearman(a, b), scipy.stats.spearmanr(a, b).statistic)
    assert spearman([1, 2, 3], [10, 20, 40]) == 1 and spearman([1, 2, 3], [3, 2, 1]) == -1
    assert spearman([1, 1, 1], [1, 2, 3]) == 0


def test_pairs_go_through_predict_in_chunks_of_one_shape(pairs):
    shapes = set()

    def predict(params, memory, batch):
        shapes.add(batch["row"].shape)
        return itself(params, memory, batch)

    np.testing.assert_array_equal(features_of(predict, STATE, pairs["left"]), pairs["left"]["row"])
    assert shapes == {(CHUNK, 5)}
    few = {"row": normal(0, 3, 5)}
    np.testing.assert_array_equal(features_of(itself, STATE, few), few["row"])


def test_similarity_says_what_it_lacks(pairs):
    with pytest.raises(NotApplicable, match="graded pairs"):
        similarity(data())
    with pytest.raises(ValueError, match="equally many"):
        similarity(data(similarity={**pairs, "score": pairs["score"][:-1]}))


def test_ranks_are_those_of_scikit_learn():
    query, target = normal(0, 50, 4), normal(0, 50, 4) + normal(1, 50, 4)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, target)]
    expected = label_ranking_average_precision_score(np.eye(50), unit[0] @ unit[1].T)
    extra = data(retrieval={"query": {"row": query}, "target": {"row": target}})
    found = retrieval(extra, pairs="retrieval", ks=(1, 10))(itself, STATE)
    np.testing.assert_allclose(found["retrieval/mrr"], expected, rtol=1e-6)
    order = np.argsort(-unit[0] @ unit[1].T, axis=1)
    assert found["retrieval/recall_at_1"] == np.mean(order[:, 0] == np.arange(50))
    assert found["retrieval/recall_at_10"] == np.mean([n in order[n, :10] for n in range(50)])


def test_equal_features_find_nothing_and_equal_pairs_everything():
    assert first_hit(np.ones((7, 3)), np.ones((7, 3))).tolist() == [7] * 7
    assert first_hit(np.zeros((7, 3)), np.zeros((7, 3))).tolist() == [7] * 7
    x = normal(0, 7, 3)
    assert first_hit(x, 5 * x).tolist() == [1] * 7
    assert first_hit(x[:1], -x[:1]).tolist() == [1]


def test_retrieval_between_two_outputs_of_predict():
    x, y = normal(0, 40, 4), normal(1, 40, 4)
    rows = np.random.default_rng(2).permutation(40)
    batch = {"row": x[rows], "other": y[rows], "index": rows}
    both = EvaluationData(train_batches=lambda: iter(()), test_batches=lambda: iter([batch]))
    found = retrieval(both, query="image", target="text")(itself, STATE)
    np.testing.assert_allclose(found["retrieval/mrr"], np.mean(1 / first_hit(x, y)))
    with pytest.raises(NotApplicable, match="gives no 'sound'"):
        retrieval(both, query="image", target="sound")(itself, STATE)
    with pytest.raises(NotApplicable, match="needs a test set"):
        retrieval(EvaluationData(train_batches=lambda: iter(())))
    with pytest.raises(NotApplicable, match="needs pairs"):
        retrieval(data(), pairs="retrieval")


def test_tfidf_is_what_scikit_learn_makes_of_the_words(tmp_path):
    from sklearn.feature_extraction.text import TfidfVectorizer

    lines = ["red green blue", "green Green tea", "blue sky and sea", "red wine and tea"] * 3
    (tmp_path / "a.txt").write_text("\n".join(lines))
    source = text(path=str(tmp_path / "a.txt")).train
    own = EvaluationData(train_batches=lambda: evaluation_batches(source, batch_size=5))
    x = own.features(build({"name": "evaluators.floors.text.tfidf", "dim": 50}, own, plain()), STATE).train_x
    counts = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+").fit_transform(lines).toarray()
    np.testing.assert_allclose(x @ x.T, counts @ counts.T, atol=1e-5)
    with pytest.raises(ValueError, match="dim=0"):
        tfidf(own, plain(), dim=0)
