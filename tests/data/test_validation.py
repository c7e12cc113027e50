"""A validation part of every source: training data that are held out from training, the test set left alone."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from test_subset import LABEL, NAMES, SIZE, evaluated, lazy, made, view

from jaxssl.build import build
from jaxssl.data.draw import check_draw
from jaxssl.data.pipeline import stream
from jaxssl.data.source import Splits, from_arrays
from jaxssl.data.splits import validation_rows
from jaxssl.data.validation import validation_index, with_validation
from jaxssl.data.views import fingerprint, index_of
from jaxssl.evaluators.features import EvaluationData
from jaxssl.evaluators.links import links
from jaxssl.experiment import gather, resident_arrays

SOURCES = {
    "fashion_mnist_12k": dict(limit=100),
    "digits": {},
    "fashion_captions": dict(limit=100),
    "scenes": dict(limit=20, size=32, item_size=(10, 16)),
    "fashion_clouds": dict(limit=50, num_points=16),
    "solids": dict(train=60, test=15, num_points=32),
    "wine": {},
    "breast_cancer": {},
    "digits_columns": {},
    "sensors": dict(train_size=100, test_size=20),
    "flows": dict(train_size=60, test_size=20),
    "breast_cancer_anomaly": {},
    "basic_motions": {},
    "ecg_rhythms": dict(train=40, test=8),
    "tones": dict(train=40, test=24, seconds=0.2),
    "words": dict(limit=800),
    "words accent": dict(label="accent", limit=800),
    "debian_descriptions": dict(limit=400),
    "wordnet_glosses": dict(limit=400),
    "moving_items": dict(train=36, test=9, frames=3, size=16),
    "digits_influence": dict(limit=100),
    "graph": dict(limit=100, num_nodes=6, num_edges=8),
    "influence": dict(limit=100, num_neighbors=8),
}


def stratum(label):
    """How often each class occurs."""
    return dict(zip(*np.unique(label, return_counts=True)))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_has_a_validation_part(name):
    room = "readers" if name in ("graph", "influence") else "sets"
    whole = build(dict(name=f"data.{room}.{name.split()[0]}", **SOURCES[name]))
    train, held = with_validation(whole)
    assert held.part == "validation" and whole.train.part == whole.test.part == "test"
    index = [index_of(source) for source in (train, held)]
    np.testing.assert_array_equal(np.sort(np.concatenate(index)), np.arange(whole.train.size))
    for source, ids in zip((train, held), index):
        assert source.size == len(ids) > 0 and source.num_ids == whole.train.num_ids
        expected, found = whole.train.fetch(ids), source.fetch(np.arange(source.size))
        assert set(expected) == set(found)
        for array in found:
            np.testing.assert_array_equal(found[array], expected[array])
            np.testing.assert_array_equal(source.arrays[array], expected[array])
        if source.names is not None:
            assert source.names(np.arange(3)) == whole.train.names(ids[:3])
    label = whole.train.arrays["label"]
    if (label >= 0).any() and not whole.train.group:
        classes, held_classes = stratum(label), stratum(label[index[1]])
        for number, count in classes.items():
            assert held_classes.get(number, 0) == (min(max(1, round(0.1 * count)), count - 1) if count > 1 else 0)
    assert fingerprint(train) == fingerprint(whole.train) != fingerprint(held)
    again = with_validation(whole)
    np.testing.assert_array_equal(index_of(again.test), index[1])
    np.testing.assert_array_equal(np.sort(validation_index(whole.train)), index[1])


@pytest.mark.parametrize(
    "name, group", [("words", "voice"), ("words accent", "voice"), ("debian_descriptions", "pair")]
)
def test_what_belongs_together_stays_together(name, group):
    train, held = with_validation(build(dict(name=f"data.sets.{name.split()[0]}", **SOURCES[name])))
    assert not set(train.columns[group]) & set(held.columns[group])
    assert 0.05 < held.size / (train.size + held.size) < 0.3


def test_texts_of_the_validation_part_find_each_other():
    whole = build(dict(name="data.sets.debian_descriptions", limit=400))
    train, held = with_validation(whole)
    pairs = held.extra["retrieval"]
    assert not train.extra and len(pairs["query"]["tokens"]) == held.size // 2
    np.testing.assert_array_equal(pairs["target"]["tokens"], held.arrays["tokens"][::2])
    np.testing.assert_array_equal(pairs["query"]["tokens"], held.arrays["tokens"][1::2])
    assert set(pairs["query"]) == set(whole.test.extra["retrieval"]["query"])


@pytest.mark.parametrize("name", ["graph", "influence"])
def test_nodes_of_a_graph_are_cut_with_their_features(name):
    whole = build(dict(name=f"data.readers.{name}", limit=200, **({"num_nodes": 6} if name == "graph" else {})))
    train, held = with_validation(whole)
    np.testing.assert_array_equal(train.extra["train_nodes"], train.arrays["node"])
    np.testing.assert_array_equal(held.extra["test_nodes"], held.arrays["node"])
    assert not {"train_nodes"} & set(held.extra) and not {"test_nodes"} & set(train.extra)
    tested = set(whole.test.arrays["node"])
    assert not tested & set(train.arrays["node"]) and not tested & set(held.arrays["node"])
    np.testing.assert_array_equal(train.extra["edges"], whole.train.extra["edges"])
    # An evaluator of links pairs the rows with the nodes that they are about.
    rows = lambda source: iter([source.fetch(np.arange(source.size))])
    data = EvaluationData(lambda: iter(()), serve=rows).of(Splits(train, held))
    position = np.random.default_rng(0).normal(size=(6000, 4)).astype(np.float32)
    state = type("State", (), dict(params=None, memory=None, step=0))
    seen = lambda params, memory, batch: {"features": jnp.asarray(position[batch["node"]])}
    pairs = np.array([[train.arrays["node"][0], held.arrays["node"][0]], [train.arrays["node"][1], tested.pop()]])
    data.extra = {**data.extra, "held_out_edges": pairs, "non_edges": pairs[:, ::-1]}
    assert links(data)(seen, state)["links/auroc"] == 0.5  # of equal pairs; the test node has no features


@pytest.mark.parametrize("kind", ["arrays", "lazy"])
def test_views_are_kept_less_what_is_held_out(kind, tmp_path):
    data = Splits(made(), made(12, np.arange(12) % 4))
    data = lazy(data, unreadable=(10,)) if kind == "lazy" else data
    features = np.random.default_rng(0).normal(size=(SIZE, 3)).astype(np.float32)
    file = str(tmp_path / "beside.npz")
    np.savez(file, found=features, index=np.arange(SIZE), fingerprint=fingerprint(data.train))
    joined = view("beside", data, file=file)
    for splits in (
        with_validation(joined),
        view("beside", with_validation(data), file=file),  # a file for the whole fits the part
    ):
        for source in splits:
            rows = evaluated(source)
            if source is splits.train or splits.test is not None and "found" in rows:
                np.testing.assert_array_equal(rows["found"], features[rows["index"]])
    held = set(index_of(with_validation(data).test))
    assert len(held) == 6
    few = with_validation(view("labelled", data, per_class=4))
    assert (evaluated(few.test)["target"] == -1).all() and set(evaluated(few.test)["index"]) == held - {10} | (
        held & {10} if kind == "arrays" else set()
    )
    rows = evaluated(few.train)
    assert ((rows["target"] == LABEL[rows["index"]]) | (rows["target"] == -1)).all() and (rows["target"] >= 0).any()
    for splits in (
        view("chosen", data, ids=tuple(range(0, SIZE, 2))),
        view("labelled", data, per_class=6, share=0.5),
        view("grouped", data, array="label", per_group=2),
        view("stratified", data, groups="label", balance=True),
        view("repeated", data, repeats=2),
    ):
        train = with_validation(splits).train
        check_draw(train, 8)
        batches = list(itertools.islice(stream(train, seed=0, batch_size=8), 30))
        index = np.concatenate([batch["index"] for batch in batches])
        whole = list(itertools.islice(stream(splits.train, seed=0, batch_size=8), 30))
        assert set(index) == set(np.concatenate([batch["index"] for batch in whole])) - held
        label = np.stack([batch["label"] for batch in batches])
        whole_batches = kind == "arrays"  # another example stands in the place of one that cannot be read
        if train.strata > 1 and whole_batches:
            assert (np.sort(label.reshape(30, 2, 4), axis=2) == np.arange(4)).all()
        if splits.train.draw is not None and "target" not in splits.train.columns and whole_batches:
            assert (label[:, ::2] == label[:, 1::2]).all()
        if train.repeats == 2:
            assert (index[::2] == index[1::2]).all()
        if whole_batches:
            feed = resident_arrays(train)
            np.testing.assert_array_equal(
                gather(feed, 3, seed=0, batch_size=8, source=train)["index"], batches[3]["index"]
            )


def test_a_group_is_named_by_the_data_or_by_the_view():
    arrays = {"image": np.zeros((40, 2, 2, 1), np.uint8), "label": np.arange(40) % 2, "device": np.arange(40) // 4}
    splits = Splits(from_arrays(arrays))
    train, held = view("validation", splits, group="device", share=0.3)
    assert held.size == 12 and not set(train.arrays["device"]) & set(held.arrays["device"])
    for option, message in {
        "speaker": "no array `speaker`",
        "image": r"data.subset.validation.group='image': is uint8 \[40, 2, 2, 1\]",
    }.items():
        with pytest.raises(ValueError, match=message):
            view("validation", splits, group=option)
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match="share="):
            view("validation", splits, share=share)
    alone = Splits(from_arrays({**arrays, "device": np.zeros(40, np.int32)}))
    with pytest.raises(ValueError, match="all training examples are of one group"):
        view("validation", alone, group="device")
    grouped = view("grouped", Splits(from_arrays({**arrays, "pair": np.arange(40) // 2})), array="pair", per_group=2)
    with pytest.raises(ValueError, match="no group has per_group=2 examples left"):
        view("validation", grouped, share=0.97)


def test_rows_are_drawn_by_class_and_by_group():
    label = np.repeat([0, 1, 2, -1], [50, 3, 1, 20])
    held = validation_rows(label, 0.1, 0)
    assert stratum(label[held]) == {0: 5, 1: 1, -1: 2}
    np.testing.assert_array_equal(held, validation_rows(label, 0.1, 0))
    assert (held != validation_rows(label, 0.1, 1)).any()
    group = np.where(np.arange(74) < 60, np.arange(74) // 6, -1)
    held = validation_rows(np.zeros(74, int), 0.25, 0, group)
    assert all(held[group == g].all() or not held[group == g].any() for g in range(10)) and 0 < held.sum() < 40
    assert validation_rows(np.array([0, 1, 2]), 0.1, 0).sum() == 1  # no class has two


def test_a_validation_part_of_named_classes_keeps_them():
    whole = Splits(made(), None)
    train, held = with_validation(whole)
    assert train.class_names == held.class_names == NAMES and held.num_classes == train.num_classes == 4
