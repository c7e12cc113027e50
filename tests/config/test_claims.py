"""What the rows of the tables claim is what was measured."""

import pytest

from jaxssl import claims, index
from jaxssl.card import Card, wrong_card
from jaxssl.evaluators.columns import Column

TOP1 = Column("top1", "accuracy", "%", "higher")
ERROR = Column("error", "error", "mm", "lower")


def results(own, untrained, *floors, key="top1"):
    named = {f"floor {i}": {key: value} for i, value in enumerate(floors)}
    return index.Results({key: own}, {key: untrained}, {**named, "none": {}})


def test_no_row_claims_more_than_was_measured():
    for row in index.rows():
        where = index.shown(row.config) if row.config is not None else row.system.id
        assert not row.wrong_claims, f"{where}: {' '.join(row.wrong_claims)}"


def test_a_row_that_claims_nothing_says_why():
    for row in (row for row in index.rows() if row.record):
        missing = {claim for claim, lead in claims.leads(row.results, row.column, row.seeds).items() if not lead.sure}
        told = {"floor": "floor", "untrained": "untrained"}
        for claim in {"floor", "untrained"} - set(row.beats):
            nothing = claim in missing and not (row.results.floors if claim == "floor" else row.results.untrained)
            assert nothing or told[claim] in row.words, f"{row.config}: {row.words!r}"


@pytest.mark.parametrize(
    "own, floor, seeds, sure, words",
    [
        (0.75, 0.70, 1, True, ""),
        (0.749, 0.70, 1, False, "lead over the floor below 5 points, one seed"),
        (0.749, 0.70, 2, False, "lead over the floor below 5 points, 2 seeds"),
        (0.701, 0.70, 3, True, ""),
        (0.70, 0.70, 3, False, "floor leads: floor 0"),
        (0.60, 0.70, 1, False, "floor leads: floor 0"),
    ],
)
def test_a_lead_counts_with_three_seeds_or_five_points(own, floor, seeds, sure, words):
    found = results(own, 0.1, floor, 0.2)
    assert claims.leads(found, TOP1, seeds)["floor"].sure == sure
    assert claims.words(("floor", "untrained"), found, TOP1, seeds) == words
    wrong = claims.wrong_claims(("floor", "untrained"), found, TOP1, seeds)
    assert wrong == ([] if sure else [f"beats='floor': the numbers say: {words}."])


def test_every_floor_must_be_led():
    found = claims.leads(results(0.8, 0.1, 0.5, 0.9), TOP1)["floor"]
    assert found.ahead == ("floor 1",) and found.margin == pytest.approx(-0.1) and not found.sure


def test_lower_may_be_better_and_points_are_of_shares():
    found = results(2.0, 3.0, 4.0, key="error")
    leads = claims.leads(found, ERROR)
    assert leads["floor"].margin == 2.0 and not leads["floor"].sure  # 2 mm are no points
    assert (
        claims.words((), found, ERROR)
        == "lead over the floor not sure, one seed, lead over untrained not sure, one seed"
    )
    assert all(lead.sure for lead in claims.leads(found, ERROR, 3).values())
    worse = claims.leads(found, ERROR._replace(better="higher"))
    assert worse["untrained"].ahead == ("untrained",) and not worse["floor"].sure
    correlation = Column("top1", "similarity", "", "higher")
    assert claims.leads(results(0.5, 0.1, 0.3), correlation)["floor"].sure
    assert not claims.leads(results(1.5, 0.1, 0.3), correlation)["floor"].sure  # a number without bound
    assert claims.leads(results(0.5, 0.1, 0.3), Column("top1", "steps", "", ""))["floor"] == claims.Lead()


def test_a_claim_without_anything_to_compare_is_wrong():
    alone = index.Results({"top1": 0.9}, {}, {})
    assert claims.wrong_claims(("floor",), alone, TOP1) == ["beats='floor': the numbers say: no floor has top1."]
    assert claims.words((), alone, TOP1) == ""
    assert claims.words(("floor", "untrained"), results(0.9, 0.1, 0.2), TOP1) == ""
    assert (
        claims.words((), results(0.9, 0.1, 0.2), TOP1)
        == "lead over the floor not claimed, lead over untrained not claimed"
    )


def test_claims_are_those_of_the_card_unless_the_config_has_its_own(tmp_path):
    system = index.System(Card("A", "", 2024, "image", "contrast", beats=("untrained",)), "methods.a", ())
    record = {"headline": "top1", "results": {"floor": {"top1": 0.9}, "trained encoder": {"top1": 0.5}}}
    plain, own = tmp_path / "plain.py", tmp_path / "own.py"
    plain.write_text("")
    own.write_text('BEATS = ("floor",)\n')
    assert index.Row(system, plain, record).beats == ("untrained",)
    row = index.Row(system, own, record | {"headline": "knn/top1"})
    assert row.beats == ("floor",) and row.wrong_claims
    assert index.Row(system, own, {}).wrong_claims == ["beats=('floor',): nothing has been measured."]
    assert not index.Row(system, plain, {}).wrong_claims
    assert wrong_card(system.card._replace(beats=("all",))).startswith(
        "beats=('all',): must be some of floor, untrained."
    )
