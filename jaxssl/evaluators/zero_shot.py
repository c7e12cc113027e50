"""Classification of images by sentences about the classes, without a single labelled image."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxssl.evaluators.columns import Column, columns
from jaxssl.evaluators.extract import ask, on_host
from jaxssl.evaluators.features import EvaluationData, NotApplicable

_EPS = 1e-12


@columns(Column("zero_shot/top1", "zero-shot"))
def zero_shot(
    data: EvaluationData,
    *,
    image: str = "image_embedding",
    text: str = "text_embedding",
    prompts: str = "prompts",
    lengths: str = "prompt_length",
) -> Callable:
    """Test accuracy in [0, 1] of the nearest class weight (cosine).

    `zero_shot/top1`: weights from all prompts of a class, see `zero_shot_weights`. `zero_shot/top1_single_template`:
    the mean accuracy of one prompt a class, over the templates. The prompts go through `predict` as texts of test
    batches, in the place of `tokens` and `length`.

    Args:
      image, text: outputs of `predict`, embeddings [N, D] in a common space.
      prompts: of `data.extra`, tokens int [K, P, L], P prompts for each of the K classes.
      lengths: of `data.extra`, their lengths int [K, P].

    Raises:
      NotApplicable: at build time, without prompts, labels or a test set; when run, without the two outputs.
      ValueError: prompts that do not fit the classes or the data.
    """
    for name in (prompts, lengths):
        if name not in data.extra:
            raise NotApplicable(f"zero_shot needs prompts for the classes; the data has no '{name}'")
    data.need_labels("zero_shot")
    tokens, length = np.asarray(data.extra[prompts]), np.asarray(data.extra[lengths])
    if tokens.ndim != 3 or length.shape != tokens.shape[:2] or len(tokens) != data.num_classes:
        raise ValueError(
            f"zero_shot: prompts {tokens.shape} and lengths {length.shape} must be [K, P, L] and [K, P] with K ="
            f" {data.num_classes} classes"
        )

    def run(predict, state) -> dict[str, float]:
        found = data.outputs(predict, state, (image,))
        rows = np.flatnonzero(found["label"] >= 0)
        if not rows.size:
            raise NotApplicable("zero_shot: no example of the test set has a label")
        x, y = found[image][rows], found["label"][rows]
        flat = tokens.reshape(-1, tokens.shape[-1]), length.reshape(-1)
        embedded = embed_texts(data, predict, state, *flat, text=text).reshape(*length.shape, -1)
        accuracy = lambda weights: float(np.mean(np.argmax(zero_shot_logits(x, weights), axis=1) == y))
        single = [accuracy(zero_shot_weights(embedded[:, p : p + 1])) for p in range(length.shape[1])]
        return {
            "zero_shot/top1": accuracy(zero_shot_weights(embedded)),
            "zero_shot/top1_single_template": float(np.mean(single)),
        }

    return run


def zero_shot_weights(embeddings: np.ndarray) -> np.ndarray:
    """Class weights w_c = l2n(mean_p l2n(t_cp)) [K, D] from text embeddings [K, P, D]."""
    return _unit(_unit(np.asarray(embeddings)).mean(axis=1))


def zero_shot_logits(image: np.ndarray, weights: np.ndarray, *, scale: float = 100.0) -> np.ndarray:
    """s cos(image_n, w_c), [N, K], of embeddings [N, D] and weights [K, D]; their softmax are probabilities."""
    return scale * _unit(np.asarray(image)) @ np.asarray(weights).T


def embed_texts(
    data: EvaluationData, predict: Callable, state: Any, tokens: np.ndarray, length: np.ndarray, *, text: str
) -> np.ndarray:
    """Embeddings [M, D] of texts, tokens [M, L] and lengths [M], in test batches whose texts they replace.

    Args:
      data, predict, state: as evaluators have them.
      tokens: int [M, L].
      length: int [M].
      text: the output of `predict`.
    """
    batch = next(iter(data.test_batches()))
    if "tokens" not in batch or "length" not in batch:
        raise NotApplicable(f"the batches have no 'tokens' and 'length' to put prompts in; they have {sorted(batch)}")
    rows, width = batch["tokens"].shape
    if tokens.shape[1] != width:
        raise ValueError(f"prompts have {tokens.shape[1]} tokens, the texts of the data {width}; they must be equal")
    parts, asked = [], ask(predict, (text,))
    for start in range(0, len(tokens), rows):
        # The last chunk is filled up with texts that stand there already, so that nothing compiles anew.
        chosen = np.arange(start, start + rows) % len(tokens)
        replaced = {"tokens": _like(tokens[chosen], batch["tokens"]), "length": _like(length[chosen], batch["length"])}
        found = asked(state.params, state.memory, {**batch, **replaced})
        if text not in found:
            raise NotApplicable(f"predict gives no '{text}', only {sorted(found)}")
        parts.append(on_host(found[text])[: len(tokens) - start])
    return np.concatenate(parts).astype(np.float32)


def _like(value, old):
    """`value` in the type and on the devices of `old`."""
    value = np.asarray(value, old.dtype)
    return jax.device_put(value, old.sharding) if isinstance(old, jax.Array) else value


def _unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), _EPS)
