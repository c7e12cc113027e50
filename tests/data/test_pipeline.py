"""The training stream and the evaluation batches: order, resume, processes, padding, errors."""

import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data.index_stream import batch_ids
from jaxssl.data.pipeline import evaluation_batches, stream
from jaxssl.data.readers.image_folder import image_folder
from jaxssl.data.source import Source, from_arrays

SIZE = 22


@pytest.fixture(scope="module")
def folder(tmp_path_factory, save_images):
    """An image folder of 22 images, of which number 3 is unreadable."""
    path = save_images(tmp_path_factory.mktemp("images"), [f"{i:02}.png" for i in range(SIZE)])
    (path / "03.png").write_bytes(b"")
    return path


@pytest.fixture(scope="module", params=["arrays", "folder"])
def source(request, folder):
    if request.param == "folder":
        return image_folder(path=str(folder), image_size=8).train
    images = np.random.default_rng(0).integers(0, 256, (SIZE, 4, 4, 1), np.uint8)
    return from_arrays({"image": images, "label": np.arange(SIZE) % 3})


def steps(source, count, **options):
    return list(itertools.islice(stream(source, **({"seed": 0, "batch_size": 8} | options)), count))


def assert_equal(a, b):
    assert len(a) == len(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_stream_fetches_the_ids_of_the_index_stream(source):
    for step, batch in enumerate(steps(source, 6)):
        ids = batch_ids(0, step, batch_size=8, size=SIZE)
        assert_equal(batch, source.fetch(ids))
        assert {key: value.dtype for key, value in batch.items()} == {
            "image": np.uint8,
            "label": np.int32,
            "index": np.int32,
        }


def test_the_stream_and_the_resident_path_see_the_same_examples(source):
    if source.arrays is None:
        pytest.skip("only arrays can be resident")
    gather = jax.jit(
        lambda step: jnp.asarray(source.arrays["image"])[batch_ids(0, step, batch_size=8, size=SIZE, xp=jnp)]
    )
    for step, batch in enumerate(steps(source, 4)):
        np.testing.assert_array_equal(gather(step), batch["image"])


def test_a_resumed_stream_equals_one_that_went_on(source):
    assert_equal(steps(source, 7)[4:], steps(source, 3, start_step=4))
    ids = batch_ids(0, 10**9, batch_size=8, size=SIZE)
    assert_equal(steps(source, 1, start_step=10**9)[0], source.fetch(ids))


def test_the_parts_of_the_processes_make_the_whole_batch(source):
    parts = [steps(source, 3, process_index=i, process_count=2) for i in range(2)]
    whole = [{key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*parts)]
    assert_equal(whole, steps(source, 3))


def test_neither_threads_nor_prefetching_change_the_order(source):
    assert_equal(steps(source, 5, num_workers=1, prefetch=1), steps(source, 5, num_workers=4, prefetch=4))


def test_a_batch_may_be_larger_than_the_source(source):
    (batch,) = steps(source, 1, batch_size=50)
    if source.arrays is not None:
        assert np.bincount(batch["index"], minlength=SIZE).min() == 2


def test_an_error_in_fetch_arrives_as_it_was_raised(folder):
    source = image_folder(path=str(folder), image_size=8, max_unreadable=0.0).train
    with pytest.raises(ValueError, match="^1 of the 22 images .*03.png. Repair") as error:
        steps(source, 4)
    assert "tensorflow" not in str(error.value)
    with pytest.raises(ValueError, match="^1 of the 22 images"):
        list(evaluation_batches(source, batch_size=8))


def test_batches_before_an_error_are_still_given():
    def fetch(ids):
        if 7 in ids:
            raise KeyError("seven")
        return {"index": np.asarray(ids)}

    batches = stream(Source(size=20, fetch=fetch), seed=0, batch_size=1)
    first = np.flatnonzero([7 == batch_ids(0, step, batch_size=1, size=20)[0] for step in range(20)])[0]
    assert len(list(itertools.islice(batches, int(first)))) == first
    with pytest.raises(KeyError, match="seven"):
        next(batches)


def test_evaluation_gives_every_example_once_and_masks_the_rest(source):
    batches = list(evaluation_batches(source, batch_size=8))
    assert [len(batch["image"]) for batch in batches] == [8, 8, 8]
    rows = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    assert rows["_mask"].dtype == bool and rows["index"].dtype == np.int32
    np.testing.assert_array_equal(rows["index"], [*range(SIZE), -1, -1])
    hidden = [22, 23] if source.arrays is not None else [3, 22, 23]
    np.testing.assert_array_equal(np.flatnonzero(~rows["_mask"]), hidden)
    assert not rows["image"][hidden].any() and (rows["label"][SIZE:] == -1).all()
    readable = np.flatnonzero(rows["_mask"])
    np.testing.assert_array_equal(rows["image"][readable], source.fetch(readable)["image"])


def test_evaluation_parts_of_the_processes_make_the_whole_batches(source):
    parts = [list(evaluation_batches(source, batch_size=32, process_index=i, process_count=4)) for i in range(4)]
    assert {len(part) for part in parts} == {1}  # the last process has padding only, but as many batches
    whole = {key: np.concatenate([part[0][key] for part in parts]) for key in parts[0][0]}
    assert_equal([whole], list(evaluation_batches(source, batch_size=32)))


def test_evaluation_can_be_left_early(source):
    next(evaluation_batches(source, batch_size=2))


@pytest.mark.parametrize("make", [stream, evaluation_batches])
def test_bad_options_are_named_before_the_first_batch(source, make):
    seed = {"seed": 0} if make is stream else {}
    with pytest.raises(ValueError, match="batch_size=10: cannot be divided among 4 processes"):
        make(source, batch_size=10, process_count=4, **seed)
    with pytest.raises(ValueError, match="batch_size=0: must"):
        make(source, batch_size=0, **seed)


def test_the_missing_tensorflow_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r"pip install jaxssl\[train\]"):
        steps(source, 1)


def test_evaluation_and_resident_data_import_no_tensorflow():
    code = (
        "import sys, jaxssl.data.pipeline, jaxssl.data.sets.fashion_mnist_12k as f; "
        "from jaxssl.data.pipeline import evaluation_batches; "
        "next(evaluation_batches(f.fashion_mnist_12k().test, batch_size=64)); "
        'assert not {"tensorflow", "jax", "flax", "PIL"} & set(sys.modules)'
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_program_may_end_in_the_middle_of_a_stream(folder):
    code = (
        f"from jaxssl.data.readers.image_folder import image_folder; from jaxssl.data.pipeline import stream; "
        f"source = image_folder(path={str(folder)!r}, image_size=8).train; "
        "s = stream(source, seed=0, batch_size=8); next(s)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
