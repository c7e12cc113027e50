"""Optimisers by name, from optax, with the recipe that self-supervised training shares.

    clip -> optimiser's own scaling -> weight decay (not on excluded paths) -> learning rate (warm-up, cosine)

Which parameters are excluded, frozen or slowed is said by regular expressions over their paths
('encoder/conv1/kernel'), so that it needs no code in a method.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from jaxssl.build import nearest
from jaxssl.paths import path_mask, path_name
from jaxssl.schedules import Multiplier, make_schedules, read_multipliers, warmup_cosine
from jaxssl.updates import clip_each as clip_by_norm_each
from jaxssl.updates import rest_until, scale_by_larc

__all__ = [
    "OPTIMIZERS",
    "check_patterns",
    "make_optimizer",
    "make_schedules",
    "path_mask",
    "path_name",
    "warmup_cosine",
]

# Options that each optimiser takes, with its defaults; anything else that is set is refused.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": dict(momentum=0.9, nesterov=False),
    "adamw": dict(b1=0.9, b2=0.999, eps=1e-8),
    "lars": dict(momentum=0.9, nesterov=False, trust_coefficient=1e-3, rate_in_momentum=True),
    "larc": dict(momentum=0.9, nesterov=False, trust_coefficient=1e-3, eps=1e-8),
    "lamb": dict(b1=0.9, b2=0.999, eps=1e-6),
    "lion": dict(b1=0.9, b2=0.99),
    "muon": dict(momentum=0.95, nesterov=True, b1=0.9, b2=0.999, eps=1e-8),
}


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
    rate_in_momentum: bool | None = None,
    warmup: str = "moving",
    warmup_first: float = 0.0,
    rate_steps: int = 1,
    clip_each: bool = False,
    rests: Sequence[tuple[str, int]] = (),
) -> optax.GradientTransformation:
    """The optimiser of a run.

    The remaining options default to the optimiser's own; one that it does not have is refused.

    Args:
      name: sgd, adamw, lars, larc, lamb, lion or muon. larc is lars as in SwAV, see `updates.scale_by_larc`.
      learning_rate: peak; multiplied by batch_size / scale_batch where scale_batch > 0.
      weight_decay: decoupled for adamw, lamb, lion, muon; an L2 term of the gradient for sgd, lars, larc. With
        `weight_decay_end` it goes from one to the other along half a cosine (DINO).
      exclude: paths without weight decay and without layer-wise trust ratio.
      frozen: paths that do not move.
      multipliers: (pattern, factor) or (pattern, factor, schedule) on the learning rate; the first match wins. With
        'constant' the rate of these paths stays at its peak after the warm-up, with 'cosine' it decays, whatever
        `schedule` says.
      clip_norm, clip_each: global norm; 0 is none. With `clip_each` the norm of each parameter's gradient by itself.
      rests: (pattern, steps) pairs, `core.Method.rests`: paths that neither move nor are remembered for that
        many steps; then the optimiser starts on them as if new, at the rates of the step.
      total_steps, warmup_steps, schedule, final_fraction, warmup, warmup_first, rate_steps: as in
        `schedules.make_schedule`.
      rate_in_momentum: of lars: the learning rate is a factor of what the momentum remembers, else of the update.
      momentum, nesterov, b1, b2, eps, trust_coefficient: of the optimiser; None: its default in OPTIMIZERS.

    Raises:
      ValueError: naming the option and what would be right.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optim.name='{name}' is no optimiser.{nearest(name, OPTIMIZERS)}")
    own = dict(OPTIMIZERS[name])
    given = dict(momentum=momentum, nesterov=nesterov, b1=b1, b2=b2, eps=eps, trust_coefficient=trust_coefficient)
    given["rate_in_momentum"] = rate_in_momentum
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
        warmup=warmup,
        warmup_first=warmup_first,
        rate_steps=rate_steps,
    )
    entries = read_multipliers(multipliers)
    decayed = path_mask(f"^(?!.*(?:{exclude}))") if exclude else path_mask("")
    if name in ("muon", "larc") and weight_decay_end is not None:
        raise ValueError(f"optim.weight_decay_end: {name} takes a constant weight decay only.")
    if clip_each and not clip_norm:
        raise ValueError("optim.clip_each=True: needs the norm to clip at, as in clip_norm=3.0.")
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
            moved = [optax.trace(own["momentum"], own["nesterov"])]
            return [*decay, trust, *rate, *moved] if own["rate_in_momentum"] else [*decay, trust, *moved, *rate]
        if name == "larc":
            trust = scale_by_larc(weight_decay, decayed, trust_coefficient=own["trust_coefficient"], eps=own["eps"])
            return [trust, optax.trace(own["momentum"], own["nesterov"]), *rate]
        # optax's own: Newton-Schulz for matrices, AdamW for everything else.
        adam = dict(adam_b1=own["b1"], adam_b2=own["b2"], eps=own["eps"], adam_weight_decay=weight_decay)
        own_decay = dict(weight_decay=weight_decay, weight_decay_mask=decayed)
        rate = at(schedules["learning_rate"])
        return [optax.contrib.muon(rate, beta=own["momentum"], nesterov=own["nesterov"], **own_decay, **adam)]

    def recipe(start: int = 0) -> optax.GradientTransformation:
        scaled = zip(entries, _first_matches([entry.pattern for entry in entries]))
        return optax.chain(
            *[(clip_by_norm_each if clip_each else optax.clip_by_global_norm)(clip_norm)] * bool(clip_norm),
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
