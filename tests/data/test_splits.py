"""What is held out: rows, files, and folders called train and val, by one rule for all kinds of data."""

import logging

import numpy as np
import pytest
from made_files import FOLDERS

from jaxssl.data.splits import check_test_fraction, hold_out, hold_out_names


def test_the_same_share_of_every_group_is_held_out():
    groups = np.repeat([-1, 0, 1], [10, 40, 25])
    held_out = hold_out(groups, 0.2, np.random.default_rng(0))
    assert [held_out[groups == g].sum() for g in (-1, 0, 1)] == [2, 8, 5]
    np.testing.assert_array_equal(held_out, hold_out(groups, 0.2, np.random.default_rng(0)))
    assert (held_out != hold_out(groups, 0.2, np.random.default_rng(1))).any()
    assert not hold_out(groups, 0.0, np.random.default_rng(0)).any()


def test_every_class_with_two_rows_is_held_out_in_part():
    groups = np.array([-1, -1, -1, 0, 1, 1, 2, 2, 2])
    held_out = hold_out(groups, 0.1, np.random.default_rng(0), every_class=True)
    assert [held_out[groups == g].sum() for g in (-1, 0, 1, 2)] == [0, 0, 1, 1]
    nearly_all = hold_out(groups, 0.99, np.random.default_rng(0), every_class=True)
    assert [nearly_all[groups == g].sum() for g in (-1, 0, 1, 2)] == [0, 0, 1, 2]


def test_a_new_name_moves_no_other_one():
    names = [f"class/{i}.png" for i in range(400)]
    held_out = hold_out_names(names, 0.25)
    assert 0.18 < held_out.mean() < 0.32
    np.testing.assert_array_equal(hold_out_names(["new", *names], 0.25)[1:], held_out)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=rf"data.test_fraction={value}: must lie in 0..1, below 1"):
        check_test_fraction(value)


TOP = ("{part}/cat/{i}", "{part}/dog/{i}")
LAYOUTS = {
    "train and val": (TOP, "train", "val"),
    "train and test": (TOP, "train", "test"),
    "capitals": (TOP, "Train", "Valid"),
    "train and validation": (TOP, "train", "validation"),
    "below the classes": (("cat/{part}/{i}", "dog/{part}/{i}"), "train", "val"),
    "below the classes, capitals": (("cat/{part}/{i}", "dog/{part}/{i}"), "TRAIN", "Test"),
    "below one folder": (("archive/{part}/cat/{i}", "archive/{part}/dog/{i}"), "train", "val"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", FOLDERS)
def test_folders_of_training_and_of_test_examples_are_the_split(kind, layout, tmp_path):
    """Their names are no classes, and nothing below the second is trained on."""
    (read, ending, content), (names, train, test) = FOLDERS[kind], LAYOUTS[layout]
    for part, count in ((train, 3), (test, 2)):
        for name in names:
            for i in range(count):
                file = tmp_path / f"{name.format(part=part, i=i)}.{ending}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content())
    splits = read(str(tmp_path))
    for source, part in zip(splits, (train, test)):
        said = source.names(np.arange(source.size))
        assert source.class_names == ("cat", "dog")
        assert {part in name.split("/") for name in said} == {True}
        labels = source.fetch(np.arange(source.size))["label"]
        assert [source.class_names[y] in name for y, name in zip(labels, said)] == [True] * source.size
    assert [len({n.split(",")[0] for n in s.names(np.arange(s.size))}) for s in splits] == [6, 4]


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_class_called_train_stays_a_class(kind, tmp_path):
    read, ending, content = FOLDERS[kind]
    for name in ("train", "ship", "plane"):
        (tmp_path / name).mkdir()
        for i in range(3):
            (tmp_path / name / f"{i}.{ending}").write_bytes(content())
    assert read(str(tmp_path)).train.class_names == ("plane", "ship", "train")


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_lies_beside_both_folders_is_named_and_left_out(kind, tmp_path, caplog):
    read, ending, content = FOLDERS[kind]
    for name in ("train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "more"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            (tmp_path / name / f"{i}.{ending}").write_bytes(content())
    with caplog.at_level(logging.WARNING):
        splits = read(str(tmp_path))
    assert all("/test/" not in f"/{n}" and "more" not in n for s in splits for n in s.names(np.arange(s.size)))
    assert "4" in caplog.text and "outside of train and val are not used" in caplog.text


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_class_of_the_test_folder_that_none_was_trained_on_is_refused(kind, tmp_path):
    read, ending, content = FOLDERS[kind]
    for name in ("train/cat", "train/dog", "val/cow"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / f"0.{ending}").write_bytes(content())
    with pytest.raises(ValueError, match=r"have classes \['cow'\] that the training"):
        read(str(tmp_path))
