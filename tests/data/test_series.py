"""Series: the generator, the bundled motions, files of one's own, and what is said about bad ones."""

import numpy as np
import pytest

from jaxssl.data.readers.series import pad, series
from jaxssl.data.sets.basic_motions import basic_motions
from jaxssl.data.sets.ecg_rhythms import RHYTHMS, ecg_rhythms


@pytest.fixture(scope="module")
def rhythms():
    return ecg_rhythms(train=80, test=20)


def test_rhythms_are_fixed_balanced_and_as_described(rhythms):
    x, label = (rhythms.train.arrays[k] for k in ("series", "label"))
    assert x.shape == (80, 1000, 4) and x.dtype == np.float32 and np.isfinite(x).all()
    assert rhythms.train.class_names == RHYTHMS
    np.testing.assert_array_equal(np.bincount(label), 20)
    np.testing.assert_array_equal(x, ecg_rhythms(train=80, test=20).train.arrays["series"])
    assert (ecg_rhythms(train=80, test=20, seed=1).train.arrays["series"] != x).any()
    assert not (rhythms.test.arrays["series"][:, None] == x[None]).all((2, 3)).any()


def peaks(x):
    """Samples at which the first lead passes through a peak of more than half its largest value."""
    high = x[1:-1] > 0.5 * x.max()
    return np.flatnonzero(high & (x[1:-1] >= x[:-2]) & (x[1:-1] > x[2:])) + 1


def test_rate_and_regularity_tell_rhythms_apart(rhythms):
    x, label = (rhythms.train.arrays[k] for k in ("series", "label"))
    gaps = [np.diff(peaks(row[:, 0])) for row in x]
    gaps = [gap[gap > 20] for gap in gaps]  # noise splits a peak at times
    rate, spread = (np.array(v) for v in zip(*[(6000 / np.median(gap), gap.std() / gap.mean()) for gap in gaps]))
    assert rate[label == 1].min() > 100 > np.median(rate[label == 0]) > 50
    assert np.median(spread[label == 2]) > 2 * np.median(spread[label == 0])


def test_absent_p_waves_are_absent(rhythms):
    """Mean of the second lead 0.18 s ahead of R, above the level 0.3 s ahead of it."""
    x, label = (rhythms.train.arrays[k] for k in ("series", "label"))
    height = []
    for row in x:
        at = peaks(row[:, 0])
        at = at[at > 30]
        scale = np.sqrt(np.median(np.diff(at)) / 100)
        ahead = lambda seconds: row[np.round(at - 100 * seconds * scale).astype(int), 1].mean()
        height.append((ahead(0.18) - ahead(0.29)) / row[at, 1].mean())
    height = np.array(height)
    assert np.median(height[label == 0]) > 0.1 > 0.05 > np.median(height[label == 3])


def test_basic_motions_come_with_the_package():
    splits = basic_motions()
    for source in splits:
        assert source.arrays["series"].shape == (40, 100, 6)
        np.testing.assert_array_equal(np.bincount(source.arrays["label"]), 10)
    assert splits.train.class_names == ("Standing", "Running", "Walking", "Badminton")
    # First values of the first channel of the first series, as the archive's file has them.
    np.testing.assert_allclose(splits.train.arrays["series"][0, :3, 0], [0.079106, 0.079106, -0.903497], rtol=1e-5)


def test_npz_of_one_s_own(tmp_path):
    file, x = tmp_path / "own.npz", np.random.default_rng(0).normal(size=(20, 12, 2))
    label, length = np.arange(20) % 2, np.full(20, 12)
    x[3, 4, 1], length[5] = np.nan, 7
    np.savez(file, x=x, label=label, length=length)
    splits = series(path=str(file), test_fraction=0.2)
    assert (splits.train.size, splits.test.size) == (16, 4)
    np.testing.assert_array_equal(np.bincount(splits.test.arrays["label"]), 2)
    rows = {name: (s, i) for s in splits for i, name in enumerate(s.names(np.arange(s.size)))}
    source, i = rows[f"{file}, x row 3"]
    assert source.arrays["series"][i, 4, 1] == pytest.approx((x[3, 3, 1] + x[3, 5, 1]) / 2, rel=1e-5)
    source, i = rows[f"{file}, x row 5"]
    assert source.arrays["length"][i] == 7 and (source.arrays["series"][i, 7:] == 0).all()
    np.savez(file, x=x[:, :, 0])
    alone = series(path=str(file))
    assert alone.test is None and alone.train.arrays["series"].shape == (20, 12, 1) and not alone.train.has_labels
    np.savez(file, train_x=x, train_label=label, test_x=x[:4, :9], test_label=label[:4])
    both = series(path=str(file))
    assert both.test.arrays["series"].shape == (4, 12, 2), "filled up to the T of the training series"
    np.testing.assert_array_equal(both.test.arrays["length"], 9)


TS = """# a comment
@problemName Own
@timeStamps false
@univariate false
@classLabel true up down
@data
1,2,3:0,?,2:up
3,2:1,1:down
"""


def test_ts_files(tmp_path):
    (tmp_path / "Own_TRAIN.ts").write_text(TS)
    (tmp_path / "Own_TEST.ts").write_text(TS)
    splits = series(path=str(tmp_path / "Own_TRAIN.ts"))
    for source in splits:
        np.testing.assert_array_equal(source.arrays["series"][0], [[1, 0], [2, 1], [3, 2]])
        np.testing.assert_array_equal(source.arrays["series"][1], [[3, 1], [2, 1], [0, 0]])
        np.testing.assert_array_equal(source.arrays["length"], [3, 2])
        np.testing.assert_array_equal(source.arrays["label"], [0, 1])
    assert splits.train.class_names == ("up", "down")


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("1,2,3:", "1,two,3:", r"line 7, channel 0: could not convert .*two"),
        (":down", ":left", r"line 8: class 'left' is not one"),
        ("3,2:1,1:", "3,2:1,1:4,4:", r"line 8: 3 channels, but 2 in the first"),
        ("3,2:1,1:", "3,2:1,1,1:", r"line 8: its channels have different lengths, \[2, 3\]"),
        ("0,?,2", "?,?,?", r"line 7: all values of channel 1 are missing"),
        ("@timeStamps false", "@timeStamps true", r"line 3: series with time stamps"),
        ("@data\n", "", r"line 6: neither a comment"),
    ],
)
def test_bad_ts_files_are_named_with_their_line(tmp_path, old, new, said):
    file = tmp_path / "bad.ts"
    file.write_text(TS.replace(old, new))
    with pytest.raises(ValueError, match=rf"bad\.ts, {said}"):
        series(path=str(file))


@pytest.mark.parametrize(
    "arrays, error, said",
    [
        (dict(y=np.ones((4, 5))), ValueError, r"unknown arrays \['y'\]"),
        (dict(label=np.ones(4, int)), ValueError, "either `x` or `train_x`"),
        (dict(x=np.ones(4)), ValueError, r"shape \(4,\)"),
        (dict(x=np.array(["a"])), TypeError, "must be numbers"),
        (dict(x=np.ones((4, 5)), length=np.array([5, 5, 9, 5])), ValueError, r"row 2: `length` is 9; .* 1 \.\.\. 5"),
        (dict(x=np.ones((4, 5)), label=np.ones(3, int)), ValueError, r"`label` is int64 \(3,\)"),
        (dict(x=np.array([[1.0, 2], [1, np.inf]])), ValueError, "x row 1: infinite value at time 1, channel 0"),
        (dict(x=np.array([[1.0, 2], [np.nan, np.nan]])), ValueError, "x row 1: all values of channel 0 are missing"),
    ],
)
def test_bad_npz_files_are_named_with_the_row(tmp_path, arrays, error, said):
    file = tmp_path / "bad.npz"
    np.savez(file, **arrays)
    with pytest.raises(error, match=rf"bad\.npz.*{said}"):
        series(path=str(file))


def test_other_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        series(path=str(tmp_path / "absent.npz"))
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"\.npz or \.ts"):
        series(path=str(tmp_path / "a.csv"))
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(ValueError, match="cannot be read"):
        series(path=str(tmp_path / "a.npz"))


def test_pad():
    x, length = pad([np.ones((2, 3)), np.ones((4, 3))])
    assert x.shape == (2, 4, 3) and (x[0, 2:] == 0).all()
    np.testing.assert_array_equal(length, [2, 4])
    with pytest.raises(ValueError, match="row 1"):
        pad([np.ones((2, 3)), np.ones((4, 2))])
