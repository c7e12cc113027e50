"""What the learning rate and the weight decay are at every step, from the options of `optim`."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

SCHEDULES = ("cosine", "constant")
# The share of the way to the peak at step k of W steps of warm-up is (k + a) / (W - b); by name, (a, b).
WARMUPS = {"moving": (1, 0), "zero": (0, 0), "closed": (0, 1)}


def warmup_cosine(
    peak: float,
    total_steps: int,
    warmup_steps: int = 0,
    final_fraction: float = 0.0,
    *,
    warmup: str = "moving",
    warmup_first: float = 0.0,
) -> optax.Schedule:
    """Linear to `peak` over `warmup_steps`, then half a cosine to `final_fraction * peak`.

    Args:
      peak: the highest rate.
      total_steps: length of the run.
      warmup_steps: W, steps of the warm-up.
      final_fraction: last value of the cosine, as a fraction of the peak.
      warmup: where the straight line lies, at step k of W: 'moving', (k + 1) / W, so that step 0 already moves; 'zero',
        k / W, so that step 0 does not; 'closed', k / (W - 1), so that the last of the W steps is at the peak.
      warmup_first: the share of the peak at which the line begins.
    """
    ahead, less = WARMUPS[warmup]

    def schedule(step):
        step = jnp.asarray(step, jnp.float32)
        warm = jnp.minimum((step + ahead) / max(warmup_steps - less, 1), 1)
        warm = warmup_first + (1 - warmup_first) * warm
        done = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0, 1)
        cosine = final_fraction + (1 - final_fraction) * 0.5 * (1 + jnp.cos(jnp.pi * done))
        return peak * jnp.where(step < warmup_steps, warm, cosine)

    return schedule


def make_schedule(
    *,
    learning_rate: float,
    total_steps: int,
    warmup_steps: int,
    schedule: str,
    final_fraction: float,
    warmup: str = "moving",
    warmup_first: float = 0.0,
    rate_steps: int = 1,
) -> optax.Schedule:
    """'cosine' or 'constant', each after a linear warm-up.

    Args:
      learning_rate: the peak.
      total_steps: length of the run.
      warmup_steps: steps of the warm-up.
      schedule: one of SCHEDULES.
      final_fraction: last value of the cosine, as a fraction of the peak.
      warmup, warmup_first: the straight line of the warm-up, see `warmup_cosine`.
      rate_steps: steps for which the rate stays as it is.

    Raises:
      ValueError: naming the option and what would be right.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"optim.schedule={schedule!r}: must be {' or '.join(map(repr, SCHEDULES))}.")
    if warmup not in WARMUPS:
        raise ValueError(f"optim.warmup={warmup!r}: must be one of {tuple(WARMUPS)}.")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"optim.warmup_steps={warmup_steps}: must lie in 0 .. total_steps={total_steps}.")
    if not 0 <= warmup_first <= 1 or (warmup_first and warmup == "moving"):
        raise ValueError(
            f"optim.warmup_first={warmup_first}: must be in 0 .. 1, and 0 with warmup='moving'; 'zero' or 'closed' begin"
            " where it says."
        )
    if rate_steps < 1:
        raise ValueError(f"optim.rate_steps={rate_steps}: must be at least 1.")
    final_fraction = 1.0 if schedule == "constant" else final_fraction
    rate = warmup_cosine(
        learning_rate, total_steps, warmup_steps, final_fraction, warmup=warmup, warmup_first=warmup_first
    )
    return rate if rate_steps == 1 else lambda step: rate(step // rate_steps * rate_steps)


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
    warmup: str = "moving",
    warmup_first: float = 0.0,
    rate_steps: int = 1,
    **_: Any,
) -> dict[str, optax.Schedule]:
    """Schedules of an optimiser with these options of `make_optimizer`: {name: step -> value}.

    The names are learning_rate and weight_decay, and learning_rate_SCHEDULE where `multipliers` name a schedule. The
    factors of `multipliers` are not in it.
    """
    if not learning_rate > 0:
        raise ValueError(f"optim.learning_rate={learning_rate}: must be positive.")
    shared = dict(
        learning_rate=learning_rate * (batch_size / scale_batch if scale_batch else 1.0),
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        final_fraction=final_fraction,
        warmup=warmup,
        warmup_first=warmup_first,
        rate_steps=rate_steps,
    )
    found = {"learning_rate": make_schedule(schedule=schedule, **shared)}
    for own in sorted({entry.schedule for entry in read_multipliers(multipliers)} - {""}):
        found[f"learning_rate_{own}"] = make_schedule(schedule=own, **shared)

    def decay(step):
        done = jnp.clip(step / max(total_steps, 1), 0, 1)
        return weight_decay_end + (weight_decay - weight_decay_end) * 0.5 * (1 + jnp.cos(jnp.pi * done))

    found["weight_decay"] = optax.constant_schedule(weight_decay) if weight_decay_end is None else decay
    return found
