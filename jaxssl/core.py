"""The one abstraction of the library: a method is four pure functions, a run is one pytree.

    key      = fold_in(root, step)
    batch    = augment(key_augment, batch)
    loss, gradients, memory, metrics = value_and_grad(method.loss)(params, memory, batch, key_loss, step)
    params, opt_state                = tx.update(gradients, opt_state, params)
    memory   = method.after(params, memory, step)

Everything that a run remembers is in :class:`State`; randomness is not state, it is a function of
the seed and the step, so that any step can be repeated exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

Batch = dict[str, jax.Array]
Augment = Callable[[jax.Array, Batch], Batch]

# Metrics that are arrays, not numbers: handed to the collapse monitor, which digests them at log steps only.
WATCHED = ("features", "projections", "assignments")


class State(NamedTuple):
    """All that a run remembers between two steps; the checkpoint is this, less `memory['frozen']`.

    step:      int32 [], the number of finished updates.
    params:    all that the optimiser changes.
    opt_state: the optimiser's own memory.
    memory:    all that is remembered without a gradient: batch statistics, teacher, queue, centre, ...;
               its structure, shapes and dtypes never change.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    memory: Any


def _unchanged(params, memory, step):
    del params, step
    return memory


class Split(NamedTuple):
    """A loss as a function of embeddings, which large batches may then be computed for in chunks (`make_update`).

    embed(params, memory, batch, key, step) -> (embeddings, memory)
        A tree of arrays that lead with N; an example's embeddings depend on no other example of the batch, unless
        batch statistics are in `memory['stats']`, which forbids chunks.
    objective(params, memory, embeddings, batch, key, step) -> (scalar, (memory, metrics))
        The loss of all embeddings of a batch, in Method's terms. `batch` has what is neither view nor input.
    """

    embed: Callable[..., tuple[Any, Any]]
    objective: Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]


class Method(NamedTuple):
    """A self-supervised method: four pure functions, in the manner of an optax transformation.

    init(key, batch) -> (params, memory)
        Initial parameters and memory, from the shapes of one augmented batch.
    loss(params, memory, batch, key, step) -> (scalar, (memory, metrics))
        Objective of one augmented batch. `step` is the number of updates finished before this one.
        `metrics` maps names to scalars; the names in `WATCHED` may map to arrays for the collapse monitor:
        `features` [V, N, D], `projections` [V, N, D], `assignments` [M, K].
    predict(params, memory, batch) -> {'features': [N, D], ...}
        What evaluators may ask for, in inference mode; `batch` is one of the evaluation pipeline.
    after(params, memory, step) -> memory
        What follows the optimiser's step (EMA teachers, say); by default nothing. `step` as in `loss`.
    split: the two halves of `loss`, where it is a function of embeddings; `split_method` makes `loss` of them.
    """

    init: Callable[[jax.Array, Batch], tuple[Any, Any]]
    loss: Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]
    predict: Callable[[Any, Any, Batch], dict[str, jax.Array]]
    after: Callable[[Any, Any, jax.Array], Any] = _unchanged
    split: Split | None = None


def split_method(init, split: Split, predict, after=_unchanged) -> Method:
    """A method whose loss is `split.objective` of what `split.embed` says of the batch."""

    def loss(params, memory, batch, key, step):
        key_embed, key_objective = jax.random.split(key)
        embeddings, memory = split.embed(params, memory, batch, key_embed, step)
        return split.objective(params, memory, embeddings, _rest(batch), key_objective, step)

    return Method(init, loss, predict, after, split)


def step_keys(root: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys of one step, split by purpose: (augmentation, loss); a pure function of root key and step."""
    key_aug, key_loss = jax.random.split(jax.random.fold_in(root, step))
    return key_aug, key_loss


def init_state(
    method: Method, augment: Augment, tx: optax.GradientTransformation, root: jax.Array, batch: Batch
) -> State:
    """First state of a run; a pure function, meant to be called under jit with the wanted output sharding."""
    key_aug, _ = step_keys(root, jnp.zeros((), jnp.int32))
    # Initialisation draws from its own branch, so that step 0 does not share its randomness.
    params, memory = method.init(jax.random.fold_in(root, jnp.uint32(0xFFFFFFFF)), augment(key_aug, batch))
    return State(jnp.zeros((), jnp.int32), params, tx.init(params), memory)


def make_update(
    method: Method, augment: Augment, tx: optax.GradientTransformation, root: jax.Array, *, gradient_chunks: int = 1
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
    """The update that every method shares: augment, differentiate, step the optimiser, look after the memory.

    Returns update(state, batch) -> (state, metrics), to be jitted by the caller with the state donated.
    `metrics` holds the method's own, with `loss` and `grad_norm` (global L2 norm before any clipping).

    gradient_chunks: c > 1 embeds the batch in c chunks, takes the loss of all embeddings together, and embeds every
        chunk again for its gradient. Loss and gradient are those of the whole batch, the activations those of a
        chunk; the forward pass is computed twice. For methods with a `split` only, see `check_chunks`.
    """
    grad_fn = jax.value_and_grad(method.loss, has_aux=True)
    if gradient_chunks > 1:
        grad_fn = chunked_value_and_grad(method.split, gradient_chunks)

    def update(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        key_aug, key_loss = step_keys(root, state.step)
        batch = augment(key_aug, batch)
        (loss, (memory, metrics)), grads = grad_fn(state.params, state.memory, batch, key_loss, state.step)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = method.after(params, memory, state.step)
        metrics = {**metrics, "loss": loss, "grad_norm": optax.global_norm(grads)}
        return State(state.step + 1, params, opt_state, memory), metrics

    return update


def check_chunks(method: Method, memory: Any, batch_size: int, gradient_chunks: int) -> None:
    """Raises ValueError where a step in chunks would not be the step of the whole batch.

    memory: that of the method, or its shapes. batch_size: examples of one shard of the batch.
    """
    name = f"gradient_chunks={gradient_chunks}"
    if gradient_chunks < 1 or batch_size % gradient_chunks:
        raise ValueError(f"{name}: must be at least 1 and divide the {batch_size} examples of one shard of the batch.")
    if gradient_chunks == 1:
        return
    if method.split is None:
        raise ValueError(
            f"{name}: the loss of this method is not written as a function of embeddings, and the mean of the losses of"
            " chunks would be another loss, with fewer negatives or poorer statistics. Take encoder.remat=True or"
            " encoder.dtype=bfloat16 to save memory, or a method with a split (methods.simclr, methods.clip)."
        )
    if isinstance(memory, dict) and jax.tree.leaves(memory.get("stats", {})):
        raise ValueError(
            f"{name}: a batch norm would see the statistics of a chunk, not of the batch, which changes the method. Take"
            " an encoder without batch norm (models.vit, say) and method.norm=False where the method has it."
        )


def chunked_value_and_grad(split: Split, num_chunks: int):
    """As jax.value_and_grad of the composed loss, in two passes over chunks of the batch.

    Chunk j has the rows j, j + c, j + 2c, ..., so that a batch sharded over its rows stays where it is.
    Source: Gao, Zhang, Han, Callan, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021,
    arXiv:2101.06983, https://arxiv.org/abs/2101.06983
    """

    def value_and_grad(params, memory, batch, key, step):
        key_embed, key_objective = jax.random.split(key)
        chunks = jax.tree.map(lambda x: _apart(x, num_chunks), _swapped(batch)), jax.random.split(key_embed, num_chunks)

        def embed(params, chunk):
            rows, key_chunk = chunk
            return split.embed(params, memory, _swapped(rows), key_chunk, step)[0]

        embeddings = jax.tree.map(_together, jax.lax.map(lambda chunk: embed(params, chunk), chunks))

        def objective(params, embeddings):
            return split.objective(params, memory, embeddings, _rest(batch), key_objective, step)

        grad_fn = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
        found, (gradient, cotangents) = grad_fn(params, embeddings)

        def add(gradient, chunk):
            *inputs, cotangent = chunk
            _, pull = jax.vjp(lambda p: embed(p, inputs), params)
            return jax.tree.map(jnp.add, gradient, pull(cotangent)[0]), None

        cotangents = jax.tree.map(lambda x: _apart(x, num_chunks), cotangents)
        return found, jax.lax.scan(add, gradient, (*chunks, cotangents))[0]

    return value_and_grad


def _rest(batch):
    """What an objective may read of a batch beside the embeddings."""
    return {name: value for name, value in batch.items() if name not in ("views", "x")}


def _swapped(batch):
    """The batch with views [V, N, ...] as [N, V, ...], and back; a tuple of views leads with N already."""
    views = batch["views"]
    return {**batch, "views": views if isinstance(views, tuple) else jnp.swapaxes(views, 0, 1)}


def _apart(x, num_chunks):
    """[N, ...] -> [c, N / c, ...], every c-th row to one chunk."""
    return jnp.moveaxis(x.reshape(-1, num_chunks, *x.shape[1:]), 1, 0)


def _together(x):
    """[c, N / c, ...] -> [N, ...], the inverse of `_apart`."""
    return jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:])
