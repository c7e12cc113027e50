"""From the bytes of an image file to uint8 [image_size, image_size, channels]."""

import io
from collections.abc import Callable

import numpy as np

from jaxssl.data.load_tensorflow import load_tensorflow

JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
EXIF_MARKS = (b"Exif\0\0", b"eXIf")
ORIENTATION = 0x0112


def decoder(image_size: int, channels: int, *, tensorflow: bool = True) -> Callable[[bytes], np.ndarray]:
    """A function: bytes of an image file -> uint8 [image_size, image_size, channels], or ValueError.

    The centre square is cut out and resized (bilinear, antialiased), which is a resize of the shorter side
    and a centre crop. Any channels are made to 3 (RGB) or 1 (luminance): 16 bits lose the lower 8;
    transparency is dropped. An orientation in EXIF is obeyed.
    TensorFlow decodes JPEG and PNG when it is installed; Pillow the rest, and what TensorFlow refuses. With
    `tensorflow` False Pillow decodes all, which is enough for what is read only once.
    """
    fast = _tensorflow_decoders(image_size, channels) if tensorflow else {}

    def decode(data):
        kind = next((start for start in fast if data.startswith(start)), None)
        if kind and not _is_turned(data):
            image = fast[kind](data)
            if image is not None:
                return image
        return _decode_with_pillow(data, image_size, channels)

    return decode


def resizer(image_size: int, channels: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function like `decoder` for decoded images: uint8 or uint16 [H, W], or [H, W, 1, 3 or 4]."""
    from PIL import Image

    def resize(image):
        if image.dtype == np.uint16:
            image = (image >> 8).astype(np.uint8)
        image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
        return _square_with_pillow(Image.fromarray(image), image_size, channels)

    return resize


def _tensorflow_decoders(image_size, channels):
    try:
        tf = load_tensorflow("data.decode")
    except ImportError:
        return {}

    def compiled(decode_file):
        @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
        def decode_square(data):
            image = decode_file(data, channels=channels)
            height, width = tf.shape(image)[0], tf.shape(image)[1]
            side = tf.minimum(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            image = image[top : top + side, left : left + side]
            image = tf.image.resize(image, [image_size, image_size], "bilinear", antialias=True)
            return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)

        def decode(data):
            try:
                return decode_square(tf.constant(data)).numpy()
            except tf.errors.OpError:
                return None

        return decode

    return {JPEG_START: compiled(tf.io.decode_jpeg), PNG_START: compiled(tf.io.decode_png)}


def _is_turned(data):
    """Whether EXIF asks for a turned or mirrored image, which TensorFlow does not obey."""
    if not any(mark in data[:65536] for mark in EXIF_MARKS):
        return False
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.getexif().get(ORIENTATION, 1) != 1
    except Exception:  # damaged EXIF raises many kinds of errors, and the image may be readable
        return False


def _decode_with_pillow(data, image_size, channels):
    from PIL import Image, ImageOps

    if not data:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            return _square_with_pillow(ImageOps.exif_transpose(image), image_size, channels)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{type(error).__name__}: {str(error).replace(repr(data), '')}") from error


def _square_with_pillow(image, image_size, channels):
    from PIL import Image

    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).convert("RGB" if channels == 3 else "L")
    image = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR))
    return image if channels == 3 else image[..., None]
