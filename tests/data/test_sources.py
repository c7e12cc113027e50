"""Sources over arrays: arrays, from_arrays, digits, Fashion-MNIST."""

import gzip

import numpy as np
import pytest

from jaxssl.data.readers.arrays import arrays
from jaxssl.data.sets.digits import digits
from jaxssl.data.sets.fashion_mnist import CLASS_NAMES, DEBIAN_FOLDER, FILES, VARIABLE, fashion_mnist
from jaxssl.data.sets.fashion_mnist_12k import PART_FILE, fashion_mnist_12k
from jaxssl.data.source import from_arrays

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, -1])


def idx(array):
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    """A folder like the official one: 20 training images, gzipped, and 10 test images, not gzipped."""
    random = np.random.default_rng(0)
    for key, name in FILES.items():
        size = 20 if key.startswith("train") else 10
        array = (np.arange(size) % 10).astype(np.uint8)
        if key.endswith("image"):
            array = random.integers(0, 256, (size, 28, 28), np.uint8)
        if key.startswith("train"):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (tmp_path / name).write_bytes(idx(array))
    return tmp_path


def test_arrays_in_memory_become_a_source():
    source = from_arrays({"image": IMAGES, "label": LABELS})
    assert (source.size, source.num_classes, source.has_labels) == (6, 3, True)
    batch = source.fetch(np.array([4, 0, 4]))
    assert sorted(batch) == ["image", "index", "label"]
    np.testing.assert_array_equal(batch["image"], IMAGES[[4, 0, 4]])
    np.testing.assert_array_equal(batch["label"], LABELS[[4, 0, 4]])
    np.testing.assert_array_equal(batch["index"], [4, 0, 4])
    assert [batch[key].dtype for key in ("image", "label", "index")] == [np.uint8, np.int32, np.int32]
    assert source.fetch(np.array([1]), substitute=False)["_mask"].all()


def test_without_labels_every_label_is_minus_one():
    source = from_arrays({"image": IMAGES[..., 0]}, class_names=["a"])
    assert (source.num_classes, source.has_labels) == (0, False)
    assert source.arrays["image"].shape == (6, 5, 4, 1)
    assert (source.fetch(np.arange(6))["label"] == -1).all()


def test_sources_are_not_bound_to_images():
    source = from_arrays({"series": np.zeros((6, 50, 2), np.float32)})
    assert source.fetch(np.arange(2))["series"].shape == (2, 50, 2)


@pytest.mark.parametrize(
    "given, error, message",
    [
        ({}, ValueError, "no arrays"),
        ({"image": IMAGES.astype(np.float32)}, TypeError, "`image` is float32; it must be uint8"),
        ({"image": IMAGES[0, 0]}, ValueError, r"`image` has shape \(4, 3\)"),
        ({"image": IMAGES[:0]}, ValueError, "no examples"),
        ({"image": IMAGES, "label": LABELS[:4]}, ValueError, "'image': 6, 'label': 4"),
        ({"image": IMAGES, "label": LABELS * 0.5}, TypeError, "`label` is float64"),
        ({"image": IMAGES, "label": LABELS - 1}, ValueError, "`label` holds -2"),
        ({"image": IMAGES, "label": np.int64(3)}, ValueError, "`label` is a single number"),
    ],
)
def test_arrays_that_do_not_fit_are_named(given, error, message):
    with pytest.raises(error, match=message):
        from_arrays(given, where="here")


def test_labels_beyond_the_class_names_are_refused():
    with pytest.raises(ValueError, match="`label` holds 2 but there are only 2 class names"):
        from_arrays({"image": IMAGES, "label": LABELS}, class_names=["a", "b"])


def test_npz_with_one_array(tmp_path):
    np.savez(tmp_path / "a.npz", image=IMAGES)
    splits = arrays(path=str(tmp_path / "a.npz"))
    assert splits.test is None and splits.train.size == 6 and not splits.train.has_labels


def test_npz_with_two_splits_and_class_names(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        train_image=IMAGES,
        train_label=LABELS,
        test_image=IMAGES[:2],
        test_label=LABELS[:2],
        class_names=["cat", "dog", "owl"],
    )
    splits = arrays(path=str(tmp_path / "a.npz"))
    assert (splits.train.size, splits.test.size) == (6, 2)
    assert splits.train.class_names == ("cat", "dog", "owl") and splits.test.num_classes == 3


def test_npz_splits_have_the_same_classes_though_one_lacks_some(tmp_path):
    np.savez(tmp_path / "a.npz", train_image=IMAGES, train_label=LABELS, test_image=IMAGES[:2], test_label=LABELS[:2])
    assert [part.num_classes for part in arrays(path=str(tmp_path / "a.npz"))] == [3, 3]


@pytest.mark.parametrize(
    "content, message",
    [
        ({"images": IMAGES}, r"unknown arrays \['images'\]"),
        ({"image": IMAGES, "test_image": IMAGES}, "call the first one `train_image`"),
        ({"image": IMAGES, "labels": LABELS}, r"unknown arrays \['labels'\]"),
        ({"train_image": IMAGES, "test_image": IMAGES[:, :3]}, "test images are"),
    ],
)
def test_npz_with_wrong_arrays_is_refused(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ValueError, match=message):
        arrays(path=str(tmp_path / "a.npz"))


def test_npz_that_is_missing_or_damaged_is_named(tmp_path):
    file = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError, match="a.npz does not exist"):
        arrays(path=str(file))
    np.savez(file, image=IMAGES)
    whole = file.read_bytes()
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="a.npz cannot be read"):
            arrays(path=str(file))
    np.save(tmp_path / "b.npy", IMAGES)
    with pytest.raises(ValueError, match="b.npy cannot be read"):
        arrays(path=str(tmp_path / "b.npy"))


def test_digits():
    splits = digits()
    assert (splits.train.size, splits.test.size, splits.train.num_classes) == (1437, 360, 10)
    image = splits.train.arrays["image"]
    assert image.shape[1:] == (8, 8, 1) and (image.min(), image.max()) == (0, 255)
    assert np.bincount(splits.test.arrays["label"]).min() >= 34


def test_fashion_mnist_12k_is_balanced_and_small():
    splits = fashion_mnist_12k()
    for source, size in zip(splits, (10000, 2000)):
        assert source.size == size and source.class_names == CLASS_NAMES
        assert source.arrays["image"].shape == (size, 28, 28, 1)
        np.testing.assert_array_equal(np.bincount(source.arrays["label"]), size // 10)
    assert PART_FILE.stat().st_size < 6e6
    assert "Zalando" in (PART_FILE.parent / "fashion_mnist_LICENSE.txt").read_text()


def test_fashion_mnist_12k_is_part_of_the_official_files():
    try:
        whole, part = fashion_mnist(path=DEBIAN_FOLDER), fashion_mnist_12k()
    except FileNotFoundError:
        pytest.skip(f"{DEBIAN_FOLDER} is not on this machine")
    assert (whole.train.size, whole.test.size) == (60000, 10000)
    with np.load(PART_FILE) as file:
        for split in ("train", "test"):
            rows = file[f"{split}_index"]
            assert len(np.unique(rows)) == len(rows)
            for key in ("image", "label"):
                np.testing.assert_array_equal(getattr(whole, split).arrays[key][rows], getattr(part, split).arrays[key])


def test_fashion_mnist_reads_idx_files_gzipped_or_not(idx_folder, monkeypatch):
    splits = fashion_mnist(path=str(idx_folder))
    assert (splits.train.size, splits.test.size) == (20, 10)
    monkeypatch.setenv(VARIABLE, str(idx_folder))
    np.testing.assert_array_equal(fashion_mnist().train.arrays["image"], splits.train.arrays["image"])


def test_fashion_mnist_names_the_missing_file(idx_folder):
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="has no file t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"):
        fashion_mnist(path=str(idx_folder))


@pytest.mark.parametrize(
    "name, damage, message",
    [
        ("train-images-idx3-ubyte.gz", lambda data: data[: len(data) // 2], "damaged or truncated"),
        ("train-images-idx3-ubyte.gz", lambda data: b"no gzip", "damaged or truncated"),
        ("train-labels-idx1-ubyte.gz", lambda data: gzip.compress(idx(IMAGES[..., 0])), "begins with 00 00 08"),
        ("t10k-images-idx3-ubyte", lambda data: data[:-1], "truncated or too long"),
        ("t10k-images-idx3-ubyte", lambda data: data[:6], "truncated or too long"),
        ("t10k-labels-idx1-ubyte", lambda data: b"", "begins with nothing"),
        ("t10k-labels-idx1-ubyte", lambda data: data + b"1", "truncated or too long"),
    ],
)
def test_fashion_mnist_names_the_damaged_file(idx_folder, name, damage, message):
    file = idx_folder / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        fashion_mnist(path=str(idx_folder))


def test_fashion_mnist_in_no_place_lists_all_places(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="option `path` names .*nowhere"):
        fashion_mnist(path=str(tmp_path / "nowhere"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=f"{VARIABLE} names .*nothing"):
        fashion_mnist()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr("jaxssl.data.sets.fashion_mnist.DEBIAN_FOLDER", str(tmp_path / "usual"))
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)  # as if it were not installed
    with pytest.raises(FileNotFoundError) as error:
        fashion_mnist()
    for part in ("`path`", VARIABLE, "usual", "TensorFlow Datasets", *FILES.values(), "fashion_mnist_12k"):
        assert part in str(error.value)
