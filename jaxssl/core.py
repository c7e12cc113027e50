"""The one abstraction of the library: a method is a few pure functions, a run is one pytree.

    key      = fold_in(root, step)
    batch    = augment(key_augment, batch)
    (loss, out), gradients = value_and_grad(method.loss)(params, memory, batch, key_loss, step)
    params, opt_state      = tx.update(gradients, opt_state, params)
    memory   = method.after(params, out.memory, step)

Every leaf of a batch leads with N: `views` is a tuple of trees, one a view, and so are `boxes`, `flips`, `local_views`.
Everything that a run remembers is in :class:`State`; randomness is not state, it is a function of the seed and the step,
so that any step can be repeated exactly.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

Batch = dict[str, Any]
Augment = Callable[[jax.Array, Batch], Batch]
# Which network of a method with a teacher is evaluated, embedded and exported.
PredictFrom = Literal["teacher", "student"]

# The names in memory that the library itself reads; the functions below are the only ones that spell them.
STATS, TEACHER, TEACHER_STATS = "stats", "teacher", "teacher_stats"
# What never changes: it comes as an argument, is left out of checkpoints and put back after every step.
HELD = ("frozen", "context")


class State(NamedTuple):
    """All that a run remembers between two steps; the checkpoint is this, less what `without_frozen` leaves out.

    step:      int32 [], the number of finished updates.
    params:    all that the optimiser changes.
    opt_state: the optimiser's own memory.
    memory:    a dict of all that is remembered without a gradient: `stats` (batch statistics), `teacher` and
               `teacher_stats`, queue, centre, ...; `frozen` (networks that never change) and `context` (what every step
               may read of the data). Its structure, shapes and dtypes never change.
    """

    step: jax.Array
    params: Any
    opt_state: Any
    memory: dict[str, Any]


class Watch(NamedTuple):
    """Arrays of one step for the collapse monitor, each optional, digested at log steps only.

    features [V, N, D], projections [V, N, D], assignments [M, K].
    """

    features: jax.Array | None = None
    projections: jax.Array | None = None
    assignments: jax.Array | None = None


class Out(NamedTuple):
    """What a loss returns beside its value: the memory, scalars for the log, and arrays for the monitor."""

    memory: dict[str, Any]
    metrics: dict[str, jax.Array] = {}
    watch: Watch = Watch()


def statistics(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Batch statistics of the networks that the optimiser trains, by name; {} where none are kept."""
    return memory.get(STATS, {})


def student(params: Any, memory: Mapping[str, Any]) -> tuple[Any, Any]:
    """(params, batch statistics) of the networks that the optimiser trains, by name."""
    return params, statistics(memory)


def teacher(params: Any, memory: Mapping[str, Any]) -> tuple[Any, Any]:
    """(params, batch statistics) of the networks of the teacher, by name."""
    del params
    return memory[TEACHER], memory.get(TEACHER_STATS, statistics(memory))


def networks_of(predict_from: PredictFrom) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`Method.networks` of a method with a teacher, by the word of its option `predict_from`.

    Raises:
      ValueError: for another word than 'teacher' or 'student'.
    """
    found = [networks for networks in (teacher, student) if networks.__name__ == predict_from]
    if not found:
        raise ValueError(f"method.predict_from={predict_from!r}: no such network; must be 'teacher' or 'student'.")
    return found[0]


def queued(memory: Mapping[str, Any]) -> int:
    """The number of embeddings that the method's queue holds, `queue` [..., K, D]; 0 without one."""
    return memory["queue"].shape[-2] if "queue" in memory else 0


def trainable(memory_path: tuple[str, ...]) -> bool:
    """Whether an array at that path of the memory is a weight that fine-tuning may change, as a teacher's."""
    return memory_path[0] not in (STATS, TEACHER_STATS, *HELD)


def without_frozen(memory: Mapping[str, Any]) -> dict[str, Any]:
    """The memory as a checkpoint holds it, without the parts that never change and are given again at every start."""
    return {name: value for name, value in memory.items() if name not in HELD}


def with_frozen(memory: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """The memory with the parts that never change taken from `like`."""
    return {**without_frozen(memory), **{name: like[name] for name in HELD if name in like}}


def replace_encoder(method: "Method", state: State, params: Any, stats: Any) -> State:
    """The state with other encoder weights, in student and teacher alike.

    Raises:
      ValueError: where the network that `method.networks` evaluates is not among them.
    """
    memory = dict(state.memory)
    for name, value in ((TEACHER, params), (STATS, stats), (TEACHER_STATS, stats)):
        if "encoder" in memory.get(name, {}):
            memory[name] = {**memory[name], "encoder": value}
    state = state._replace(params={**state.params, "encoder": params}, memory=memory)
    evaluated = method.networks(state.params, state.memory)[0].get("encoder")
    if evaluated is not params:
        raise ValueError(
            "these weights would not reach the network that this method evaluates: it is neither params['encoder'] nor"
            f" memory['{TEACHER}']['encoder'], as `Method.networks` says; keep a teacher under that name."
        )
    return state


class Split(NamedTuple):
    """A loss as a function of embeddings, which large batches may then be computed for in chunks (`chunks`).

    embed(params, memory, batch, key, step) -> (embeddings, memory)
        A tree of arrays that lead with N; an example's embeddings depend on no other example of the batch, unless
        batch statistics are in `memory['stats']`, which forbids chunks.
    objective(params, memory, embeddings, batch, key, step) -> (scalar, Out)
        The loss of all embeddings of a batch, in Method's terms. `batch` has what is neither view nor input.

    Both get the whole memory, and both return all of it.
    """

    embed: Callable[..., tuple[Any, dict[str, Any]]]
    objective: Callable[..., tuple[jax.Array, Out]]


def _unchanged(params, memory, step):
    del params, step
    return memory


class Method(NamedTuple):
    """A self-supervised method: pure functions, in the manner of an optax transformation.

    init(key, batch) -> (params, memory)
        Initial parameters and memory, from the shapes of one augmented batch of zeros. Where the method has frozen
        networks or the data a context, the batch has them as `frozen` and `context`.
    loss(params, memory, batch, key, step) -> (scalar, Out)
        Objective of one augmented batch. `step` is the number of updates finished before this one.
    predict(params, memory, batch) -> {'features': [N, D], ...}
        Outputs for evaluators, arrays of any rank, in inference mode; `batch` is one of the evaluation pipeline. Its
        weights are those of `networks`.
    after(params, memory, step) -> memory
        The update after the optimiser's step (EMA teachers, say); by default nothing. `step` as in `loss`.
    frozen() -> tree of NumPy arrays
        Networks that never change, read on the host, once; they lie in `memory['frozen']`.
    split: the two halves of `loss`, where it is a function of embeddings; `split_method` makes `loss` of them.
    networks(params, memory) -> (params, stats)
        Whose weights are evaluated, embedded and exported, by name ('encoder', ...): the student's or the teacher's.
    negatives: whether other examples of the batch, or of a queue, are taken for different ones.
    rests: (pattern, steps) pairs; parameters whose path matches rest for that many steps, and with them all that the
        optimiser remembers of them (see `optim.make_optimizer`).
    """

    init: Callable[[jax.Array, Batch], tuple[Any, dict[str, Any]]]
    loss: Callable[..., tuple[jax.Array, Out]]
    predict: Callable[[Any, Any, Batch], dict[str, jax.Array]]
    after: Callable[[Any, Any, jax.Array], dict[str, Any]] = _unchanged
    frozen: Callable[[], Any] | None = None
    split: Split | None = None
    networks: Callable[[Any, Any], tuple[Any, Any]] = student
    negatives: bool = False
    rests: tuple[tuple[str, int], ...] = ()


def split_method(
    init: Callable, split: Split, predict: Callable, after: Callable = _unchanged, **options: Any
) -> Method:
    """A method with the loss `split.objective` of the embeddings of `split.embed`; options: more fields of `Method`."""

    def loss(params, memory, batch, key, step):
        key_embed, key_objective = jax.random.split(key)
        embeddings, memory = split.embed(params, memory, batch, key_embed, step)
        return split.objective(params, memory, embeddings, beside_views(batch), key_objective, step)

    return Method(init, loss, predict, after, split=split, **options)


def beside_views(batch: Batch) -> Batch:
    """The part of a batch that an objective may read beside the embeddings."""
    return {name: value for name, value in batch.items() if name not in ("views", "local_views", "x")}


def step_keys(root: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Keys of one step, split by purpose: (augmentation, loss); a pure function of root key and step."""
    key_aug, key_loss = jax.random.split(jax.random.fold_in(root, step))
    return key_aug, key_loss


def init_state(
    method: Method,
    augment: Augment,
    tx: optax.GradientTransformation,
    root: jax.Array,
    batch: Batch,
    held: Mapping[str, Any] | None = None,
) -> State:
    """First state of a run; a pure function, meant to be called under jit with the wanted output sharding.

    Args:
      held: what never changes, by the names in `HELD`: an argument of the program, never a constant of it.
    """
    key_aug, _ = step_keys(root, jnp.zeros((), jnp.int32))
    held = dict(held or {})
    # Initialisation draws from its own branch, so that step 0 does not share its randomness.
    key_init = jax.random.fold_in(root, jnp.uint32(0xFFFFFFFF))
    params, memory = method.init(key_init, {**augment(key_aug, batch), **held})
    return State(jnp.zeros((), jnp.int32), params, tx.init(params), {**memory, **held})


def make_update(
    method: Method,
    augment: Augment,
    tx: optax.GradientTransformation,
    root: jax.Array,
    *,
    value_and_grad: Callable | None = None,
    schedules: Mapping[str, optax.Schedule] | None = None,
) -> Callable[[State, Batch], tuple[State, dict[str, jax.Array]]]:
    """The update that every method shares: augment, differentiate, step the optimiser, look after the memory.

    Args:
      value_and_grad: in the place of jax.value_and_grad of `method.loss`, see `chunks.chunked_value_and_grad`.
      schedules: of the optimiser by name, see `optim.make_schedules`; `metrics` gets their values at the step.

    Returns:
      update(state, batch) -> (state, metrics), to be jitted by the caller with the state donated. `metrics` holds the
      method's own scalars, with `loss` and `grad_norm` (global L2 norm before any clipping), and the arrays of its
      `Watch` by their names (`monitor.split` parts them).

    Raises:
      TypeError: by `update`, when it is traced: a loss that returns no `Out`.
      ValueError: by `update`, when it is traced: a metric that is no scalar or has a name that is taken.
    """
    grad_fn = value_and_grad or jax.value_and_grad(method.loss, has_aux=True)

    def update(state: State, batch: Batch) -> tuple[State, dict[str, jax.Array]]:
        key_aug, key_loss = step_keys(root, state.step)
        batch = augment(key_aug, batch)
        (loss, out), grads = grad_fn(state.params, state.memory, batch, key_loss, state.step)
        rates = {name: jnp.float32(value(state.step)) for name, value in (schedules or {}).items()}
        own = {"loss": loss, "grad_norm": optax.global_norm(grads), **rates}
        _check_out(out, own)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        memory = method.after(params, with_frozen(out.memory, state.memory), state.step)
        watched = {name: value for name, value in out.watch._asdict().items() if value is not None}
        state = State(state.step + 1, params, opt_state, with_frozen(memory, state.memory))
        return state, {**out.metrics, **own, **watched}

    return update


def _check_out(out: Any, own: Mapping[str, Any]) -> None:
    if not isinstance(out, Out) or not isinstance(out.watch, Watch):
        raise TypeError(
            f"the loss of a method returns (scalar, Out(memory, metrics, Watch)), not {type(out).__name__}."
        )
    for name, value in out.metrics.items():
        taken = name in own or name in Watch._fields
        if jnp.ndim(value) or taken:
            wrong = "a name that is taken" if taken else f"an array of shape {jnp.shape(value)}"
            raise ValueError(
                f"metric '{name}': {wrong}; metrics are scalars with names of their own, and arrays for the monitor are"
                f" fields of Out.watch: {', '.join(Watch._fields)}."
            )
