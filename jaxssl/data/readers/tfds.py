"""Any image data set of TensorFlow Datasets, by its name."""

import numpy as np

from jaxssl.data.decode import resizer
from jaxssl.data.load_tensorflow import load_tensorflow
from jaxssl.data.source import Source, Splits, from_arrays


def tfds(
    *,
    dataset: str,
    image_size: int,
    channels: int = 3,
    train_split: str = "train",
    test_split: str | None = "test",
    data_dir: str | None = None,
    download: bool = False,
    image_key: str = "image",
    label_key: str = "label",
    memory_limit_mb: int = 1024,
) -> Splits:
    """A prepared TFDS data set, images made to uint8 [image_size, image_size, channels] (see data.decode).

    A split of at most `memory_limit_mb` is decoded once into memory (which allows the resident path); a
    larger one is read example by example, for which it must be prepared with random access (array_record).

    Args:
      dataset: a TFDS name such as 'cifar10' or 'stl10:1.0.0'.
      train_split, test_split: TFDS split expressions.
      data_dir: where TFDS keeps its data; its own default when None.
      download: prepare a data set that is not.
      image_key, label_key: names of the features that hold image and label.
      memory_limit_mb: size of a decoded split up to which it is held in memory.

    Raises:
      ImportError: without TFDS.
      ValueError: naming the data set, split or feature that does not exist and those that do.
      FileNotFoundError: when the data set is not prepared.
    """
    builder = _prepared_builder(dataset, data_dir, download)
    features = builder.info.features
    if image_key not in features:
        raise ValueError(f"{dataset} has no feature image_key={image_key!r}; its features are {sorted(features)}")
    names = getattr(features[label_key], "names", None) if label_key in features else None
    keys = [image_key] + ([label_key] if label_key in features else [])
    read = _reader(image_size, channels, image_key, label_key)

    def source(split):
        size = _split_size(builder, dataset, split)
        examples = _examples_by_index(builder, split)
        if size * image_size**2 * channels <= memory_limit_mb * 2**20:
            if examples is None:
                examples = _all_examples(builder, split, keys)
            return _in_memory(examples, read, names)
        if examples is not None:
            return _random_access(examples, read, names)
        raise ValueError(
            f"{dataset} {split} is larger than memory_limit_mb={memory_limit_mb} and is not prepared "
            f"with random access; run `tfds build {dataset} --file_format=array_record` with another "
            "data_dir, or raise memory_limit_mb"
        )

    return Splits(source(train_split), source(test_split) if test_split else None)


def _prepared_builder(dataset, data_dir, download):
    load_tensorflow("data.tfds")
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(f"data.tfds needs tensorflow-datasets ({error}): pip install jaxssl[train]") from error
    try:
        builder = tensorflow_datasets.builder(dataset, data_dir=data_dir)
    except tensorflow_datasets.core.registered.DatasetNotFoundError as error:
        raise ValueError(
            f"TensorFlow Datasets knows no data set {dataset!r}, and none is prepared under "
            f"that name in {data_dir or 'its default folder'}; the names are given by "
            "tensorflow_datasets.list_builders()"
        ) from error
    if builder.is_prepared():
        return builder
    if not download:
        raise FileNotFoundError(
            f"{dataset} is not prepared in {builder.data_dir}; set download=True, or run "
            f"`tfds build {dataset} --file_format=array_record`, or name another "
            "data_dir"
        )
    builder = tensorflow_datasets.builder(dataset, data_dir=data_dir, file_format="array_record")
    try:
        builder.download_and_prepare()
    except Exception as error:  # no network, no disk space, a manual download that is missing, ...
        raise FileNotFoundError(
            f"{dataset} is not prepared in {builder.data_dir} and TensorFlow Datasets "
            f"could not prepare it: {type(error).__name__}: {error}"
        ) from error
    return builder


def _split_size(builder, dataset, split):
    try:
        return builder.info.splits[split].num_examples
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{dataset} has no split {split!r}; its splits are {sorted(builder.info.splits)} (test_split=None for none)"
        ) from error


def _reader(image_size, channels, image_key, label_key):
    resize = resizer(image_size, channels)

    def read(example):
        return resize(example[image_key]), np.int32(example.get(label_key, -1))

    return read


def _examples_by_index(builder, split):
    """A sequence that reads one example when it is asked for; None when the files do not allow it."""
    try:
        return builder.as_data_source(split=split)
    except (NotImplementedError, ImportError):
        return None


def _all_examples(builder, split, keys):
    import tensorflow_datasets

    wanted = tensorflow_datasets.decode.PartialDecoding({key: True for key in keys})
    return tensorflow_datasets.as_numpy(builder.as_dataset(split=split, decoders=wanted, shuffle_files=False))


def _in_memory(examples, read, names):
    images, labels = zip(*(read(example) for example in examples))
    return from_arrays({"image": np.stack(images), "label": np.array(labels)}, class_names=names)


def _random_access(examples, read, names):
    image_shape = read(examples[0])[0].shape

    def fetch(ids, substitute=True):
        ids = np.asarray(ids, np.int64)
        images, labels = np.zeros((len(ids), *image_shape), np.uint8), np.zeros(len(ids), np.int32)
        for row, i in enumerate(ids.tolist()):
            images[row], labels[row] = read(examples[i])
        batch = {"image": images, "label": labels, "index": ids.astype(np.int32)}
        return batch if substitute else batch | {"_mask": np.ones(len(ids), bool)}

    return Source(
        size=len(examples), fetch=fetch, class_names=tuple(names) if names else None, num_classes=len(names or ())
    )
