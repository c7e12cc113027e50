"""Views of the data in runs: what a method sees, both ways of a batch, sizes from the data."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from jaxssl import experiment
from jaxssl.build import build
from jaxssl.data.source import Source, Splits, from_arrays
from jaxssl.experiment import make_feed, make_method, resident_feed, setup

SIZE = 60
LABEL = np.arange(SIZE) % 10


def splits(label=LABEL):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (SIZE, 8, 8, 1), np.uint8)
    made = from_arrays({"image": image, "label": label})
    return Splits(made, from_arrays({"image": image[:20], "label": label[:20]}))


def view(name, **options):
    return build(dict(name=f"data.subset.{name}", of=splits(), **options))


def config(arg=None, mode="resident"):
    made = toy.get_config(arg)
    made.batch_size, made.data.mode = 16, mode
    return made


def lazy(data):
    return Splits(*(Source(size=s.size, fetch=s.fetch, num_classes=10, columns={"label": LABEL}) for s in data))


def trained(made, data, steps=3):
    run = setup(made, splits=data)
    state, feed = run.initial(), make_feed(run)
    for _ in range(steps):
        state, _ = run.update(state, next(feed))
    return run, state


def spied(monkeypatch, made, data):
    """The names of all that views, loss and outputs of a run may read, by who reads it."""
    seen = {}
    build = experiment.build

    def building(spec, *args):
        found = build(spec, *args)
        if not spec["name"].startswith("augment."):
            return found

        def augment(key, batch):
            seen.setdefault("augment", set()).update(batch)
            result = found(key, batch)
            seen.setdefault("loss", set()).update(result)
            return result

        return augment

    monkeypatch.setattr(experiment, "build", building)
    run = setup(made, splits=data)
    feed = next(make_feed(run))
    jax.eval_shape(run.update, run.initial(), feed)
    batch = data.test.fetch(np.arange(16), substitute=False)
    jax.eval_shape(run.predict, run.abstract.params, run.abstract.memory, jax.tree.map(jnp.asarray, batch))
    return seen


@pytest.mark.parametrize("mode", ["resident", "stream"])
def test_no_method_can_read_the_label(monkeypatch, mode):
    data = view("labelled", per_class=2)
    seen = spied(monkeypatch, config(mode=mode), lazy(data) if mode == "stream" else data)
    assert "label" not in seen["augment"] | seen["loss"]
    assert {"index", "target"} <= seen["augment"] & seen["loss"]


def test_permuted_labels_change_nothing():
    found = []
    for label in (LABEL, np.random.default_rng(1).permutation(LABEL)):
        _, state = trained(config("simclr"), splits(label))
        found.append(jax.tree.map(np.asarray, (state.params, state.memory)))
    jax.tree.map(np.testing.assert_array_equal, *found)


@pytest.mark.parametrize(
    "name, options",
    [("labelled", dict(per_class=2, share=0.25)), ("stratified", dict(groups="label")), ("repeated", dict(repeats=2))],
)
def test_a_resident_run_is_a_streamed_run(name, options):
    made = config()
    if name == "stratified":
        made.batch_size = 20
    _, one = trained(made, view(name, **options))
    made.data.mode = "stream"
    _, other = trained(made, view(name, **options))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), one.params, other.params)


def test_what_says_the_order_is_an_argument_of_the_program():
    """A compiled update holds no array of the data; a run of a million ids would carry them in every program."""
    data = view("chosen", ids=tuple(np.random.default_rng(0).integers(0, SIZE, 50_000).tolist()))
    run = setup(config(), splits=data)
    text = run.update.lower(run.abstract, resident_feed(run)).as_text()
    assert len(text) < 2**18


def sized(encoder, *, num_examples: int, num_classes: int, weight: float = 1.0):
    """A method that needs to know the data."""
    return num_examples, num_classes, weight


def modest(encoder, *, num_classes: int | None = None):
    """A method that can do without."""
    return num_classes


def sizes(name, source, **options):
    made = config()
    made.method = dict(name=f"{inspect.getmodulename(__file__)}.{name}", **options)
    return make_method(made, encoder=lambda x: x, source=source)


def test_sizes_of_a_method_come_from_the_data():
    part = view("chosen", ids=(50, 51, 52), evaluate="chosen").train
    assert part.size == 3
    assert sizes("sized", part) == (SIZE, 10, 1.0)
    assert sizes("sized", part, num_classes=4, weight=2.0) == (SIZE, 4, 2.0)
    assert sizes("modest", splits().train) == 10
    plain = splits(np.full(SIZE, -1)).train
    assert sizes("modest", plain) is None
    with pytest.raises(ValueError, match="method.num_classes: .*sized needs the number of classes, and this data has"):
        sizes("sized", plain)


def test_classes_of_the_target_come_before_those_of_the_label(tmp_path):
    np.savez(tmp_path / "clusters.npz", target=np.arange(SIZE) % 7)
    assert sizes("modest", view("beside", file=str(tmp_path / "clusters.npz")).train) == 7


def test_batches_that_cannot_be_made_are_refused_by_setup():
    with pytest.raises(ValueError, match="batch_size=16: must be a multiple of repeats=3"):
        setup(config(), splits=view("repeated", repeats=3))


def test_streams_begin_anywhere(tmp_path):
    made = config(mode="stream")
    run = setup(made, splits=view("noisy", rate=0.3))
    whole = list(itertools.islice(make_feed(run), 6))
    for a, b in zip(itertools.islice(make_feed(run, 4), 2), whole[4:], strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
