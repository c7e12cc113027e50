"""From the bytes of an image file to uint8 [image_size, image_size, channels]."""

import io
import logging
import threading
from collections.abc import Callable

import numpy as np

from jaxssl.names import shown

log = logging.getLogger(__name__)

JPEG_START = b"\xff\xd8\xff"
EXIF_MARKS = (b"Exif\0\0", b"eXIf")
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 258
PNG_START = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 2**28  # more than any camera has
# Bit depths of sensors and files. The smallest one that holds the brightest pixel is taken for the significant bits.
BITS = (8, 10, 12, 14, 16, 24, 32)


def decoder(image_size: int, channels: int, *, max_pixels: int = MAX_PIXELS) -> Callable[..., np.ndarray]:
    """A function: bytes of an image file -> uint8 [image_size, image_size, channels], or ValueError.

    The function also takes the file's name, which the log shows. It cuts out the centre square and resizes it
    (bilinear, antialiased), which equals a resize of the shorter side and a centre crop. Colours become 3 channels
    (RGB) or 1 (luminance); transparency is dropped, and an orientation in EXIF is applied. An image of more than
    `max_pixels` (width times height) is refused before it is decoded.

    Values with more than 8 significant bits keep the upper 8. The number of significant bits is the one that a PNG
    names (sBIT) unless a value exceeds it, else that of the brightest pixel. The log tells of images that do not fill
    the full depth of their file.

    libjpeg-turbo decodes plain JPEG files, to 1/2, 1/4 or 1/8 of their size where that is still large enough, and
    OpenCV resizes them, so that the threads of one process decode in parallel. Pillow does all other files.

    Raises:
      ImportError: without simplejpeg or OpenCV.
    """
    decode_jpeg = _jpeg_decoder(image_size, channels, max_pixels)
    eight_bits = _EightBits()
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None:  # Pillow's own limit must not be the lower one
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)

    def decode(data, name=""):
        if data.startswith(JPEG_START) and not _is_turned(data):
            image = decode_jpeg(data)
            if image is not None:
                return image
        return _decode_with_pillow(data, image_size, channels, max_pixels, lambda x, sbit: eight_bits(x, sbit, name))

    return decode


def resizer(image_size: int, channels: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function like `decoder` for decoded images: uint8 or uint16 [H, W], or [H, W, 1, 3 or 4]."""
    from PIL import Image

    eight_bits = _EightBits()

    def resize(image):
        if image.dtype == np.uint16:
            image = eight_bits(image, None, "")
        image = image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image
        return _square_with_pillow(Image.fromarray(image), image_size, channels)

    return resize


class _EightBits:
    """Whole numbers of more than 8 bits -> uint8; the log counts the files whose values fill fewer."""

    def __init__(self):
        self.names, self.lock = set(), threading.Lock()

    def __call__(self, x, sbit, name):
        """x: values from 0 on. sbit: significant bits that the file names, or None."""
        depth, highest = 8 * x.dtype.itemsize, int(x.max())
        if x.min() < 0:
            raise ValueError(f"its values begin at {int(x.min())}; values from 0 on would be right")
        if sbit and 8 <= sbit <= depth:  # a file that keeps to the rules has stretched its values to the full depth
            bits = sbit if highest < 2**sbit else depth
        else:
            bits = next(b for b in BITS if highest < 2**b)
        if bits < depth and highest:
            self._say(name, bits, depth)
        return (x >> (bits - 8)).astype(np.uint8)

    def _say(self, name, bits, depth):
        with self.lock:
            if name in self.names:
                return
            self.names.add(name)
            count = len(self.names)
        if str(count).strip("0") == "1":  # 1, 10, 100, ...
            message = "%s has values of %d bits in %d: images are scaled by the bits of their values (%d such so far)"
            log.warning(message, shown(name) or "an image", bits, depth, count)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises ValueError for an image of more pixels than the option allows."""
    if width * height > max_pixels:
        raise ValueError(f"{width} x {height} pixels are more than max_pixels={max_pixels} allows; raise it")


def _jpeg_decoder(image_size, channels, max_pixels):
    """A function like `decoder`, but None for files that Pillow must decode: CMYK, and damaged ones."""
    try:
        import cv2
        import simplejpeg
    except ImportError as error:
        raise ImportError(
            f"images from files need the package {error.name}: pip install 'jaxssl[train]' brings it"
        ) from error
    colour = "RGB" if channels == 3 else "GRAY"
    # libjpeg-turbo is fast at 1/2 of the size and below; between 1/2 and 1 it is slower than at full size.
    scaled = dict(min_height=image_size, min_width=image_size, min_factor=2)

    def decode(data):
        try:
            height, width, found, _ = simplejpeg.decode_jpeg_header(data)
            if found in ("CMYK", "YCCK") or height * width > max_pixels:
                return None
            image = simplejpeg.decode_jpeg(data, colour, **(scaled if min(height, width) >= 2 * image_size else {}))
        except ValueError:
            return None
        return _square_with_opencv(cv2, image, image_size).reshape(image_size, image_size, channels)

    return decode


def _square_with_opencv(cv2, image, image_size):
    """Bilinear to n times the size, then means of n x n pixels, for the least n at which nothing shrinks first."""
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


def _decode_with_pillow(data, image_size, channels, max_pixels, eight_bits):
    from PIL import Image, ImageOps

    if not data:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_pixels(*image.size, max_pixels)
            image.load()
            turned = ImageOps.exif_transpose(_as_eight_bits(image, data, eight_bits))
            return _square_with_pillow(turned, image_size, channels)
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than twice the pixels that max_pixels={max_pixels} allows; raise it") from None
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, MemoryError, ...
        raise ValueError(f"{type(error).__name__}: {str(error).replace(repr(data), '')}") from error


def _bits(image, data):
    """(bits of a value, significant bits that the file names or None) of a PNG or TIFF; (8, None) for other files."""
    if not data.startswith(PNG_START):
        return max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,))), None
    place = data.find(b"sBIT", 33, 4096)  # it stands before the pixels and the palette
    length = int.from_bytes(data[place - 4 : place], "big") if place > 0 else 0
    return data[24], max(data[place + 4 : place + 4 + length]) if 1 <= length <= 4 else None


def _as_eight_bits(image, data, eight_bits):
    """A decoded image whose values are whole numbers of more than 8 bits, or fractions, with 8; another as it is."""
    from PIL import Image

    if image.mode == "F":
        x = np.asarray(image)
        if not (np.isfinite(x).all() and 0 <= x.min() and x.max() <= 255):
            raise ValueError("its values are fractions that do not lie in 0 .. 1 or 0 .. 255")
        made = np.rint(255 * x if x.max() <= 1 else x).astype(np.uint8)
    elif image.mode.startswith("I"):
        made = eight_bits(np.asarray(image), _bits(image, data)[1])
    elif _bits(image, data)[0] == 16:
        # Pillow keeps the upper 8 of 16 bits of a colour, in which nothing may be left of 12.
        import cv2

        x = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        colours = x[..., :3] if x is not None and x.ndim == 3 and x.shape[2] >= 3 else None
        if colours is None or colours.dtype != np.uint16 or colours.max() >= 2**14:
            return image
        made = eight_bits(colours[..., ::-1], _bits(image, data)[1])
    else:
        return image
    made = Image.fromarray(made)
    made.getexif().update(image.getexif())
    return made


def _square_with_pillow(image, image_size, channels):
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).convert("RGB" if channels == 3 else "L")
    image = np.asarray(image.resize((image_size, image_size), Image.Resampling.BILINEAR))
    return image if channels == 3 else image[..., None]
