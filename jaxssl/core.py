"""The one abstraction of the library: a method is four pure functions, a run is one pytree.

    key      = fold_in(root, step)
    batch    = augment(key_augment, batch)
    loss, gradients, memory, metrics = value_and_grad(method.loss)(params, memory, batch, key_loss, step)
    params, opt_state                = tx.update(gradients, opt_state, params)
    memory   = method.after(params, memory, step)

Everything that a run remembers is in :class:`State`; randomness is not state, it is a function of
the seed and the step, so that any step can be repeated exactly.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

Batch = dict[str, jax.Array]
Augment = Callable[[jax.Array, Batch], Batch]
# Which network of a method with a teacher is evaluated, embedded and exported.
PredictFrom = Literal["teacher", "student"]

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


def student(params, memory):
    """(params, batch statistics) of the networks that the optimiser trains, by name."""
    return params, memory.get("stats", {})


def teacher(params, memory):
    """(params, batch statistics) of the networks of the teacher, by name."""
    del params
    return memory["teacher"], memory.get("teacher_stats", memory.get("stats", {}))


def networks_of(predict_from: PredictFrom) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`Method.networks` of a method with a teacher, by the word of its option `predict_from`.

    Raises ValueError for another word than 'teacher' or 'student'.
    """
    found = [networks for networks in (teacher, student) if networks.__name__ == predict_from]
    if not found:
        raise ValueError(f"method.predict_from={predict_from!r}: no such network; must be 'teacher' or 'student'.")
    return found[0]


class Split(NamedTuple):
    """A loss as a function of embeddings, which large batches may then be computed for in chunks (`chunks`).

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
        What evaluators may ask for, in inference mode; `batch` is one of the evaluation pipeline. Its weights are those
        of `networks`.
    after(params, memory, step) -> memory
        What follows the optimiser's step (EMA teachers, say); by default nothing. `step` as in `loss`.
    split: the two halves of `loss`, where it is a function of embeddings; `split_method` makes `loss` of them.
    networks(params, memory) -> (params, stats)
        Whose weights are evaluated, embedded and exported, by name ('encoder', ...): the student's or the teacher's.
    negatives: whether other examples of the batch, or of a queue, are taken for different ones.
    rests: (pattern, steps) pairs; parameters whose path matches rest for so many steps, and with them all that the
        optimiser remembers of them (see `optim.make_optimizer`).
    """

    init: Callable[[jax.Array, Batch], tuple[Any, Any]]
    loss: Callable[..., tuple[jax.Array, tuple[Any, dict[str, jax.Array]]]]
    predict: Callable[[Any, Any, Batch], dict[str, jax.Array]]
    after: Callable[[Any, Any, jax.Array], Any] = _unchanged
    split: Split | None = None
    networks: Callable[[Any, Any], tuple[Any, Any]] = student
    negatives: bool = False
    rests: tuple[tuple[str, int], ...] = ()


def split_method(init, split: Split, predict, after=_unchanged, *, negatives: bool = False) -> Method:
    """A method whose loss is `split.objective` of what `split.embed` says of the batch."""

    def loss(params, memory, batch, key, step):
        key_embed, key_objective = jax.random.split(key)
        embeddings, memory = split.embed(params, memory, batch, key_embed, step)
        return split.objective(params, memory, embeddings, beside_views(batch), key_objective, step)

    return Method(init, loss, predict, after, split, negatives=negatives)


def beside_views(batch):
    """What an objective may read of a batch beside the embeddings."""
    return {name: value for name, value in batch.items() if name not in ("views", "x")}


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
    method: Method,
    augment: Augment,
    tx: optax.GradientTransformation,
    root: jax.Array,
    *,
    value_and_grad=None,
    schedules: Mapping[str, optax.Schedule] | None = None,
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
    """The update that every method shares: augment, differentiate, step the optimiser, look after the memory.

    Returns update(state, batch) -> (state, metrics), to be jitted by the caller with the state donated.
    `metrics` holds the method's own, with `loss` and `grad_norm` (global L2 norm before any clipping).

    value_and_grad: in the place of jax.value_and_grad of `method.loss`, see `chunks.chunked_value_and_grad`.
    schedules: of the optimiser by name, see `optim.make_schedules`; `metrics` gets their values at the step.
    """
    grad_fn = value_and_grad or jax.value_and_grad(method.loss, has_aux=True)

    def update(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        key_aug, key_loss = step_keys(root, state.step)
        batch = augment(key_aug, batch)
        (loss, (memory, metrics)), grads = grad_fn(state.params, state.memory, batch, key_loss, state.step)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = method.after(params, memory, state.step)
        rates = {name: jnp.float32(value(state.step)) for name, value in (schedules or {}).items()}
        metrics = {**metrics, "loss": loss, "grad_norm": optax.global_norm(grads), **rates}
        return State(state.step + 1, params, opt_state, memory), metrics

    return update
