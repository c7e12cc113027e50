"""What a row of a table may claim: whether its headline leads the floors and the untrained encoder, and how surely.

A lead counts where the mean over seeds leads, and either three seeds were run or it is 5 points and more. Words for
tables and the check of claims (`Card.beats`, or `BEATS` of a config) are the same function.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from jaxssl.card import CLAIMS
from jaxssl.evaluators.columns import Column

if TYPE_CHECKING:
    from jaxssl.index import Results

SEEDS = 3
POINTS = 0.05


class Lead(NamedTuple):
    """Of a result over those that it is compared with.

    ahead: names of those that are as good or better.
    margin: the lead over the best of them, below 0 where that leads; None where there is nothing to compare.
    sure: whether the lead may be claimed.
    """

    ahead: tuple[str, ...] = ()
    margin: float | None = None
    sure: bool = False


def merit(found: Mapping[str, float | None], column: Column) -> float:
    """A result with its sign turned where lower is better; below all others where there is none."""
    value = found.get(column.key)
    return -math.inf if value is None else -value if column.better == "lower" else value


def lead(
    own: Mapping[str, float], others: Mapping[str, Mapping[str, float]], column: Column, *, seeds: int = 1
) -> Lead:
    """The lead of a result over those of others by name; those without that measure are passed over.

    Points are of what lies in [-1, 1]: shares, and numbers without a unit where both are there. Of other measures a lead
    counts with three seeds only.
    """
    found = {name: merit(results, column) for name, results in others.items() if results.get(column.key) is not None}
    if own.get(column.key) is None or not column.better or not found:
        return Lead()
    value = merit(own, column)
    best = max(found.values())
    ahead = tuple(name for name, other in found.items() if other >= value)
    bounded = column.unit in ("%", "") and max(abs(value), *map(abs, found.values())) <= 1
    enough = seeds >= SEEDS or (bounded and value - best >= POINTS - 1e-9)
    return Lead(ahead, value - best, not ahead and enough)


def leads(results: "Results", column: Column, seeds: int = 1) -> dict[str, Lead]:
    """{claim: lead} of an `index.Results` over the floors and over the untrained encoder."""
    untrained = {"untrained": results.untrained} if results.untrained else {}
    over = {"floor": results.floors, "untrained": untrained}
    return {claim: lead(results.own, over[claim], column, seeds=seeds) for claim in CLAIMS}


def wrong_claims(beats: tuple[str, ...], results: "Results", column: Column, seeds: int = 1) -> list[str]:
    """What the measured numbers do not bear out of a claim, one sentence each; [] where they bear out all."""
    found, wrong = leads(results, column, seeds), []
    for claim in beats:
        if claim not in CLAIMS:
            wrong.append(f"beats={claim!r}: must be one of {', '.join(CLAIMS)}.")
        elif not found[claim].sure:
            reason = _reason(claim, found[claim], column, seeds) or f"no {claim} has {column.key}"
            wrong.append(f"beats={claim!r}: the numbers say: {reason}.")
    return wrong


def words(beats: tuple[str, ...], results: "Results", column: Column, seeds: int = 1) -> str:
    """What a reader must know beside the numbers: who leads, which lead is not sure, which is not claimed; '' where nothing."""
    found = leads(results, column, seeds)
    said = []
    for claim in CLAIMS:
        reason = _reason(claim, found[claim], column, seeds)
        said.append(
            reason or (f"lead over {_called(claim)} not claimed" if found[claim].sure and claim not in beats else "")
        )
    return ", ".join(filter(None, said))


def _reason(claim: str, found: Lead, column: Column, seeds: int) -> str:
    """Why a lead cannot be claimed, in words; '' where it can, or where there is nothing to compare."""
    if found.margin is None or found.sure:
        return ""
    if found.ahead and claim == "untrained":
        return "no gain over untrained"
    if found.ahead:
        return f"floor leads: {', '.join(found.ahead)}"
    runs = "one seed" if seeds == 1 else f"{seeds} seeds"
    size = "below 5 points" if column.unit in ("%", "") else "not sure"
    return f"lead over {_called(claim)} {size}, {runs}"


def _called(claim: str) -> str:
    return "the floor" if claim == "floor" else claim
