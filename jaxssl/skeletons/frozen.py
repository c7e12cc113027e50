"""A student that learns from networks that never change."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Batch, Method, Out, Split, Watch, split_method
from jaxssl.skeletons.chain import Chain, by_view, embed_apart, forward_chain, make_predict, setup_chain
from jaxssl.skeletons.siamese import Outputs, with_metrics


class Pretrained(NamedTuple):
    """Networks that never change.

    chain: modules by name, in order; the first takes the input, each other one the output of the one before.
    load() -> {"params": {name: tree}, "stats": {name: tree}}, NumPy arrays; `Method.frozen` of what uses them.
    about: what a copy of them must know: `encoder`, the section that builds it; `preprocess`, what it was shown; `step`.
    """

    chain: dict[str, Any]
    load: Callable[[], dict[str, Any]]
    about: Mapping[str, Any] = {}


def frozen(
    student: Callable[[int], Chain],
    teacher: Pretrained,
    objective: Callable[[Outputs, jax.Array, Batch], Any],
    *,
    check: Callable[[int], None] = lambda width: None,
) -> Method:
    """A method whose student sees what a teacher sees that never changes, and learns from what it says.

        taught = g(x) [V, N, C], the end of the teacher's chain,   L = objective({name: [V, N, D]}, taught, batch)

    The teacher is in inference mode and stop-gradient; both get the same views.

    Args:
      student: C -> modules by name, the encoder first; the last one has as many outputs as the teacher.
      teacher: `chain`, modules by name, and `load() -> {"params": ..., "stats": ...}`, as `pretrained` makes them.
      objective: outputs of the student, of the teacher, what the batch has beside views -> the loss, or (the loss, metrics).
      check: C -> None; raises ValueError where the teacher's width does not fit.

    Batch: `views`, a tuple of inputs of both. Memory: `stats`; `frozen`, the teacher's arrays.
    """

    def teach(arrays, view):
        outputs, _ = forward_chain(teacher.chain, arrays["params"], arrays["stats"], view)
        return jax.lax.stop_gradient(outputs[list(teacher.chain)[-1]])

    def init(key, batch):
        view = batch["views"][0]
        width = jax.eval_shape(teach, batch["frozen"], view).shape[-1]
        check(width)
        params, stats = setup_chain(student(width), key, view)
        return params, {"stats": stats}

    def embed(params, memory, batch, key, step):
        taught = jnp.stack([teach(memory["frozen"], view) for view in batch["views"]], axis=1)
        outputs, memory = embed_apart(student(taught.shape[-1]))(params, memory, batch, key, step)
        return {**outputs, "taught": taught}, memory

    def of_embeddings(params, memory, embeddings, batch, key, step):
        out = by_view(embeddings)
        taught = out.pop("taught")
        value, metrics = with_metrics(objective(out, taught, batch))
        return value, Out(memory, metrics, Watch(next(iter(out.values()))))

    def predict(params, memory, batch):
        # The last layer of a head comes last of its layers by name; its width is that of the teacher.
        layers = params[list(student(1))[-1]]
        kernels = {name: layer["kernel"] for name, layer in layers.items() if "kernel" in layer}
        return make_predict(student(kernels[max(kernels)].shape[-1]))(params, memory, batch)

    return split_method(init, Split(embed, of_embeddings), predict, frozen=teacher.load)
