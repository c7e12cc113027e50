"""TensorFlow Datasets, with a tiny data set that is built here. Downloading cannot be tested offline."""

import numpy as np
import pytest

from jaxssl.data.readers.tfds import tfds

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")

from tiny_tfds import IMAGES  # noqa: E402


@pytest.fixture(scope="module", params=["tfrecord", "array_record"])
def prepared(request, tmp_path_factory):
    """(folder, file format) of the data set."""
    data_dir = tmp_path_factory.mktemp("tfds")
    builder = tensorflow_datasets.builder("jaxssl_tiny", data_dir=data_dir, file_format=request.param)
    builder.download_and_prepare()
    return str(data_dir), request.param


def check(source, rows):
    """The source holds the centre squares of IMAGES[rows], each once, with its label."""
    batch = source.fetch(np.arange(source.size))
    found = [int(np.flatnonzero((IMAGES[:, 1:9] == image).all((1, 2, 3)))[0]) for image in batch["image"]]
    assert sorted(found) == list(rows)
    np.testing.assert_array_equal(batch["label"], np.array(found) % 3)
    np.testing.assert_array_equal(batch["index"], np.arange(source.size))
    assert source.class_names == ("a", "b", "c") and source.num_classes == 3


def test_a_small_data_set_is_loaded_into_memory(prepared):
    train, test = tfds(dataset="jaxssl_tiny", image_size=8, data_dir=prepared[0])
    check(train, range(8))
    check(test, range(8, 12))
    assert train.arrays is not None
    grey = tfds(dataset="jaxssl_tiny", image_size=6, channels=1, data_dir=prepared[0], test_split=None)
    assert grey.test is None and grey.train.arrays["image"].shape == (8, 6, 6, 1)


def test_a_large_data_set_is_read_by_index(prepared):
    data_dir, file_format = prepared
    options = dict(dataset="jaxssl_tiny", image_size=8, data_dir=data_dir, memory_limit_mb=0)
    if file_format == "tfrecord":
        with pytest.raises(ValueError, match="jaxssl_tiny train is larger than memory_limit_mb=0.*array_rec"):
            tfds(**options)
        return
    train, test = tfds(**options)
    assert train.arrays is None
    check(train, range(8))
    check(test, range(8, 12))
    assert train.fetch(np.zeros(0, np.int64))["image"].shape == (0, 8, 8, 3)
    assert train.fetch(np.arange(2), substitute=False)["_mask"].all()


def test_what_does_not_exist_is_named(prepared, tmp_path):
    options = dict(dataset="jaxssl_tiny", image_size=8, data_dir=prepared[0])
    with pytest.raises(ValueError, match=r"no split 'validation'; its splits are \['test', 'train'\]"):
        tfds(**options, test_split="validation")
    with pytest.raises(ValueError, match=r"no feature image_key='picture'; .* \['image', 'label'\]"):
        tfds(**options, image_key="picture")
    with pytest.raises(FileNotFoundError, match="jaxssl_tiny is not prepared in .*download=True"):
        tfds(**options | {"data_dir": str(tmp_path)})
    with pytest.raises(ValueError, match="no data set 'jaxssl_none'"):
        tfds(**options | {"dataset": "jaxssl_none"})


def test_without_the_label_feature_there_are_no_labels(prepared):
    train = tfds(dataset="jaxssl_tiny", image_size=8, data_dir=prepared[0], label_key="none").train
    assert not train.has_labels and (train.arrays["label"] == -1).all()
