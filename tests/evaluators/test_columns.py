"""Columns of results: units, directions, headings of patterns and scopes, and the printed table."""

import functools
from types import SimpleNamespace

import pytest

from jaxssl.evaluate import print_table
from jaxssl.evaluators.columns import Column, cell, column_of, columns, declared, find, scoped
from jaxssl.evaluators.knn import knn


def test_units_say_how_a_value_is_shown():
    assert Column("a/b", "b").title == "b (% ↑)" and Column("a/b", "b").shown(0.8254) == "82.5"
    assert Column("a/b", "b", "mm", "lower").title == "b (mm ↓)"
    assert Column("a/b", "b", "mm", "lower").shown(12.3456) == "12.35"
    assert Column("a/b", "b", "", "").title == "b" and Column("a/b", "b", "").title == "b (↑)"
    assert cell({"a/1_mean": 0.5, "a/1_std": 0.0123}, Column("a/1_mean", "1")) == "50.0 ± 1.2"
    assert cell({"a/1_mean": None}, Column("a/1_mean", "1")) == cell({}, Column("a/b", "b")) == ""


def test_patterns_and_scopes():
    known = (Column("few/{n}_mean", "{n} label{s}"), Column("k/top1", "k-NN", "", "lower"))
    assert find("few/1_mean", known).heading == "1 label" and find("few/10_mean", known).heading == "10 labels"
    assert find("few/T-shirt/top_mean", known).heading == "T-shirt/top labels"
    assert find("k/top5", known) is find("few/1_std", known) is find("", known) is None
    assert find("transfer/digits/k/top1", known) == ("transfer/digits/k/top1", "transfer/digits: k-NN", "", "lower")
    assert scoped({"k/top1": 1.0}, "far") == {"far/k/top1": 1.0} and scoped({"k/top1": 1.0}, "") == {"k/top1": 1.0}


def test_what_the_package_declares_is_found_by_key():
    assert declared(knn) == declared(functools.partial(knn, k=5)) == (Column("knn/top1", "k-NN", "%", "higher"),)
    assert column_of("few_labels/10_mean").title == "10 labels a class (% ↑)"
    assert column_of("rankme/rank").title == "effective rank (↑)"
    assert column_of("own/thing") == Column("own/thing", "own/thing", "", "")
    assert cell({"knn/top1": 0.5}, column_of("knn/top1")) == "50.0" and cell({}, column_of("knn/top1")) == ""


def test_the_table_shows_declared_columns_with_units_and_nothing_else(capsys):
    known = columns(Column("k/top1", "k-NN"), Column("depth/error", "depth", "mm", "lower"))(lambda: None).columns
    rows = {"raw": {"k/top1": 0.1}, "trained encoder": {"k/penalty": 7.0, "k/top1": 0.25, "depth/error": 31.4}}
    print_table(rows, known)
    said = capsys.readouterr().out
    for part in ("k-NN", "(% ↑)", "depth", "(mm ↓)", "10.0", "25.0", "31.4"):
        assert part in said, said
    assert "penalty" not in said


def own_evaluator(data, *, answer: float = 0.5):
    """One's own: it declares nothing."""
    return lambda predict, state: {"own/answer": answer}


def test_an_evaluator_of_one_s_own_without_columns_is_shown_as_it_is(tiny_experiment, capsys):
    from jaxssl.evaluate import Evaluation

    evaluation = Evaluation(tiny_experiment({"own": dict(name=f"{__name__}.own_evaluator", answer=0.125)}))
    results = evaluation.run(SimpleNamespace(params={}, memory={}, step=0))
    assert results == {"own/answer": 0.125}
    assert evaluation.columns == {"own": (Column("own/answer", "own/answer", "", ""),)}


@pytest.fixture
def tiny_experiment():
    import numpy as np
    from ml_collections import ConfigDict

    from jaxssl.data.source import Splits, from_arrays
    from jaxssl.sharding import make_mesh

    def make(evaluators):
        source = from_arrays({"image": np.zeros((4, 2, 2, 1), np.uint8), "label": np.arange(4) % 2})
        config = ConfigDict({"evaluate": dict(evaluators=evaluators, batch_size=4, floors={})})
        return SimpleNamespace(
            config=config, mesh=make_mesh(1, 1, None), splits=Splits(source, source), predict=None, preprocess=None
        )

    return make
