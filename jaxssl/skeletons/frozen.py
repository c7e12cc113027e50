"""A student that learns from a frozen teacher."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Batch, Method, Out, Split, Watch, split_method
from jaxssl.models.module import Module
from jaxssl.skeletons.chain import Chain, by_view, embed_apart, forward_chain, make_predict, setup_chain
from jaxssl.skeletons.siamese import Outputs, with_metrics


class Pretrained(NamedTuple):
    """Frozen networks, and how their arrays are loaded.

    chain: modules by name, in order; the first takes the input, each other one the output of the one before.
    load() -> {"params": {name: tree}, "stats": {name: tree}}, NumPy arrays; `Method.frozen` of a method that uses them.
    about: what a copy of them records: `encoder`, the section that builds it; `preprocess`, that of its inputs; `step`.
    """

    chain: dict[str, Module]
    load: Callable[[], dict[str, Any]]
    about: Mapping[str, Any] = {}


def frozen(
    student: Callable[[int], Chain],
    teacher: Pretrained,
    objective: Callable[[Outputs, jax.Array, Batch], Any],
    *,
    check: Callable[[int], None] = lambda width: None,
) -> Method:
    """A method whose student and frozen teacher see the same views, and whose student learns the teacher's outputs.

        taught = g(x) [V, N, C], the end of the teacher's chain,   L = objective({name: [V, N, D]}, taught, batch)

    The teacher is in inference mode and stop-gradient; both get the same views.

    Args:
      student: C -> modules by name, the encoder first; the last one has C outputs, as the teacher has.
      teacher: `Pretrained`, as `pretrained` makes it.
      objective: (student's outputs, teacher's outputs, the batch without its views) -> the loss, or (the loss, metrics).
      check: C -> None; raises ValueError where the teacher's width C does not fit.

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
        # The last layer of a head has the largest number in its name; its width is that of the teacher.
        layers = params[list(student(1))[-1]]
        kernels = {name: layer["kernel"] for name, layer in layers.items() if "kernel" in layer}
        return make_predict(student(kernels[max(kernels, key=lambda name: (len(name), name))].shape[-1]))(
            params, memory, batch
        )

    return split_method(init, Split(embed, of_embeddings), predict, frozen=teacher.load)
