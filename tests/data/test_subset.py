"""Views of a source: which examples, which target, which batches; what they refuse."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.build import build
from jaxssl.data.draw import check_draw, draw_arrays, draw_ids
from jaxssl.data.pipeline import evaluation_batches, stream
from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.data.views import column, fingerprint
from jaxssl.experiment import gather, resident_arrays

NAMES = ("shirt", "dress", "bag", "boot")
SIZES = (20, 20, 12, 8)
LABEL = np.random.default_rng(0).permutation(np.repeat(np.arange(4), SIZES))
SIZE = len(LABEL)


def made(size=SIZE, label=LABEL):
    images = np.zeros((size, 2, 2, 1), np.uint8) + np.arange(size, dtype=np.uint8)[:, None, None, None]
    return from_arrays({"image": images, "label": label, "domain": np.arange(size) % 3}, class_names=NAMES)


@pytest.fixture(scope="module")
def data():
    return Splits(made(), made(12, np.arange(12) % 4))


def lazy(splits, unreadable=()):
    """The same data read example by example, with some that cannot be read."""

    def one(source):
        def fetch(ids, substitute=True):
            ids = np.array(ids, np.int64)
            mask = ~np.isin(ids, unreadable)
            while substitute and np.isin(ids, unreadable).any():
                ids = np.where(np.isin(ids, unreadable), (ids + 1) % source.size, ids)
            batch = source.fetch(ids)
            return batch if substitute else batch | {"_mask": mask}

        return Source(size=source.size, fetch=fetch, class_names=NAMES, num_classes=4)

    return Splits(*map(one, splits))


def view(name, of, **options):
    return build(dict(name=f"data.subset.{name}", of=of, **options))


def epochs(source, batch_size=6, steps=60, seed=3):
    """Rows of the stream by name, [steps * batch_size]."""
    batches = list(itertools.islice(stream(source, seed=seed, batch_size=batch_size), steps))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def evaluated(source):
    batches = list(evaluation_batches(source, batch_size=8))
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return {name: x[rows["_mask"]] for name, x in rows.items()}


@pytest.mark.parametrize("kind", ["arrays", "lazy"])
def test_chosen_examples_and_no_others_are_trained_on(data, kind, tmp_path):
    data = lazy(data, unreadable=(10,)) if kind == "lazy" else data
    np.save(tmp_path / "ids.npy", [10, 11, 30, 31, 31, 59])
    for evaluate in ("all", "chosen"):
        source = view("chosen", data, ids=str(tmp_path / "ids.npy"), evaluate=evaluate).train
        rows = epochs(source, steps=4)
        counts = np.bincount(rows["index"], minlength=SIZE)
        missing = 10 if kind == "lazy" else None
        assert counts[31] == 8 and counts[[30, 59]].tolist() == [4, 4]
        assert counts[10] == (0 if missing else 4) and counts[11] == (8 if missing else 4)
        assert counts.sum() == counts[[10, 11, 30, 31, 59]].sum()
        np.testing.assert_array_equal(rows["image"][:, 0, 0, 0], rows["index"])
        seen = evaluated(source)
        expected = range(SIZE) if evaluate == "all" else [10, 11, 30, 31, 59]
        np.testing.assert_array_equal(seen["index"], [i for i in expected if i != missing])
        np.testing.assert_array_equal(seen["label"], LABEL[seen["index"]])
        assert source.num_ids == SIZE and source.epoch_size == 5


def test_views_of_a_narrowed_source_keep_the_original_ids(data):
    first = view("chosen", data, ids=tuple(range(20, 50)), evaluate="chosen")
    second = view("chosen", first, ids=[49, 21], evaluate="chosen")
    np.testing.assert_array_equal(evaluated(second.train)["index"], [21, 49])
    target = view("labelled", first, fraction=1.0).train
    rows = epochs(target)
    np.testing.assert_array_equal(rows["target"], LABEL[rows["index"]])
    with pytest.raises(ValueError, match="ids holds 5, which is not among the 30 ids of `of`"):
        view("chosen", first, ids=[5])
    ordered = view("chosen", data, ids=tuple(range(20, 50)))
    with pytest.raises(ValueError, match="ids holds examples that `of` leaves out of training, 1 of 2"):
        view("chosen", ordered, ids=[21, 5])


@pytest.mark.parametrize("kind", ["arrays", "lazy"])
def test_labelled_shows_few_labels_nested_and_hides_the_rest(data, kind):
    data = lazy(data) if kind == "lazy" else data
    few, more = (view("labelled", data, per_class=n) for n in (2, 5))
    rows = {n: evaluated(splits.train)["target"] for n, splits in ((2, few), (5, more))}
    for n, target in rows.items():
        assert target.dtype == np.int32 and np.bincount(target[target >= 0]).tolist() == [n] * 4
        np.testing.assert_array_equal(target[target >= 0], LABEL[target >= 0])
    assert ((rows[2] >= 0) <= (rows[5] >= 0)).all()
    np.testing.assert_array_equal(evaluated(few.train)["label"], LABEL)
    assert (evaluated(few.test)["target"] == -1).all()
    other = evaluated(view("labelled", data, per_class=2, seed=1).train)["target"]
    assert (other != rows[2]).any()
    part = evaluated(view("labelled", data, fraction=0.25).train)["target"]
    assert np.bincount(part[part >= 0]).tolist() == [5, 5, 3, 2]
    everything = evaluated(view("labelled", data, fraction=1).train)["target"]
    np.testing.assert_array_equal(everything, LABEL)


def test_a_share_of_the_batch_has_a_target(data):
    rows = epochs(view("labelled", data, per_class=1, share=0.5).train, batch_size=8)
    known = rows["target"].reshape(-1, 8) >= 0
    assert known[:, :4].all() and not known[:, 4:].any()
    assert len(np.unique(rows["index"])) == SIZE


def test_long_tail_thins_classes_out(data):
    count = lambda splits, part: np.bincount(LABEL[np.unique(part.order)], minlength=4).tolist()
    tail = view("long_tail", data, ratio=8)
    assert count(tail, tail.train) == [8, 4, 2, 1]
    back = view("long_tail", data, ratio=8, reverse=True)
    assert count(back, back.train) == [1, 2, 4, 8]
    step = view("long_tail", data, ratio=4, kind="step")
    assert count(step, step.train) == [8, 8, 2, 2]
    assert set(tail.train.order) >= set(view("long_tail", data, ratio=8, seed=0).train.order)
    assert set(view("long_tail", data, ratio=4).train.order) >= set(tail.train.order)
    test = view("long_tail", data, ratio=3, split="test").test
    assert np.bincount(evaluated(test)["label"]).tolist() == [3, 2, 1, 1]


def test_classes_are_kept_or_put_together(data):
    kept = view("classes", data, keep=("bag", 0))
    assert set(LABEL[epochs(kept.train)["index"]]) == {0, 2} and len(evaluated(kept.train)["index"]) == SIZE
    narrow = view("classes", data, keep=("bag", 0), evaluate="chosen")
    assert {*evaluated(narrow.train)["label"]} == {*evaluated(narrow.test)["label"]} == {0, 2}
    coarse = view("classes", data, groups=(("shirt", "dress"), (3,)))
    assert coarse.train.num_classes == 2 and coarse.test.class_names == ("shirt+dress", "boot")
    expected = np.array([0, 0, -1, 1])
    np.testing.assert_array_equal(evaluated(coarse.train)["label"], expected[LABEL])
    np.testing.assert_array_equal(evaluated(coarse.test)["label"], expected[np.arange(12) % 4])
    assert not (LABEL[epochs(coarse.train)["index"]] == 2).any()


def test_domains_are_held_out(data):
    held = view("domains", data, train=(0, 2), test=(1,))
    assert {*epochs(held.train)["domain"]} == {*evaluated(held.train)["domain"]} == {0, 2}
    assert {*evaluated(held.test)["domain"]} == {1}


def test_noise_is_in_the_target_alone(data):
    noisy = {rate: evaluated(view("noisy", data, rate=rate).train) for rate in (0.0, 0.3, 0.6, 1.0)}
    for rows in noisy.values():
        np.testing.assert_array_equal(rows["label"], LABEL)
    wrong = {rate: rows["target"] != LABEL for rate, rows in noisy.items()}
    assert not wrong[0.0].any() and wrong[1.0].all() and (wrong[0.3] <= wrong[0.6]).all()
    assert 0.15 < wrong[0.3].mean() < 0.45 and {*noisy[1.0]["target"]} == {0, 1, 2, 3}
    pair = evaluated(view("noisy", data, rate=1.0, kind="pair").train)["target"]
    np.testing.assert_array_equal(pair, (LABEL + 1) % 4)
    hidden = evaluated(view("noisy", view("labelled", data, per_class=2), rate=1.0).train)["target"]
    assert (hidden >= 0).sum() == 8


def test_strata_of_a_table_of_ids_and_of_groups(data, tmp_path):
    table = np.random.default_rng(0).permutation(SIZE)[:45].reshape(9, 5)
    np.save(tmp_path / "groups.npy", table)
    source = view("stratified", data, groups=str(tmp_path / "groups.npy")).train
    column_of = np.full(SIZE, -1)
    column_of[table] = np.arange(5)
    rows = epochs(source, batch_size=10, steps=9)["index"]
    assert (np.sort(column_of[rows].reshape(-1, 5)) == np.arange(5)).all()
    np.testing.assert_array_equal(np.sort(rows[:45]), np.sort(table.reshape(-1)))
    balanced = view("stratified", data, groups="label", balance=True).train
    rows = epochs(balanced, batch_size=8, steps=30)
    assert (rows["label"].reshape(-1, 4) == np.arange(4)).all() and len(np.unique(rows["index"])) == SIZE


def test_repeats(data):
    rows = epochs(view("repeated", data, repeats=3).train)["index"].reshape(-1, 3)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_array_equal(np.sort(rows[:SIZE, 0]), np.arange(SIZE))


def test_groups(data):
    rows = epochs(view("grouped", data, array="label", per_group=4).train, batch_size=12, steps=5)
    assert (rows["label"].reshape(-1, 4) == rows["label"][::4, None]).all()
    np.testing.assert_array_equal(np.sort(rows["index"]), np.arange(SIZE))


@pytest.mark.parametrize("kind", ["arrays", "lazy"])
def test_arrays_beside_the_examples(data, kind, tmp_path):
    data = lazy(data, unreadable=(7,)) if kind == "lazy" else data
    order = np.random.default_rng(0).permutation(SIZE)
    units, target = order[:, None] + np.arange(3), np.where(order < 30, order % 6, -1)
    mark = fingerprint(data.train)
    np.savez(tmp_path / "units.npz", index=order, units=units, target=target, weight=order / 2, fingerprint=mark)
    found = view("beside", data, file=str(tmp_path / "units.npz"))
    rows = epochs(found.train)
    np.testing.assert_array_equal(rows["units"], rows["index"][:, None] + np.arange(3))
    np.testing.assert_array_equal(rows["weight"], rows["index"] / 2)
    assert rows["units"].dtype == np.int32 and rows["weight"].dtype == np.float32
    np.testing.assert_array_equal(rows["target"], np.where(rows["index"] < 30, rows["index"] % 6, -1))
    assert found.train.num_targets == 6 and found.train.num_classes == 4
    some = view("beside", data, file=str(tmp_path / "units.npz"), names=("weight",))
    assert "units" not in epochs(some.train, steps=1)
    # What has been joined can say the groups.
    np.savez(tmp_path / "bags.npz", bag=np.arange(SIZE) // 2)
    bags = view("grouped", view("beside", data, file=str(tmp_path / "bags.npz")), array="bag", per_group=2)
    if kind == "arrays":
        rows = epochs(bags.train, batch_size=4)["index"].reshape(-1, 2) // 2
        assert (rows[:, 0] == rows[:, 1]).all()


VIEWS = {
    "chosen": dict(ids=(3, 3, 50, 2, 17)),
    "labelled": dict(per_class=3),
    "labelled with a share": dict(name="labelled", per_class=3, share=0.25),
    "long_tail": dict(ratio=8),
    "classes": dict(keep=(1, 3), evaluate="chosen"),
    "domains": dict(train=(0, 1)),
    "noisy": dict(rate=0.5),
    "stratified": dict(groups="label", balance=True),
    "repeated": dict(repeats=2),
    "grouped": dict(array="label", per_group=4),
}


@pytest.mark.parametrize("name", VIEWS)
def test_resident_and_streamed_batches_are_the_same_and_resume(data, name):
    options = {"name": name, **VIEWS[name]}
    source = view(options.pop("name"), data, **options).train
    check_draw(source, 8)
    feed = jax.tree.map(jnp.asarray, resident_arrays(source))
    assert all(x.dtype == np.int32 for x in jax.tree.leaves(draw_arrays(source)))
    one = jax.jit(lambda feed, step: gather(feed, step, seed=5, batch_size=8, source=source))
    batches = list(itertools.islice(stream(source, seed=5, batch_size=8), 12))
    for step, batch in enumerate(batches):
        jax.tree.map(np.testing.assert_array_equal, dict(one(feed, step)), source.for_training(batch))
    later = next(stream(source, seed=5, batch_size=8, start_step=11))
    jax.tree.map(np.testing.assert_array_equal, later, batches[11])
    halves = [next(stream(source, seed=5, batch_size=8, process_index=i, process_count=2)) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate([half["index"] for half in halves]), batches[0]["index"])
    far = draw_ids(source, draw_arrays(source), 5, 2**31 - 1, batch_size=8)
    assert (far >= 0).all() and (far < source.size).all()
    # Evaluation sees every example of the source once, whatever the order.
    np.testing.assert_array_equal(np.unique(evaluated(source)["index"], return_counts=True)[1], 1)


def test_labels_of_a_lazy_source_are_read_where_they_are_not_at_hand(data):
    np.testing.assert_array_equal(column(lazy(data).train, "label", "chosen"), LABEL)


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "units.npz", **arrays)
    return str(tmp_path / "units.npz")


def npy(tmp_path, array):
    np.save(tmp_path / "ids.npy", array)
    return str(tmp_path / "ids.npy")


N = np.arange(SIZE)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("chosen", lambda p: dict(ids=npy(p, [60000])), r"ids.npy holds 60000 but the source has ids 0 ... 59"),
        ("chosen", lambda p: dict(ids=npy(p, np.zeros(100))), r"ids.npy is float64 \[100\]; ids are whole numbers"),
        ("chosen", lambda p: dict(ids=npy(p, np.zeros(0, int))), "ids.npy is empty"),
        ("chosen", lambda p: dict(ids=npz(p, ids=N)), "units.npz holds ids; an array `index` would be right"),
        ("chosen", lambda p: dict(ids=str(p / "no.npy")), "no.npy does not exist; data.subset.chosen.ids must name"),
        ("labelled", lambda p: dict(per_class=9), r"per_class=9: class 3 \(boot\) has 8 examples"),
        ("labelled", lambda p: dict(), "per_class=None, fraction=None: just one of them"),
        ("labelled", lambda p: dict(fraction=1.5), r"fraction=1.5: must lie in \(0, 1\]"),
        ("labelled", lambda p: dict(per_class=0), "per_class=0: must be at least 1"),
        ("labelled", lambda p: dict(per_class=1, share=1.0), r"share=1.0: must lie in \(0, 1\)"),
        ("labelled", lambda p: dict(fraction=1.0, share=0.5), "every example that `of` trains on has a target"),
        ("mixed", lambda p: dict(share=0.5), "`of` has no `target`; data.subset.labelled"),
        ("long_tail", lambda p: dict(ratio=0), "ratio=0.0: must be at least 1"),
        ("long_tail", lambda p: dict(ratio=100), r"ratio=100.0: leaves class 2 \(bag\) without an example; at most 15"),
        ("classes", lambda p: dict(keep=("hat",)), "keep='hat': no such class; the data has shirt, dress, bag, boot"),
        ("classes", lambda p: dict(keep=(4,)), "keep=4: no such class"),
        ("classes", lambda p: dict(groups=((0, 1), (1, 2))), "class 1 stands in two groups"),
        ("classes", lambda p: dict(), "neither keep nor groups"),
        ("domains", lambda p: dict(train=(7,)), r"train=\(7,\): no example is of domain 7; there are 0, 1, 2"),
        ("domains", lambda p: dict(train=(0,), array="site"), "the examples have no array `site`; they have domain"),
        ("domains", lambda p: dict(train=(0,), array="image"), r"array='image': is uint8 \[60, 2, 2, 1\]"),
        ("noisy", lambda p: dict(rate=1.2), r"rate=1.2: must lie in \[0, 1\]"),
        (
            "stratified",
            lambda p: dict(groups="label"),
            "groups='label': groups of 8 to 20 examples; equal groups, or bal",
        ),
        ("stratified", lambda p: dict(groups=npy(p, [[1, 2], [1, 3]])), "ids.npy names an example twice"),
        ("stratified", lambda p: dict(groups=npy(p, N[:9])), r"ids.npy is \[9\]; the group of each of the 60 ids"),
        ("repeated", lambda p: dict(repeats=0), "repeats=0: must be at least 1"),
        (
            "grouped",
            lambda p: dict(array="label", per_group=9),
            r"per_group=9: group 3 \(boot\) of 'label' has 8 examples",
        ),
        ("grouped", lambda p: dict(array="label", per_group=1), "per_group=1: must be at least 2"),
        ("grouped", lambda p: dict(array="bag", per_group=2), "the examples have no array `bag`"),
        ("beside", lambda p: dict(file=npz(p, units=N[:50])), "made for 50 training examples, this source has 60"),
        (
            "beside",
            lambda p: dict(file=npz(p, units=N[:50], index=N[:50])),
            "units.npz lacks 10 of the 60 ids, the first is 50; missing='hide'",
        ),
        ("beside", lambda p: dict(file=npz(p, units=N, fingerprint="ab12")), "units.npz was made for other data"),
        ("beside", lambda p: dict(file=npz(p, units=N, a=N[:3])), "different numbers of examples"),
        ("beside", lambda p: dict(file=npz(p, label=N)), "names='label': is what evaluators read"),
        (
            "beside",
            lambda p: dict(file=npz(p, image=N)),
            "names='image': the examples have an array of that name already",
        ),
        ("beside", lambda p: dict(file=npz(p, target=N / 2)), r"`target` is float64 \[60\]; whole numbers"),
        (
            "beside",
            lambda p: dict(file=npz(p, a=N), names=("b",)),
            "names='b': units.npz has no such array; it holds a",
        ),
        ("beside", lambda p: dict(file=npz(p, a=N, index=N // 2)), "`index` must name examples, each once"),
        ("beside", lambda p: dict(file=npy(p, N)), "ids.npy': is one array; a .npz file"),
    ],
)
def test_what_does_not_fit_is_refused(data, tmp_path, name, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        view(name, data, **options(tmp_path))


def test_views_that_fix_the_batch_must_be_the_outer_ones(data):
    grouped = view("grouped", data, array="label", per_group=2)
    with pytest.raises(ValueError, match="let that view be the outer one"):
        view("chosen", grouped, ids=[1])


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("repeated", dict(repeats=3), "batch_size=100: must be a multiple of repeats=3"),
        ("grouped", dict(array="label", per_group=8), "batch_size=100: must be a multiple of per_group=8"),
        ("stratified", dict(groups="domain"), "batch_size=100: must be a multiple of strata=3"),
        ("labelled", dict(per_class=1, share=0.001), "share=0.001: leaves one of the two parts of batch_size=100"),
    ],
)
def test_batch_sizes_that_do_not_fit(data, name, options, message):
    with pytest.raises(ValueError, match=message):
        check_draw(view(name, data, **options).train, 100)


def test_without_labels_there_is_nothing_to_hide():
    plain = Splits(from_arrays({"image": np.zeros((6, 2, 2), np.uint8)}))
    with pytest.raises(ValueError, match="no training example has a label"):
        view("labelled", plain, per_class=1)
