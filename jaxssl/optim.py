"""Optimisers by name, from optax, with the recipe that self-supervised training shares.

    clip -> optimiser's own scaling -> weight decay (not on excluded paths) -> learning rate (warm-up, cosine)

Which parameters are excluded, frozen or slowed is said by regular expressions over their paths
('encoder/conv1/kernel'), so that it needs no code in a method.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

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


def path_name(path) -> str:
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
    """'cosine' or 'constant', each after a linear warm-up."""
    if schedule not in ("cosine", "constant"):
        raise ValueError(f"optim.schedule='{schedule}': must be 'cosine' or 'constant'.")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"optim.warmup_steps={warmup_steps}: must lie in 0 .. total_steps={total_steps}.")
    final_fraction = 1.0 if schedule == "constant" else final_fraction
    return warmup_cosine(learning_rate, total_steps, warmup_steps, final_fraction)


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
    multipliers: Sequence[tuple[str, float]] = (),
    clip_norm: float = 0.0,
    momentum: float | None = None,
    nesterov: bool | None = None,
    b1: float | None = None,
    b2: float | None = None,
    eps: float | None = None,
    trust_coefficient: float | None = None,
) -> optax.GradientTransformation:
    """The optimiser of a run.

    name:             sgd, adamw, lars, lamb, lion or muon.
    learning_rate:    peak; multiplied by batch_size / scale_batch where scale_batch > 0.
    weight_decay:     decoupled for adamw, lamb, lion, muon; an L2 term of the gradient for sgd and lars.
                      With `weight_decay_end` it goes from one to the other along half a cosine (DINO).
    exclude:          paths without weight decay and without layer-wise trust ratio.
    frozen:           paths that do not move.
    multipliers:      (pattern, factor) pairs on the learning rate; the first match wins.
    clip_norm:        global norm; 0 is none.
    The remaining options default to the optimiser's own; one that it does not have is refused.

    Raises ValueError naming the option and what would be right.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optim.name='{name}' is no optimiser.{nearest(name, OPTIMIZERS)}")
    if not learning_rate > 0:
        raise ValueError(f"optim.learning_rate={learning_rate}: must be positive.")
    own = dict(OPTIMIZERS[name])
    given = dict(momentum=momentum, nesterov=nesterov, b1=b1, b2=b2, eps=eps, trust_coefficient=trust_coefficient)
    for option, value in given.items():
        if value is not None and option not in own:
            raise ValueError(f"optim.{option}={value}: {name} has no such option; it takes {', '.join(own)}.")
        if value is not None:
            own[option] = value

    peak = learning_rate * (batch_size / scale_batch if scale_batch else 1.0)
    rate = make_schedule(
        learning_rate=peak,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        schedule=schedule,
        final_fraction=final_fraction,
    )
    decayed = path_mask(f"^(?!.*(?:{exclude}))") if exclude else path_mask("")
    decay = _decay(weight_decay, weight_decay_end, total_steps, decayed)
    flat = {k: own[k] for k in ("b1", "b2", "eps") if k in own}
    if name == "sgd":
        parts = [*decay, optax.trace(own["momentum"], own["nesterov"]), optax.scale_by_learning_rate(rate)]
    elif name == "adamw":
        parts = [optax.scale_by_adam(**flat), *decay, optax.scale_by_learning_rate(rate)]
    elif name == "lion":
        parts = [optax.scale_by_lion(**flat), *decay, optax.scale_by_learning_rate(rate)]
    elif name == "lamb":
        trust = optax.masked(optax.scale_by_trust_ratio(), decayed)
        parts = [optax.scale_by_adam(**flat), *decay, trust, optax.scale_by_learning_rate(rate)]
    elif name == "lars":
        trust = optax.masked(optax.scale_by_trust_ratio(trust_coefficient=own["trust_coefficient"]), decayed)
        parts = [*decay, trust, optax.scale_by_learning_rate(rate), optax.trace(own["momentum"], own["nesterov"])]
    else:
        if weight_decay_end is not None:
            raise ValueError("optim.weight_decay_end: muon takes a constant weight decay only.")
        # optax's own: Newton-Schulz for matrices, AdamW for everything else.
        adam = dict(adam_b1=own["b1"], adam_b2=own["b2"], eps=own["eps"], adam_weight_decay=weight_decay)
        own_decay = dict(weight_decay=weight_decay, weight_decay_mask=decayed)
        parts = [optax.contrib.muon(rate, beta=own["momentum"], nesterov=own["nesterov"], **own_decay, **adam)]

    if clip_norm:
        parts.insert(0, optax.clip_by_global_norm(clip_norm))
    for i, (pattern, factor) in enumerate(multipliers):
        earlier = "|".join(f"(?:{p})" for p, _ in multipliers[:i])
        parts.append(
            optax.masked(optax.scale(factor), path_mask(f"^(?!.*(?:{earlier})).*(?:{pattern})" if earlier else pattern))
        )
    if frozen:
        parts.append(optax.masked(optax.set_to_zero(), path_mask(frozen)))
    return optax.chain(*parts)


def _decay(weight_decay: float, end: float | None, total_steps: int, mask) -> list[optax.GradientTransformation]:
    if end is None and not weight_decay:
        return []
    if end is None:
        return [optax.add_decayed_weights(weight_decay, mask)]

    def schedule(step):
        done = jnp.clip(step / max(total_steps, 1), 0, 1)
        return end + (weight_decay - end) * 0.5 * (1 + jnp.cos(jnp.pi * done))

    return [optax.add_decayed_weights(schedule, mask)]


def check_patterns(params, *, frozen: str = "", multipliers: Sequence[tuple[str, float]] = ()) -> None:
    """Raises ValueError for a pattern that matches no parameter: a misspelt one would silently do nothing."""
    names = ["/" + path_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
    for option, pattern in [("frozen", frozen)] * bool(frozen) + [("multipliers", p) for p, _ in multipliers]:
        if not any(re.search(pattern, n) for n in names):
            raise ValueError(
                f"optim.{option}: '{pattern}' matches no parameter; paths look like {names[0]}, {names[-1]}."
            )
