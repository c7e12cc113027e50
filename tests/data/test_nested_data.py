"""Data sections within data sections."""

import pytest

from jaxssl.build import build


def test_views_of_views_are_built_from_their_sections():
    spec = dict(
        name="data.subset.repeated",
        repeats=2,
        of=dict(name="data.subset.labelled", per_class=5, share=0.5, of=dict(name="data.sets.digits")),
    )
    train = build(spec).train
    assert (train.columns["target"] >= 0).sum() == 50 and train.repeats == 2 and train.epoch_size == 1437


def test_data_that_are_none_are_refused():
    with pytest.raises((TypeError, ValueError), match="of"):
        build(dict(name="data.subset.repeated", repeats=2, of=3))
