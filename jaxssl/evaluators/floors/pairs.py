"""The floor of images with captions: a linear map from pixels to weighted counts of words."""

from collections.abc import Callable

import numpy as np

from jaxssl.data.captions import detokenize
from jaxssl.evaluators.features import EvaluationData


def ridge_to_words(data: EvaluationData, preprocess: Callable, *, dim: int = 128, alpha: float = 100.0) -> Callable:
    """Ridge regression from standardised pixels to the TF-IDF of captions in `dim` principal directions.

        min_W |X W - T|^2 + alpha |W|^2,   image_embedding = x W,   text_embedding = t

    Fitted on the training pairs at the first call; no label is read. `features` are the image's.

    Args:
      dim: directions of the texts (latent semantic analysis); fewer where there are fewer words.
      alpha: strength of the penalty.

    Source: Hoerl, Kennard, Ridge Regression: Biased Estimation for Nonorthogonal Problems, 1970,
      doi:10.1080/00401706.1970.10488634; Deerwester et al., Indexing by Latent Semantic Analysis, 1990,
      doi:10.1002/(SICI)1097-4571(199009)41:6<391::AID-ASI1>3.0.CO;2-9
    """
    if dim < 1 or alpha <= 0:
        raise ValueError(f"dim={dim}, alpha={alpha}: dim must be at least 1, and alpha above 0.")
    fitted = []

    def pixels(batch):
        x = np.asarray(preprocess(None, {"image": batch["image"]})["x"]["image"], np.float32)
        return x.reshape(len(x), -1)

    def texts(batch):
        return [detokenize(row) for row in np.asarray(batch["tokens"])]

    def fit():
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import Ridge
        from sklearn.preprocessing import StandardScaler

        x, captions = [], []
        for batch in data.train_batches():
            kept = np.flatnonzero(np.asarray(batch.get("_mask", np.ones(len(batch["tokens"]), bool))))
            found = texts(batch)
            x.append(pixels(batch)[kept])
            captions += [found[i] for i in kept]
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
        counts = words.fit_transform(captions)
        size = min(dim, min(counts.shape) - 1)
        reduce = TruncatedSVD(size, random_state=0).fit(counts) if size > 0 else None
        embed = lambda t: words.transform(t).toarray() if reduce is None else reduce.transform(words.transform(t))
        scale = StandardScaler().fit(np.concatenate(x))
        model = Ridge(alpha).fit(scale.transform(np.concatenate(x)), embed(captions))
        return lambda x: model.predict(scale.transform(x)), embed

    def predict(params, memory, batch):
        del params, memory
        if not fitted:
            fitted.append(fit())
        of_image, of_text = fitted[0]
        image = np.asarray(of_image(pixels(batch)), np.float32)
        found = {"features": image, "image_embedding": image}
        return found | {"text_embedding": np.asarray(of_text(texts(batch)), np.float32)} if "tokens" in batch else found

    return predict
