"""The collapse monitor: figures about features at every log step, and alarms in plain words."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.core import Watch
from jaxssl.ops.spectral import alignment, effective_rank, feature_std, uniformity


def digest(watched: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Numbers from the watched arrays of one step; jit it.

    features [V, N, D]    -> feature_rank (RankMe of the first view, 1 .. min(N, D)), feature_std (of unit rows,
                             1 / sqrt(D) when they point everywhere, 0 when all are equal)
    projections [V, N, D] -> projection_rank, projection_std, and with two views or more alignment (mean squared
                             distance of positives, 0 .. 4) and uniformity (log mean Gaussian potential, <= 0)
    assignments [M, K]    -> assignment_entropy (mean over rows / log K, 0 .. 1) and assignment_usage (the number of
                             prototypes in use: exp of the entropy of the mean, 1 .. K)
    """
    out = {}
    for name, prefix in (("features", "feature"), ("projections", "projection")):
        if name in watched:
            first = watched[name][0].astype(jnp.float32)
            out[f"{prefix}_rank"], out[f"{prefix}_std"] = effective_rank(first), feature_std(first)
    if "projections" in watched and watched["projections"].shape[0] > 1:
        first, second = watched["projections"][:2].astype(jnp.float32)
        out["alignment"], out["uniformity"] = alignment(first, second), uniformity(first)
    if "assignments" in watched:
        p = watched["assignments"].astype(jnp.float32)
        entropy = lambda q: -jnp.sum(q * jnp.log(jnp.maximum(q, 1e-12)), axis=-1)
        out["assignment_entropy"] = jnp.mean(entropy(p)) / math.log(max(p.shape[-1], 2))
        out["assignment_usage"] = jnp.exp(entropy(jnp.mean(p, axis=0)))
    return out


def split(metrics: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """(scalars, arrays of the `Watch` by name) of the metrics of an update."""
    watched = {name: metrics[name] for name in Watch._fields if name in metrics}
    return {name: value for name, value in metrics.items() if name not in watched}, watched


def all_finite(tree: Any) -> jax.Array:
    """Whether all numbers of a tree of floating arrays are finite; jit it."""
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]).all()


class Alarm(NamedTuple):
    """When `crossed(value, size)` holds of a metric, `sentence` is said; size is its largest possible value."""

    metric: str
    crossed: Callable[[float, float], bool]
    sentence: str


ALARMS = (
    Alarm(
        "feature_rank",
        lambda v, size: v < 1 + 0.02 * size,
        "effective rank {v:.1f} of {size:.0f}: dimensional collapse, the features use almost none of their dimensions. "
        "Usual remedies: stronger augmentation, a lower learning rate, a larger variance or uniformity term, a lower temperature.",
    ),
    Alarm(
        "feature_std",
        lambda v, size: v < 0.05 * size,
        "standard deviation of the unit features {v:.2g} where {size:.2g} is healthy: all examples get nearly the same "
        "features (complete collapse). Check the stop-gradient, the teacher's momentum and the learning rate.",
    ),
    Alarm(
        "projection_std",
        lambda v, size: v < 0.05 * size,
        "standard deviation of the unit embeddings {v:.2g} where {size:.2g} is healthy: the loss compares constants. "
        "Check the predictor, the stop-gradient and the batch normalisation of the head.",
    ),
    Alarm(
        "uniformity",
        lambda v, size: v > -0.05,
        "uniformity {v:.3f}, at most 0: the embeddings sit on one point of the sphere. Lower the temperature or the learning rate.",
    ),
    Alarm(
        "assignment_usage",
        lambda v, size: v < 1 + 0.01 * size,
        "{v:.1f} of {size:.0f} prototypes in use: the teacher puts everything in one cluster. "
        "Lower the centre's momentum, raise the teacher's temperature or use more Sinkhorn iterations.",
    ),
    Alarm(
        "assignment_entropy",
        lambda v, size: v > 0.995,
        "the assignments are uniform (entropy {v:.3f} of 1): there is nothing to learn from. "
        "Lower the temperature or epsilon of what assigns (the teacher's, where there is one).",
    ),
    Alarm(
        "teacher_distance",
        lambda v, size: v > 1.0,
        "the teacher is {v:.2f} student norms away from the student: it lags too far behind. Lower the momentum or the learning rate.",
    ),
)


NOT_FINITE = (
    "{name} is {v}: features, embeddings or assignments are not finite, or overflow when they are squared. "
    "Usual remedies: a lower learning rate, optim.clip_norm, float32 instead of bfloat16."
)


def sizes(watched: dict[str, jax.Array]) -> dict[str, float]:
    """The scale of each metric, from shapes alone: the largest possible rank or usage, the healthy deviation."""
    out = {}
    for name, prefix in (("features", "feature"), ("projections", "projection")):
        if name in watched:
            n, d = watched[name].shape[1:]
            out[f"{prefix}_rank"], out[f"{prefix}_std"] = float(min(n, d)), d**-0.5
    if "assignments" in watched:
        m, k = watched["assignments"].shape
        # M assignments of one prototype each can use M at most.
        out["assignment_usage"] = float(min(m, k))
    return out


class Monitor:
    """Says each alarm once when its threshold is crossed, and again only after it has been clear of it."""

    def __init__(self, warmup_steps: int = 50):
        self.warmup_steps, self.active = warmup_steps, set()

    def check(self, step: int, values: dict[str, float], scale: dict[str, float]) -> list[str]:
        """Sentences that are new at this step; during the first steps, when nothing is learnt yet, only of NaN."""
        # No comparison holds of NaN, and it is wrong at any step.
        odd = {name: value for name, value in values.items() if not math.isfinite(value)}
        crossed = {
            a
            for a in ALARMS
            if step >= self.warmup_steps
            and a.metric in values.keys() - odd.keys()
            and a.crossed(values[a.metric], scale.get(a.metric, 1.0))
        }
        new = [a for a in ALARMS if a in crossed and a not in self.active]
        said = [NOT_FINITE.format(name=n, v=v) for n, v in odd.items() if n not in self.active]
        self.active = crossed | odd.keys()
        return said + [a.sentence.format(v=values[a.metric], size=scale.get(a.metric, 1.0)) for a in new]


class Collapse(RuntimeError):
    """An alarm was raised in a run with `log.stop_on_collapse`."""


class NonFinite(RuntimeError):
    """A metric became NaN or infinite; the run stopped, its last good checkpoint is kept."""


def first_non_finite(steps: list[int], rows: list[dict[str, float]]) -> tuple[int, str] | None:
    """The first step with a non-finite metric and that metric, the loss's own parts before the loss and its gradient."""
    for step, row in zip(steps, rows):
        bad = [k for k, v in row.items() if not math.isfinite(float(v))]
        if bad:
            return step, min(bad, key=lambda k: (k == "grad_norm", k == "loss", list(row).index(k)))
    return None
