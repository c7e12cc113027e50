"""Floors under their names of version 0.1, which stand in run folders."""

import pytest

from jaxssl.aliases import FLOORS
from jaxssl.build import resolve


@pytest.mark.parametrize("name", FLOORS)
def test_old_names_mean_the_same_floors(name):
    new = resolve(f"evaluators.floors.{name}", trusted=False)
    for old in (f"evaluators.floors_{name}", f"jaxssl.evaluators.floors_{name}"):
        assert resolve(old) is resolve(old, trusted=False) is new


def test_the_flat_floor_keeps_its_name():
    assert resolve("evaluators.floors.flat", trusted=False).__name__ == "flat"
