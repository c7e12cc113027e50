"""From a config to the parts of a run: everything that can be refused is refused here, before any compilation."""

import hashlib
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxssl.build import build, resolve_in
from jaxssl.chunks import check_chunks, chunked_value_and_grad
from jaxssl.config import options
from jaxssl.core import Augment, Method, State, init_state, make_update, queued, replace_encoder, with_frozen
from jaxssl.data.draw import check_draw, draw_arrays, draw_ids
from jaxssl.data.source import Source, Splits
from jaxssl.data.validation import with_validation
from jaxssl.optim import check_patterns, make_optimizer, make_schedules
from jaxssl.sharding import batch_sharding, check_batch, make_mesh, put_batch, put_replicated, tree_shardings

log = logging.getLogger("jaxssl")


class Experiment(NamedTuple):
    """The parts of a run. `update`, `initial` and `predict` are jitted and know where their arrays live.

    update(state, feed) -> (state, metrics)   state is donated; feed is a global batch or the resident arrays
    initial() -> State
    predict(params, memory, batch, names=None) -> dict of arrays   compiled for the outputs that are asked for; None: all
    held: the method's frozen networks and the data's context, on the host: a donated state deletes what it holds
    """

    config: ConfigDict
    mesh: jax.sharding.Mesh
    method: Method
    splits: Splits
    preprocess: Augment
    update: Any
    initial: Any
    predict: Any
    abstract: State
    held: dict[str, Any]
    data_seed: int
    resident: bool

    def like(self) -> State:
        """The state that a checkpoint is restored into: shapes and shardings, and the arrays that never change."""
        where = {name: jax.tree.map(lambda x: x.sharding, self.abstract.memory[name]) for name in self.held}
        placed = jax.device_put(self.held, where)
        return self.abstract._replace(memory=with_frozen(self.abstract.memory, placed))

    def check_update(self) -> None:
        """Traces the update, so that misfits are refused before anything is compiled or written.

        Raises:
          TypeError, ValueError: as `core.make_update`.
        """
        self.update.eval_shape(self.abstract, self.feed_shapes())

    def feed_shapes(self) -> Any:
        """Shapes of the feed of `update`."""
        source = self.splits.train
        first = np.arange(self.config.batch_size) % source.size
        feed = resident_arrays(source) if self.resident else source.fetch(first)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), feed)


def purpose_seed(seed: int, purpose: str) -> int:
    """An integer seed for one purpose, a pure function of the run's seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "little") & 0x7FFFFFFF


def load_splits(config: ConfigDict) -> Splits:
    """The data of a run."""
    return part_of(config, build({k: v for k, v in options(config.data).items() if k != "mode"}))


def part_of(config: ConfigDict, splits: Splits) -> Splits:
    """The splits with the test set that `evaluate.part` names; one of an earlier version has no such option."""
    return with_validation(splits) if config.evaluate.get("part", "test") == "validation" else splits


def make_method(config: ConfigDict, encoder: Any = None, source: Source | None = None) -> Method:
    """The method of a run around its encoder, with `num_examples` and `num_classes` of the source (see `filled`)."""
    spec = options(config.method) if source is None else filled(options(config.method), source)
    return build(spec, build(options(config.encoder)) if encoder is None else encoder)


def filled(spec: dict[str, Any], source: Source, where: str = "method") -> dict[str, Any]:
    """The section of a method with the sizes that its factory has options for and the section leaves out.

    So are the sections within it, such as a method that another one adapts.
    `num_examples` is the range of `index`, `source.num_ids`; `num_classes` counts those of `target`, or of the labels.

    Raises:
      ValueError: where the factory needs a number of classes and the data has none.
    """
    inner = {name: filled(value, source, f"{where}.{name}") for name, value in spec.items() if _is_section(value)}
    spec = {**spec, **inner}
    known = inspect.signature(resolve_in(where, spec)).parameters
    sizes = {"num_examples": source.num_ids, "num_classes": source.num_targets or source.num_classes}
    absent = {name: size for name, size in sizes.items() if name in known and spec.get(name) is None}
    if absent.get("num_classes") == 0:
        if known["num_classes"].default is inspect.Parameter.empty:
            raise ValueError(
                f"{where}.num_classes: {spec['name']} needs the number of classes, and this data has no labels; data with"
                " labels, or num_classes=10 for ten, would be right."
            )
        del absent["num_classes"]
    return {**spec, **absent}


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value.get("name"))


def setup(
    config: ConfigDict,
    *,
    devices: Sequence[jax.Device] | None = None,
    splits: Splits | None = None,
    wrap_tx: Callable[[optax.GradientTransformation], optax.GradientTransformation] | None = None,
) -> Experiment:
    """Builds all parts from a config.

    Args:
      devices: those of the mesh; default all.
      splits: data in memory instead of `config.data`.
      wrap_tx: optimiser -> optimiser, for what a config cannot say.

    Raises:
      ValueError, TypeError: naming the option, before any compilation, where something does not fit.
    """
    mesh = make_mesh(config.mesh.data, config.mesh.model, devices)
    check_batch(config.batch_size, mesh)
    splits = load_splits(config) if splits is None else part_of(config, splits)
    source = splits.train
    resident = config.data.get("mode", "resident") == "resident"
    if resident and source.arrays is None:
        raise ValueError(f"data.mode='resident': {config.data.name} does not fit in memory; set data.mode='stream'.")
    augment, preprocess = build(options(config.augment)), build(options(config.preprocess))
    check_draw(source, config.batch_size)
    method = make_method(config, source=source)
    recipe = dict(**options(config.optim), total_steps=config.total_steps, batch_size=config.batch_size)
    tx = make_optimizer(**recipe, rests=method.rests)
    tx = tx if wrap_tx is None else wrap_tx(tx)
    root, data_seed = jax.random.key(config.seed), purpose_seed(config.seed, "data")

    example = source.for_training(source.fetch(np.arange(config.batch_size) % source.size))
    shapes = {k: jax.ShapeDtypeStruct(np.shape(v), np.asarray(v).dtype) for k, v in example.items()}
    zeros = lambda: {k: jnp.zeros(s.shape, s.dtype) for k, s in shapes.items()}
    held = {"frozen": method.frozen() if method.frozen else None, "context": dict(source.context)}
    held = {name: jax.tree.map(np.asarray, tree) for name, tree in held.items() if tree}
    initial = lambda held: init_state(method, augment, tx, root, zeros(), held)
    abstract = jax.eval_shape(initial, held)
    chunks = config.get("gradient_chunks", 1)  # a run folder of an earlier version has no such option
    check_chunks(method, abstract.memory, config.batch_size // mesh.shape["data"], chunks)
    check_patterns(abstract.params, frozen=config.optim.frozen, multipliers=config.optim.multipliers)
    where = tree_shardings(abstract, mesh, config.mesh.rules, config.mesh.fsdp_min_size)
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), abstract, where)

    load = partial(gather, seed=data_seed, batch_size=config.batch_size, source=source) if resident else _as_is
    in_chunks = chunked_value_and_grad(method.split, chunks) if chunks > 1 else None
    step = make_update(method, augment, tx, root, value_and_grad=in_chunks, schedules=make_schedules(**recipe))
    sharded = batch_sharding(mesh)

    def update(state, feed):
        # Arrays for evaluators alone end here: neither views nor losses nor outputs can read them.
        batch = jax.lax.with_sharding_constraint(source.for_training(load(feed, state.step)), sharded)
        # For losses that send blocks round the mesh; all others are left to the compiler.
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(state, batch)

    def predict(params, memory, batch, names=None):
        found = method.predict(params, memory, preprocess(root, source.for_training(batch)))
        return found if names is None else {name: found[name] for name in names if name in found}

    return Experiment(
        config=config,
        mesh=mesh,
        method=method,
        splits=splits,
        preprocess=preprocess,
        update=jax.jit(update, donate_argnums=0, out_shardings=(where, None)),
        initial=partial(jax.jit(initial, out_shardings=where), held),
        predict=jax.jit(predict, static_argnames="names"),
        abstract=abstract,
        held=held,
        data_seed=data_seed,
        resident=resident,
    )


def gather(feed: dict[str, Any], step: Any, *, seed: int, batch_size: int, source: Source) -> dict[str, jax.Array]:
    """The batch of a step from arrays that live on the device, `resident_arrays` of the source."""
    ids = draw_ids(source, feed["draw"], seed, step, batch_size=batch_size, xp=jnp)
    return {k: v[ids] for k, v in feed["examples"].items()}


def resident_arrays(source: Source) -> dict[str, Any]:
    """The arrays that `gather` reads: the examples that training may see, and those that select the ones of a batch."""
    examples = source.for_training({"index": np.arange(source.size, dtype=np.int32), **source.arrays})
    return {"examples": examples, "draw": draw_arrays(source)}


def _as_is(batch, step):
    del step
    return batch


def resident_feed(experiment: Experiment) -> dict[str, Any]:
    """The training arrays on the device."""
    return put_replicated(resident_arrays(experiment.splits.train), experiment.mesh)


def warn_of_repeats(experiment: Experiment) -> None:
    """Says in the log where a batch or a queue holds more examples than there are."""
    size, batch_size = experiment.splits.train.epoch_size, experiment.config.batch_size
    queue = queued(experiment.abstract.memory)
    own = " and is then a negative of itself" if experiment.method.negatives else ""
    for option, value, place in (("batch_size", batch_size, "batch"), ("method.queue_size", queue, "queue")):
        if value > size:
            log.warning(
                "%s=%d: more than the %d training examples; one is in the same %s several times%s. Take fewer, or more data.",
                *(option, value, size, place, own),
            )


def make_feed(experiment: Experiment, start: int = 0) -> Iterator[Any]:
    """The feed of `update` at the steps from `start` on, without end: global batches, or the resident arrays again."""
    if jax.process_index() == 0:
        warn_of_repeats(experiment)
    if experiment.resident:
        arrays = resident_feed(experiment)
        while True:
            yield arrays
    from jaxssl.data.pipeline import stream

    batches = stream(
        experiment.splits.train,
        seed=experiment.data_seed,
        batch_size=experiment.config.batch_size,
        start_step=start,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    for batch in batches:
        yield put_batch(batch, experiment.mesh)


def with_encoder(experiment: Experiment, state: State, params: Any, stats: Any) -> State:
    """The state with other encoder weights, in student and teacher alike, laid out as the experiment wants them."""
    where = jax.tree.map(lambda x: x.sharding, experiment.abstract)
    return jax.device_put(replace_encoder(experiment.method, state, params, stats), where)
