"""From the bytes of an image file to uint8 [image_size, image_size, channels]."""

import io
from collections.abc import Callable

import numpy as np

JPEG_START = b"\xff\xd8\xff"
EXIF_MARKS = (b"Exif\0\0", b"eXIf")
ORIENTATION = 0x0112


def decoder(image_size: int, channels: int) -> Callable[[bytes], np.ndarray]:
    """A function: bytes of an image file -> uint8 [image_size, image_size, channels], or ValueError.

    The centre square is cut out and resized (bilinear, antialiased), which is a resize of the shorter side
    and a centre crop. Any channels are made to 3 (RGB) or 1 (luminance): 16 bits lose the lower 8;
    transparency is dropped. An orientation in EXIF is obeyed.
    Pillow decodes and resizes all but plain JPEG files. Of these libjpeg-turbo makes 1/2, 1/4 or 1/8 of the size where
    that is still large enough, and OpenCV resizes them: the threads of one process then decode side by side.
    Raises: ImportError without simplejpeg or OpenCV.
    """
    decode_jpeg = _jpeg_decoder(image_size, channels)

    def decode(data):
        if data.startswith(JPEG_START) and not _is_turned(data):
            image = decode_jpeg(data)
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


def _jpeg_decoder(image_size, channels):
    """A function like `decoder`, but None for what Pillow must decode: CMYK, and what is damaged."""
    try:
        import cv2
        import simplejpeg
    except ImportError as error:
        raise ImportError(
            f"images from files need the package {error.name}: pip install 'jaxssl[train]' brings it"
        ) from error
    colour = "RGB" if channels == 3 else "GRAY"
    # From 2 on libjpeg-turbo has fast code for the smaller sizes; those between 1 and 2 are slower than the full one.
    scaled = dict(min_height=image_size, min_width=image_size, min_factor=2)

    def decode(data):
        try:
            height, width, found, _ = simplejpeg.decode_jpeg_header(data)
            if found in ("CMYK", "YCCK"):
                return None
            image = simplejpeg.decode_jpeg(data, colour, **(scaled if min(height, width) >= 2 * image_size else {}))
        except ValueError:
            return None
        return _square_with_opencv(cv2, image, image_size).reshape(image_size, image_size, channels)

    return decode


def _square_with_opencv(cv2, image, image_size):
    """Bilinear at n times the size, then means of n x n pixels; n is the least that does not reduce the first time."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image, n = image[top : top + side, left : left + side], -(-side // image_size)
    image = cv2.resize(image, (n * image_size, n * image_size), interpolation=cv2.INTER_LINEAR)
    return image if n == 1 else cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_AREA)


def _is_turned(data):
    """Whether EXIF asks for a turned or mirrored image, which libjpeg does not obey."""
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
