"""Optimisers by name, from optax, with the recipe that self-supervised training shares.

    clip -> optimiser's own scaling -> weight decay (not on excluded paths) -> learning rate (warm-up, cosine)

Which parameters are excluded, frozen or slowed is said by regular expressions over their paths
('encoder/conv1/kernel'), so that it needs no code in a method.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxssl.build import nearest

# Options that each optimiser takes, with its defaults; anything else that is set is refused.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": dict(momentum=0.9, nesterov=False),
    "adamw": dict(b1=0.9, b2=0.999, eps=1e-8),
    "lars": dict(momentum=0.9, nesterov=False, trust_coefficient=1e-3),
    "lamb": dict(b1=0.9, b2=0.999, eps=1e-6),
    "lion": dict(b1=0.9, b2=0.99),
    "muon": dict(momentum=0.95, nesterov=True, b1=0.9, b2=0.999, eps=1e-8),
}
SCHEDULES = ("cosine", "constant")


def path_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf as 'encoder/conv1/kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def path_mask(pattern: str) -> Callable[[Any], Any]:
    """params -> tree of booleans: True where the path (with a leading '/') matches the pattern."""
    search = re.compile(pattern).search
    return lambda params: jax.tree_util.tree_map_with_path(lambda p, _: search("/" + path_name(p)) is not None, params)


def warmup_cosine(peak: float, total_steps: int, warmup_steps: int = 0, final_fraction: float = 0.0) -> optax.Schedule:
    """Linear from 0 over `warmup_steps` (step 0 already moves), then half a cosine to `final_fraction * peak`."""

    def schedule(step):
        step = jnp.asarray(step, jnp.float32)
        warm = (step + 1) / max(warmup_steps, 1)
        done = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0, 1)
        cosine = final_fraction + (1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return peak * jnp.where(step < warmup_steps, warm, cosine)

    return schedule


def make_schedule(
    *, learning_rate: float, total_steps: int, warmup_steps: int, schedule: str, final_fraction: float
) -> optax.Schedule:
    """'cosine' or 'constant', each after a linear warm-up.

    Args:
      learning_rate: the peak.
      total_steps: length of the run.
      warmup_steps: steps of the warm-up.
      schedule: one of SCHEDULES.
      final_fraction: last value of the cosine, as a fraction of the peak.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"optim.schedule={schedule!r}: must be {' or '.join(map(repr, SCHEDULES))}.")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"optim.warmup_steps={warmup_steps}: must lie in 0 .. total_steps={total_steps}.")
    final_fraction = 1.0 if schedule == "constant" else final_fraction
    return warmup_cosine(learning_rate, total_steps, warmup_steps, final_fraction)


class Multiplier(NamedTuple):
    """An entry of `optim.multipliers`: of the parameters whose path matches, the first match wins.

    schedule: '', the schedule of all, or one of SCHEDULES of their own.
    """

    pattern: str
    factor: float
    schedule: str = ""


def read_multipliers(multipliers: Sequence[tuple]) -> list[Multiplier]:
    """The entries of `optim.multipliers`. Raises ValueError for what is no (pattern, factor[, schedule])."""
    entries = []
    for entry in multipliers:
        name = f"optim.multipliers: {entry!r}"
        if isinstance(entry, str) or not isinstance(entry, Sequence) or len(entry) not in (2, 3):
            raise ValueError(f"{name}: must be (pattern, factor) or (pattern, factor, schedule).")
        pattern, factor, *schedule = entry
        if not isinstance(pattern, str):
            raise ValueError(f"{name}: the pattern must be a regular expression over paths.")
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            raise ValueError(f"{name}: the factor must be a number of at least 0.")
        if schedule and schedule[0] not in SCHEDULES:
            raise ValueError(f"{name}: the schedule must be {' or '.join(map(repr, SCHEDULES))}.")
        entries.append(Multiplier(pattern, factor, *schedule))
    return entries


def make_schedules(
    *,
    learning_rate: float,
    total_steps: int,
    batch_size: int,
    scale_batch: int = 0,
    warmup_steps: int = 0,
    schedule: str = "cosine",
    final_fraction: float = 0.0,
    weight_decay: float = 0.0,
    weight_decay_end: float | None = None,
    multipliers: Sequence[tuple] = (),
    **_: Any,
) -> dict[str, optax.Schedule]:
    """Schedules of an optimiser with these options of `make_optimizer`: {name: step -> value}.

    The names are learning_rate and weight_decay, and learning_rate_SCHEDULE where `multipliers` name a schedule. The
    factors of
    `multipliers` are not in it.
    """
    if not learning_rate > 0:
        raise ValueError(f"optim.learning_rate={learning_rate}: must be positive.")
    shared = dict(
        learning_rate=learning_rate * (batch_size / scale_batch if scale_batch else 1.0),
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        final_fraction=final_fraction,
    )
    found = {"learning_rate": make_schedule(schedule=schedule, **shared)}
    for own in sorted({entry.schedule for entry in read_multipliers(multipliers)} - {""}):
        found[f"learning_rate_{own}"] = make_schedule(schedule=own, **shared)

    def decay(step):
        done = jnp.clip(step / max(total_steps, 1), 0, 1)
        return weight_decay_end + (weight_decay - weight_decay_end) * 0.5 * (1 + jnp.cos(jnp.pi * done))

    found["weight_decay"] = optax.constant_schedule(weight_decay) if weight_decay_end is None else decay
    return found


def make_optimizer(
    *,
    name: str,
    learning_rate: float,
    total_steps: int,
    batch_size: int,
    scale_batch: int = 0,
    warmup_steps: int = 0,
    schedule: str = "cosine",
    final_fraction: float = 0.0,
    weight_decay: float = 0.0,
    weight_decay_end: float | None = None,
    exclude: str = r"/(bias|scale)$",
    frozen: str = "",
    multipliers: Sequence[tuple[str, float] | tuple[str, float, str]] = (),
    clip_norm: float = 0.0,
    momentum: float | None = None,
    nesterov: bool | None = None,
    b1: float | None = None,
    b2: float | None = None,
    eps: float | None = None,
    trust_coefficient: float | None = None,
    rests: Sequence[tuple[str, int]] = (),
) -> optax.GradientTransformation:
    """The optimiser of a run.

    The remaining options default to the optimiser's own; one that it does not have is refused.

    Args:
      name: sgd, adamw, lars, lamb, lion or muon.
      learning_rate: peak; multiplied by batch_size / scale_batch where scale_batch > 0.
      weight_decay: decoupled for adamw, lamb, lion, muon; an L2 term of the gradient for sgd and lars. With
        `weight_decay_end` it goes from one to the other along half a cosine (DINO).
      exclude: paths without weight decay and without layer-wise trust ratio.
      frozen: paths that do not move.
      multipliers: (pattern, factor) or (pattern, factor, schedule) on the learning rate; the first match wins. With
        'constant' the rate of these paths stays at its peak after the warm-up, with 'cosine' it decays, whatever
        `schedule` says.
      clip_norm: global norm; 0 is none.
      rests: (pattern, steps) pairs, `core.Method.rests`: paths that neither move nor are remembered for that
        many steps; then the optimiser starts on them as if new, at the rates of the step.
      total_steps, warmup_steps, schedule, final_fraction: as in `make_schedule`.
      momentum, nesterov, b1, b2, eps, trust_coefficient: of the optimiser; None: its default in OPTIMIZERS.

    Raises:
      ValueError: naming the option and what would be right.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optim.name='{name}' is no optimiser.{nearest(name, OPTIMIZERS)}")
    own = dict(OPTIMIZERS[name])
    given = dict(momentum=momentum, nesterov=nesterov, b1=b1, b2=b2, eps=eps, trust_coefficient=trust_coefficient)
    for option, value in given.items():
        if value is not None and option not in own:
            raise ValueError(f"optim.{option}={value}: {name} has no such option; it takes {', '.join(own)}.")
        if value is not None:
            own[option] = value

    schedules = make_schedules(
        learning_rate=learning_rate,
        total_steps=total_steps,
        batch_size=batch_size,
        scale_batch=scale_batch,
        warmup_steps=warmup_steps,
        schedule=schedule,
        final_fraction=final_fraction,
        weight_decay=weight_decay,
        weight_decay_end=weight_decay_end,
        multipliers=multipliers,
    )
    entries = read_multipliers(multipliers)
    decayed = path_mask(f"^(?!.*(?:{exclude}))") if exclude else path_mask("")
    if name == "muon" and weight_decay_end is not None:
        raise ValueError("optim.weight_decay_end: muon takes a constant weight decay only.")
    if name == "muon" and any(entry.schedule for entry in entries):
        raise ValueError("optim.multipliers: muon takes one schedule for all; leave the third entry out.")

    def steps(start: int = 0) -> list[optax.GradientTransformation]:
        """From gradients to updates, with a count of steps that begins at `start`."""
        at = lambda schedule: (lambda count: schedule(count + start)) if start else schedule
        decay = []
        if weight_decay_end is not None:
            decay = [optax.add_decayed_weights(at(schedules["weight_decay"]), decayed)]
        elif weight_decay:
            decay = [optax.add_decayed_weights(weight_decay, decayed)]
        rate = [
            optax.scale_by_learning_rate(at(schedules["learning_rate"]))
            if paths is None
            else optax.masked(optax.scale_by_learning_rate(at(schedules[of])), paths)
            for of, paths in _rates(entries)
        ]
        flat = {k: own[k] for k in ("b1", "b2", "eps") if k in own}
        if name == "sgd":
            return [*decay, optax.trace(own["momentum"], own["nesterov"]), *rate]
        if name == "adamw":
            return [optax.scale_by_adam(**flat), *decay, *rate]
        if name == "lion":
            return [optax.scale_by_lion(**flat), *decay, *rate]
        if name == "lamb":
            return [optax.scale_by_adam(**flat), *decay, optax.masked(optax.scale_by_trust_ratio(), decayed), *rate]
        if name == "lars":
            trust = optax.masked(optax.scale_by_trust_ratio(trust_coefficient=own["trust_coefficient"]), decayed)
            return [*decay, trust, *rate, optax.trace(own["momentum"], own["nesterov"])]
        # optax's own: Newton-Schulz for matrices, AdamW for everything else.
        adam = dict(adam_b1=own["b1"], adam_b2=own["b2"], eps=own["eps"], adam_weight_decay=weight_decay)
        own_decay = dict(weight_decay=weight_decay, weight_decay_mask=decayed)
        rate = at(schedules["learning_rate"])
        return [optax.contrib.muon(rate, beta=own["momentum"], nesterov=own["nesterov"], **own_decay, **adam)]

    def recipe(start: int = 0) -> optax.GradientTransformation:
        scaled = zip(entries, _first_matches([entry.pattern for entry in entries]))
        return optax.chain(
            *[optax.clip_by_global_norm(clip_norm)] * bool(clip_norm),
            *steps(start),
            *[optax.masked(optax.scale(entry.factor), paths) for entry, paths in scaled],
            *[optax.masked(optax.set_to_zero(), path_mask(frozen))] * bool(frozen),
        )

    tx = recipe()
    for (_, start), paths in zip(rests, _first_matches([pattern for pattern, _ in rests])):
        tx = rest_until(start, paths, tx, recipe(start))
    return tx


def _first_matches(patterns: Sequence[str]) -> list[Callable[[Any], Any]]:
    """Masks of the paths that each pattern matches first."""
    masks = []
    for i, pattern in enumerate(patterns):
        earlier = "|".join(f"(?:{p})" for p in patterns[:i])
        masks.append(path_mask(f"^(?!.*(?:{earlier})).*(?:{pattern})" if earlier else pattern))
    return masks


def _any(masks):
    return lambda params: jax.tree.map(lambda *found: any(found), *[mask(params) for mask in masks])


def _none(masks):
    return lambda params: jax.tree.map(lambda found: not found, _any(masks)(params))


def _rates(entries: Sequence[Multiplier]) -> list[tuple[str, Callable[[Any], Any] | None]]:
    """(name in `make_schedules`, mask of the paths that follow it), one without a mask where all follow one."""
    masks = _first_matches([entry.pattern for entry in entries])
    own = {entry.schedule for entry in entries} - {""}
    chosen = {o: [m for entry, m in zip(entries, masks) if entry.schedule == o] for o in sorted(own)}
    if not own:
        return [("learning_rate", None)]
    rest = _none([mask for of in chosen.values() for mask in of])
    return [("learning_rate", rest), *((f"learning_rate_{o}", _any(of)) for o, of in chosen.items())]


def rest_until(
    start: int, paths: Callable[[Any], Any], tx: optax.GradientTransformation, late: optax.GradientTransformation
) -> optax.GradientTransformation:
    """`tx`, but parameters with paths(params) True rest until step `start`, and from then on are optimised as if new.

    Until then the optimiser does not remember anything of them, and its counts begin at `start` for them, so that young
    averages are corrected as young ones. The state is that of `tx`.

    Args:
      tx, late: the same optimiser, with schedules of the step and with schedules of the step less `start`. All integers
        in their states are counts of steps. What they remember of a parameter has a path that ends as the parameter's.
    """

    def rests_of(params, state):
        """The mask over the state."""
        mask = {path_name(path): found for path, found in jax.tree_util.tree_leaves_with_path(paths(params))}

        def of(path, _):
            ends = [name for name in mask if f"/{path_name(path)}".endswith(f"/{name}")]
            return bool(ends) and mask[max(ends, key=len)]

        return jax.tree_util.tree_map_with_path(of, state)

    def is_count(x):
        return jnp.issubdtype(x.dtype, jnp.integer)

    def update(updates, state, params=None):
        moves = next(x for x in jax.tree.leaves(state) if is_count(x)) >= start
        younger = jax.tree.map(lambda x: jnp.maximum(x - start, 0) if is_count(x) else x, state)
        found, after = tx.update(updates, state, params)
        own, own_after = late.update(updates, younger, params)
        found = jax.tree.map(lambda rests, a, b: jnp.where(moves, b, 0) if rests else a, paths(params), found, own)
        choose = lambda rests, a, b, before: jnp.where(moves, b, before) if rests else a
        return found, jax.tree.map(choose, rests_of(params, state), after, own_after, state)

    return optax.GradientTransformation(tx.init, update)


def check_patterns(params: Any, *, frozen: str = "", multipliers: Sequence[tuple] = ()) -> None:
    """Raises ValueError for a pattern that matches no parameter: a misspelt one would silently do nothing.

    Args:
      params: the parameters.
      frozen, multipliers: as in `make_optimizer`.
    """
    names = ["/" + path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
    for option, pattern in [("frozen", frozen)] * bool(frozen) + [("multipliers", m[0]) for m in multipliers]:
        if not any(re.search(pattern, n) for n in names):
            raise ValueError(
                f"optim.{option}: '{pattern}' matches no parameter; paths look like {names[0]}, {names[-1]}."
            )
