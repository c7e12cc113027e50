"""The floor of texts: weighted counts of words, without any network."""

from collections.abc import Callable

import numpy as np

from jaxssl.data.tokenizer import load_tokenizer
from jaxssl.evaluators.features import EvaluationData


def tfidf(
    data: EvaluationData, preprocess: Callable, *, dim: int = 256, ngrams: int = 1, tokenizer: str | None = None
) -> Callable:
    """TF-IDF of the words of a text, as `dim` principal directions of the training texts (latent semantic analysis).

    The words are those of the decoded tokens, cut like the encoder's input, and lower case. Fitted on the training
    texts at the first call; no label is read. Retrieval and similarity are cosines of the same features.

    Args:
      dim: directions that are kept, so that probes stay quick; fewer where there are fewer words.
      ngrams: longest run of words that is counted as one.
      tokenizer: as that of the data.

    Source: Deerwester et al., Indexing by Latent Semantic Analysis, 1990,
      doi:10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9
    """
    if dim < 1 or ngrams < 1:
        raise ValueError(f"dim={dim}, ngrams={ngrams}: must be at least 1.")
    tokens = load_tokenizer(tokenizer)
    fitted = []

    def texts(batch):
        ids = np.asarray(preprocess(None, batch)["x"]["tokens"])
        return [tokens.decode(row) for row in ids]

    def fit():
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        kept = lambda batch: np.asarray(batch.get("_mask", np.ones(len(batch["tokens"]), bool)))
        found = [t for batch in data.train_batches() for t, keep in zip(texts(batch), kept(batch)) if keep]
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, ngrams), token_pattern=r"\w+")
        counts = words.fit_transform(found)
        size = min(dim, min(counts.shape) - 1)
        reduce = TruncatedSVD(size, random_state=0).fit(counts) if size > 0 else None
        return lambda t: words.transform(t).toarray() if reduce is None else reduce.transform(words.transform(t))

    def predict(params, memory, batch):
        del params, memory
        if not fitted:
            fitted.append(fit())
        return {"features": np.asarray(fitted[0](texts(batch)), np.float32)}

    return predict
