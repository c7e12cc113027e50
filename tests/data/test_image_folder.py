"""Image folders: formats, channels, damaged files, splits, labels, errors that say what would be right."""

import io
import logging
import os
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxssl.data.decode import decoder, resizer
from jaxssl.data.readers.image_folder import image_folder

picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)).resize((48, 36), 2)


def encoded(image, ending, **options):
    file = io.BytesIO()
    image.save(file, ending, **options)
    return file.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def expected(image, channels, size=24):
    """The centre square of `image`, resized by Pillow."""
    left, top = (image.width - min(image.size)) // 2, (image.height - min(image.size)) // 2
    square = image.crop((left, top, left + min(image.size), top + min(image.size)))
    square = square.convert("RGB" if channels == 3 else "L").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(square).reshape(size, size, channels)


grey16 = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
transparent = picture.copy()
transparent.putalpha(100)
FORMATS = {
    "rgb.jpg": encoded(picture, "JPEG", quality=98, subsampling=0),
    "grey.jpg": encoded(picture.convert("L"), "JPEG"),
    "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG", quality=98, subsampling=0),
    "progressive.jpeg": encoded(picture, "JPEG", quality=98, subsampling=0, progressive=True),
    "exif.jpg": encoded(picture, "JPEG", quality=98, subsampling=0, exif=turned(1)),
    "turned.jpg": encoded(
        picture.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=98, subsampling=0, exif=turned(6)
    ),
    "turned.png": encoded(picture.transpose(Image.Transpose.ROTATE_90), "PNG", exif=turned(6)),
    "rgb.png": encoded(picture, "PNG"),
    "rgba.png": encoded(transparent, "PNG"),
    "grey.png": encoded(picture.convert("L"), "PNG"),
    "grey_alpha.png": encoded(picture.convert("LA"), "PNG"),
    "palette.png": encoded(picture.quantize(256), "PNG"),
    "grey16.png": encoded(grey16, "PNG"),
    "rgb.webp": encoded(picture, "WEBP", lossless=True),
    "rgba.webp": encoded(transparent, "WEBP", lossless=True),
    "rgb.bmp": encoded(picture, "BMP"),
    "palette.bmp": encoded(picture.quantize(256), "BMP"),
    "still.gif": encoded(picture.quantize(256), "GIF"),
    "moving.gif": encoded(
        picture.quantize(256), "GIF", save_all=True, append_images=[Image.new("P", picture.size)] * 3
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_gives_the_same_picture(channels):
    decode = decoder(24, channels)
    for name, data in FORMATS.items():
        image = decode(data)
        assert (image.shape, image.dtype) == ((24, 24, channels), np.uint8), name
        grey = "grey" in name and channels == 3
        reference = expected(picture.convert("L") if grey else picture, channels)
        difference = abs(image.astype(int) - reference).mean()
        # a palette rounds the colours, and JPEG is lossy
        assert difference < (8 if "palette" in name or "gif" in name else 3), (name, difference)


@pytest.mark.parametrize("size", [600, 224, 187, 96, 24])
def test_a_jpeg_photograph_looks_as_pillow_makes_it(size):
    """Enlarged, and made from 1/1, 1/1, 1/2, 1/2 and 1/8: as near to Pillow's triangle filter as its box filter is."""
    from sklearn.datasets import load_sample_image

    photograph = Image.fromarray(load_sample_image("china.jpg")).resize((500, 375), Image.Resampling.BICUBIC)
    data = encoded(photograph, "JPEG", quality=90)
    square, found = Image.open(io.BytesIO(data)).crop((62, 0, 437, 375)), decoder(size, 3)(data).astype(int)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BOX)
    triangle, box = (np.asarray(square.resize((size, size), f)).astype(int) for f in filters)
    distance = lambda a, b: abs(a - b).mean()
    print(size, distance(found, triangle), distance(box, triangle), distance(found[1:], triangle[:-1]))
    assert distance(found, triangle) < (0.5 if size > 375 else 1.3 * distance(box, triangle))
    assert abs((found - triangle).mean()) < 0.3
    # A picture that is displaced by one pixel of the result is farther away.
    assert distance(found[1:], triangle[:-1]) > 2 * distance(found, triangle)


@pytest.mark.parametrize("package", ["simplejpeg", "cv2"])
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match="jaxssl\\[train\\]"):
        decoder(24, 3)


def test_tall_wide_small_and_single_pixel_images_keep_the_centre():
    decode = decoder(16, 3)
    bars = np.zeros((10, 300, 3), np.uint8)
    bars[:, 145:155] = 255
    for array in (bars, bars.transpose(1, 0, 2)):
        assert (decode(encoded(Image.fromarray(array), "PNG")) == 255).all()
    assert (decode(encoded(Image.new("RGB", (1, 1), (9, 8, 7)), "PNG")) == [9, 8, 7]).all()


def test_one_bit_and_rgb16_images():
    bits = Image.fromarray(np.indices((16, 16)).sum(0) % 2 == 0)
    np.testing.assert_array_equal(np.unique(decoder(16, 1)(encoded(bits, "PNG"))), [0, 255])


def test_resizer_takes_decoded_arrays():
    array = np.asarray(picture)
    np.testing.assert_array_equal(resizer(24, 3)(array), expected(picture, 3))
    assert resizer(24, 3)(array[..., :1]).shape == (24, 24, 3)
    np.testing.assert_array_equal(resizer(24, 1)(array.astype(np.uint16) << 8), expected(picture, 1))


DAMAGED = {
    "empty": (b"", "the file is empty"),
    "text": (b"text", "cannot identify"),
    "jpeg header": (FORMATS["rgb.jpg"][:400], "Truncated"),
    "jpeg": (FORMATS["rgb.jpg"][:-300], "truncated"),
    "jpeg start": (b"\xff\xd8\xff" + bytes(500), "."),
    "png header": (FORMATS["rgb.png"][:20], "."),
    "png": (FORMATS["rgb.png"][:-200], "truncated"),
    "webp": (FORMATS["rgb.webp"][:60], "."),
    "gif": (FORMATS["still.gif"][:60], "."),
    "bmp": (FORMATS["rgb.bmp"][:60], "."),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_bytes_give_a_reason(name):
    data, reason = DAMAGED[name]
    with pytest.raises(ValueError, match=reason):
        decoder(24, 3)(data)


def test_nested_folder_without_labels(tmp_path, save_images):
    save_images(tmp_path, ["a/b/2.png", "a/b/10.JPG", "a/c/1.webp", ".hidden/1.png", "a/.thumb.png"])
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    splits = image_folder(path=str(tmp_path), image_size=8)
    assert splits.test is None and not splits.train.has_labels
    assert splits.train.names(range(3)) == ["a/b/10.JPG", "a/b/2.png", "a/c/1.webp"]
    batch = splits.train.fetch(np.array([2, 0]))
    assert batch["image"].shape == (2, 8, 8, 3) and batch["image"].dtype == np.uint8
    np.testing.assert_array_equal(batch["label"], [-1, -1])
    np.testing.assert_array_equal(batch["index"], [2, 0])
    assert splits.train.fetch(np.zeros(0, np.int64))["image"].shape == (0, 8, 8, 3)


def test_links_are_followed_and_circles_are_not(tmp_path, save_images):
    save_images(tmp_path / "store", ["1.png", "2.png"])
    folder = tmp_path / "data"
    folder.mkdir()
    os.symlink(tmp_path / "store", folder / "linked")
    os.symlink(tmp_path / "store" / "1.png", folder / "one.png")
    os.symlink(folder, folder / "circle")
    assert image_folder(path=str(folder), image_size=8).train.size == 3


def test_sub_folders_are_classes_and_a_hash_splits(tmp_path, save_images):
    names = [f"{kind}/deep/{i}.png" for kind in ("owl", "cat") for i in range(30)]
    save_images(tmp_path, names)
    train, test = image_folder(path=str(tmp_path), image_size=4, channels=1)
    assert train.class_names == test.class_names == ("cat", "owl")
    assert train.num_classes == test.num_classes == 2
    train_names, test_names = (set(part.names(range(part.size))) for part in (train, test))
    assert train_names | test_names == set(names) and not train_names & test_names
    assert 4 <= test.size <= 22
    for i, name in enumerate(train.names(range(train.size))):
        assert train.class_names[train.fetch(np.array([i]))["label"][0]] == name.split("/")[0]

    save_images(tmp_path, ["dog/1.png", "top.png"])  # new files move no other one
    train, test = image_folder(path=str(tmp_path), image_size=4)
    assert test_names <= set(test.names(range(test.size)))
    assert train_names <= set(train.names(range(train.size)))
    labels = np.concatenate([part.fetch(np.arange(part.size))["label"] for part in (train, test)])
    assert (labels == -1).sum() == 1  # top.png lies in no sub-folder

    splits = image_folder(path=str(tmp_path), image_size=4, label_from_folder=False)
    assert splits.test is None and not splits.train.has_labels and splits.train.size == 62
    assert image_folder(path=str(tmp_path), image_size=4, test_fraction=0).test is None


@pytest.mark.parametrize("folder", ["val", "test"])
def test_train_and_test_folders_are_the_split(tmp_path, save_images, folder):
    save_images(tmp_path, ["train/a/1.png", "train/b/1.png", "train/b/2.png", f"{folder}/b/3.png", "extra/4.png"])
    train, test = image_folder(path=str(tmp_path), image_size=4)
    assert (train.size, test.size, train.class_names) == (3, 1, ("a", "b"))
    np.testing.assert_array_equal(test.fetch(np.arange(1))["label"], [1])
    train, test = image_folder(path=str(tmp_path), image_size=4, label_from_folder=False)
    assert (train.size, test.size, train.has_labels, test.has_labels) == (3, 1, False, False)


def test_a_lone_train_folder_is_looked_through(tmp_path, save_images):
    save_images(tmp_path, [f"train/{kind}/{i}.png" for kind in "ab" for i in range(15)])
    train, test = image_folder(path=str(tmp_path), image_size=4)
    assert train.class_names == ("a", "b") and train.size + test.size == 30


def test_a_class_may_be_called_train(tmp_path, save_images):
    save_images(tmp_path, ["train/1.png", "bus/1.png"])
    train = image_folder(path=str(tmp_path), image_size=4, test_fraction=0).train
    assert train.class_names == ("bus", "train")


def test_test_classes_must_be_known(tmp_path, save_images):
    save_images(tmp_path, ["train/a/1.png", "train/b/1.png", "val/c/1.png"])
    with pytest.raises(ValueError, match=r"classes \['c'\] that the training images lack"):
        image_folder(path=str(tmp_path), image_size=4)


@pytest.fixture
def damaged(tmp_path, save_images):
    """24 images of which number 5 is empty, 6 truncated, and 23 no image."""
    save_images(tmp_path, [f"{i:02}.png" for i in range(24)])
    (tmp_path / "05.png").write_bytes(b"")
    (tmp_path / "06.png").write_bytes((tmp_path / "06.png").read_bytes()[:300])
    (tmp_path / "23.png").write_bytes(b"this is text")
    return tmp_path


def test_an_unreadable_image_is_replaced_by_the_next(damaged, caplog):
    source = image_folder(path=str(damaged), image_size=8, max_unreadable=0.2).train
    with caplog.at_level(logging.WARNING):
        batch = source.fetch(np.array([4, 5, 6, 23, 5]))
    np.testing.assert_array_equal(batch["index"], [4, 7, 7, 0, 7])  # after the last comes the first
    np.testing.assert_array_equal(batch["image"][1:4], source.fetch(np.array([7, 7, 0]))["image"])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3 and "3 of 24" in messages[2]
    assert "05.png" in messages[0] and "empty" in messages[0]
    again = image_folder(path=str(damaged), image_size=8, max_unreadable=0.2).train
    np.testing.assert_array_equal(again.fetch(np.array([6]))["index"], [7])  # whatever was read before


def test_for_evaluation_an_unreadable_image_is_masked(damaged):
    source = image_folder(path=str(damaged), image_size=8, max_unreadable=0.2).train
    batch = source.fetch(np.array([4, 5, 23]), substitute=False)
    np.testing.assert_array_equal(batch["_mask"], [True, False, False])
    np.testing.assert_array_equal(batch["index"], [4, 5, 23])
    assert not batch["image"][1:].any() and batch["image"][0].any()


def test_too_many_unreadable_images_stop_with_an_error(damaged):
    source = image_folder(path=str(damaged), image_size=8, max_unreadable=0.1).train
    source.fetch(np.array([5, 5, 6]))
    with pytest.raises(ValueError, match=r"3 of the 24 images .*max_unreadable=0.1.*05.png, 06.png, 23.png"):
        source.fetch(np.array([23]))


def test_a_folder_of_rubbish_stops_with_an_error(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(b"")
    source = image_folder(path=str(tmp_path), image_size=8, max_unreadable=1.0).train
    with pytest.raises(ValueError, match="none of the 3 images"):
        source.fetch(np.array([0]))


def test_a_dangling_link_is_unreadable(tmp_path, save_images):
    save_images(tmp_path, ["1.png", "2.png"])
    os.symlink(tmp_path / "gone.png", tmp_path / "0.png")
    source = image_folder(path=str(tmp_path), image_size=8, max_unreadable=0.5).train
    np.testing.assert_array_equal(source.fetch(np.array([0]))["index"], [1])


def test_wrong_paths_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist; option `path` must name a folder"):
        image_folder(path=str(tmp_path / "nowhere"), image_size=8)
    with pytest.raises(ValueError, match="no folder was named; option `path` must"):
        image_folder(path="", image_size=8)
    with pytest.raises(ValueError, match="has no images: it is empty; files ending in .jpg"):
        image_folder(path=str(tmp_path), image_size=8)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="has no images: it holds only .txt"):
        image_folder(path=str(tmp_path), image_size=8)
    with pytest.raises(NotADirectoryError, match="a.txt is a file; option `path` must name a folder"):
        image_folder(path=str(tmp_path / "a.txt"), image_size=8)


@pytest.mark.parametrize(
    "option, value",
    [("image_size", 0), ("image_size", 8.5), ("channels", 4), ("test_fraction", 1.0), ("max_unreadable", -0.1)],
)
def test_bad_options_are_named(tmp_path, option, value):
    with pytest.raises(ValueError, match=f"data.{option}={value}: must"):
        image_folder(**{"path": str(tmp_path), "image_size": 8, option: value})


def chunked(data, kind, content):
    """A PNG with one more chunk behind its header."""
    chunk = kind + content
    return data[:33] + len(content).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[33:]


def deep(image, ending=".png"):
    """A file of a uint16 array, RGB where it has channels."""
    import cv2

    turn = cv2.COLOR_RGBA2BGRA if image.shape[2:] == (4,) else cv2.COLOR_RGB2BGR
    return cv2.imencode(ending, cv2.cvtColor(image, turn) if image.ndim == 3 else image)[1].tobytes()


SIXTEEN = np.asarray(picture).astype(np.uint16) * 257
GREY = SIXTEEN[..., 1]


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_values_of_fewer_bits_than_the_file_has_fill_the_range(bits, ending, caplog):
    alpha = np.full((*GREY.shape, 1), 65535 >> (16 - bits), np.uint16)
    few = [x >> (16 - bits) for x in (GREY, SIXTEEN)]
    few += [np.concatenate([few[1], alpha], axis=-1)]
    decode = decoder(24, 3)
    reference = [expected(Image.fromarray((x >> 8).astype(np.uint8)), 3) for x in (GREY, SIXTEEN)]
    for i, x in enumerate(few):
        found = decode(deep(x, ending), f"{i}{ending}").astype(int)
        assert abs(found - reference[min(i, 1)]).max() <= 1, i
    said = [record.getMessage() for record in caplog.records if "bits" in record.getMessage()]
    assert len(said) == (bits < 16)  # once, and not for every file
    if said:
        assert f"0{ending} has values of {bits} bits in 16" in said[0] and "(1 such so far)" in said[0]


def test_significant_bits_that_a_png_names_are_obeyed(caplog):
    dark = GREY >> 6  # of 12 bits, none brighter than a quarter
    data = deep(dark)
    whole = expected(Image.fromarray((dark >> 4).astype(np.uint8)), 1)
    np.testing.assert_array_equal(decoder(24, 1)(chunked(data, b"sBIT", b"\x0c"), "a.png"), whole)
    assert "a.png has values of 12 bits in 16" in caplog.text
    caplog.clear()
    # Stretched to the full depth, as the rules of PNG say; and a dark image that says that it has all 16.
    for x, sbit in ((GREY & 0xFFF0, 12), (dark, 16)):
        found = decoder(24, 1)(chunked(deep(x), b"sBIT", bytes([sbit])))
        np.testing.assert_array_equal(found, expected(Image.fromarray((x >> 8).astype(np.uint8)), 1))
    assert not caplog.text
    colours = chunked(deep(SIXTEEN >> 6), b"sBIT", b"\x0c\x0c\x0c")
    found = decoder(24, 3)(colours)
    np.testing.assert_array_equal(found, expected(Image.fromarray((SIXTEEN >> 10).astype(np.uint8)), 3))


def test_deep_images_are_turned_and_other_modes_are_not_black():
    turned_grey = Image.fromarray((GREY >> 4).T[::-1].copy())
    found = decoder(24, 1)(encoded(turned_grey, "PNG", exif=turned(6)))
    assert abs(found.astype(int) - expected(Image.fromarray((GREY >> 8).astype(np.uint8)), 1)).max() <= 1
    grey = np.asarray(picture.convert("L"))
    for x in (grey / np.float32(255), grey.astype(np.float32), grey.astype(np.int32) << 16):
        found = decoder(24, 1)(encoded(Image.fromarray(x), "TIFF"))
        assert abs(found.astype(int) - expected(picture, 1)).max() <= 1
    with pytest.raises(ValueError, match="fractions"):
        decoder(24, 1)(encoded(Image.fromarray(grey.astype(np.float32) - 256), "TIFF"))
    with pytest.raises(ValueError, match="values begin at -1"):
        decoder(24, 1)(encoded(Image.fromarray(np.full((4, 4), -1, np.int32)), "TIFF"))
    assert resizer(24, 1)(GREY >> 4).max() > 100


def test_too_many_pixels_are_named_with_the_option(tmp_path, monkeypatch):
    for ending in ("png", "jpg", "webp", "gif", "bmp"):
        picture.save(tmp_path / f"a.{ending}")
        for most in (1000, 500):
            with pytest.raises(ValueError, match=f"max_pixels={most} allows"):
                decoder(24, 3, max_pixels=most)((tmp_path / f"a.{ending}").read_bytes())
        source = image_folder(path=str(tmp_path), image_size=8, max_pixels=1000, max_unreadable=0).train
        with pytest.raises(ValueError, match=f"a.{ending}"):
            source.fetch(np.arange(1))
        (tmp_path / f"a.{ending}").unlink()
    # Pillow's own limits give way to the option; 100 and 200 pixels here, 89 and 179 million elsewhere.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoder(24, 3)(FORMATS["rgb.png"]).shape == (24, 24, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match="max_pixels=150 allows"):
        decoder(24, 3, max_pixels=150)(FORMATS["rgb.png"])
