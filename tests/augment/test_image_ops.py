"""Every image operation against Pillow, SciPy or scikit-image on photographs, within 2/255."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.color
import skimage.data
from PIL import Image, ImageEnhance, ImageOps

from jaxssl.augment import color, resample

CLOSE = 2 / 255
PHOTOS = {"astronaut": skimage.data.astronaut, "coffee": skimage.data.coffee, "chelsea": skimage.data.chelsea}

crop_and_resize = jax.jit(resample.crop_and_resize, static_argnums=2, static_argnames="interpolation")
gaussian_blur = jax.jit(resample.gaussian_blur, static_argnums=2)


def unit(array):
    return np.asarray(array, np.float32) / 255


@pytest.fixture(scope="module", params=sorted(PHOTOS))
def photo(request):
    """A photograph of 60x80 pixels as Pillow image."""
    return Image.fromarray(PHOTOS[request.param]()[40:280, 60:380]).resize((80, 60), Image.Resampling.BOX)


@pytest.fixture(scope="module")
def grey_photo():
    return Image.fromarray(skimage.data.camera()[100:220, 150:270])


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [(0, 0, 60, 80), (7, 11, 40, 50), (20, 50, 9, 6), (3.5, 2.25, 33.3, 61.7)])
def test_crop_and_resize_agrees_with_pillow(photo, interpolation, box):
    y0, x0, h, w = box
    method = Image.Resampling[interpolation.upper()]
    options = dict(size=(24, 32), resample=method, box=(x0, y0, x0 + w, y0 + h))
    out = crop_and_resize(unit(photo), jnp.array(box, float), (32, 24), interpolation=interpolation)
    assert out.shape == (32, 24, 3)
    # Compared in floating point: with 8 bits Pillow clips between its passes, where bicubic overshoots.
    exact = [photo.getchannel(c).convert("F").resize(**options) for c in range(3)]
    np.testing.assert_allclose(out, np.clip(unit(np.stack(exact, -1)), 0, 1), atol=1e-4)
    if interpolation == "bilinear":
        np.testing.assert_allclose(out, unit(photo.resize(**options)), atol=CLOSE)


def test_crop_of_one_channel_and_flip(grey_photo):
    expected = unit(grey_photo.resize((28, 28), Image.Resampling.BILINEAR, box=(10, 20, 80, 100)))
    box = jnp.array([20.0, 10, 80, 70])
    out = crop_and_resize(unit(grey_photo)[..., None], box, (28, 28), flip=jnp.array(False))
    np.testing.assert_allclose(out[..., 0], expected, atol=CLOSE)
    mirrored = crop_and_resize(unit(grey_photo)[..., None], box, (28, 28), flip=jnp.array(True))
    np.testing.assert_allclose(mirrored, resample.flip_horizontal(out), atol=1e-6)


def test_whole_crop_is_exactly_the_image(photo):
    image = unit(photo)
    for interpolation in ("bilinear", "bicubic"):
        out = crop_and_resize(image, jnp.array([0.0, 0, 60, 80]), (60, 80), interpolation=interpolation)
        np.testing.assert_array_equal(out, image)


def test_flip_agrees_with_pillow(photo):
    np.testing.assert_array_equal(resample.flip_horizontal(unit(photo)), unit(ImageOps.mirror(photo)))


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize(
    "adjust, enhancer",
    [
        (color.adjust_brightness, ImageEnhance.Brightness),
        (color.adjust_contrast, ImageEnhance.Contrast),
        (color.adjust_saturation, ImageEnhance.Color),
    ],
)
def test_adjust_agrees_with_pillow(photo, adjust, enhancer, factor):
    np.testing.assert_allclose(adjust(unit(photo), factor), unit(enhancer(photo).enhance(factor)), atol=CLOSE)


@pytest.mark.parametrize(
    "adjust, enhancer",
    [(color.adjust_brightness, ImageEnhance.Brightness), (color.adjust_contrast, ImageEnhance.Contrast)],
)
def test_adjust_one_channel_agrees_with_pillow(grey_photo, adjust, enhancer):
    out = adjust(unit(grey_photo)[..., None], 1.4)[..., 0]
    np.testing.assert_allclose(out, unit(enhancer(grey_photo).enhance(1.4)), atol=CLOSE)


@pytest.mark.parametrize("shift", [-0.5, -0.13, 0.0, 0.1, 0.37])
def test_hue_agrees_with_skimage(photo, shift):
    # Pillow keeps hue in 8 bits, which is coarser than 2/255; scikit-image computes it in floating point.
    hsv = skimage.color.rgb2hsv(unit(photo))
    hsv[..., 0] = (hsv[..., 0] + shift) % 1
    np.testing.assert_allclose(color.adjust_hue(unit(photo), shift), skimage.color.hsv2rgb(hsv), atol=1e-5)


def test_hue_of_pure_colours():
    red, green, grey = [1.0, 0, 0], [0, 1.0, 0], [0.3, 0.3, 0.3]
    out = color.adjust_hue(jnp.array([[red, green, grey]]), 1 / 3)
    np.testing.assert_allclose(out, [[[0, 1, 0], [0, 0, 1], grey]], atol=1e-6)


def test_grayscale_agrees_with_pillow(photo):
    expected = np.repeat(unit(photo.convert("L"))[..., None], 3, -1)
    np.testing.assert_allclose(color.to_grayscale(unit(photo)), expected, atol=CLOSE)


@pytest.mark.parametrize("threshold", [0, 128, 200])
def test_solarize_agrees_with_pillow(photo, threshold):
    out = color.solarize(unit(photo), threshold / 255)
    np.testing.assert_allclose(out, unit(ImageOps.solarize(photo, threshold)), atol=1e-6)


@pytest.mark.parametrize("sigma, kernel_size", [(0.1, 3), (0.8, 7), (2.0, 13), (2.0, 3)])
def test_blur_agrees_with_scipy(photo, sigma, kernel_size):
    image = unit(photo)
    expected = scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="mirror", radius=kernel_size // 2)
    np.testing.assert_allclose(gaussian_blur(image, sigma, kernel_size), expected, atol=1e-5)


def test_blur_reflects_as_far_as_the_image_is_wide(grey_photo):
    image = unit(grey_photo)[:5, :9, None]
    expected = scipy.ndimage.gaussian_filter(image, (3.0, 3.0, 0), mode="mirror", radius=4)
    np.testing.assert_allclose(gaussian_blur(image, 3.0, 9), expected, atol=1e-5)


def test_blur_of_sigma_zero_is_exactly_the_image(photo):
    np.testing.assert_array_equal(gaussian_blur(unit(photo), 0.0, 5), unit(photo))


def test_jitter_applies_the_operations_in_the_given_order(photo):
    image = unit(photo)[20:36, 20:36]
    factors, shift = (1.5, 0.5, 1.8), 0.2
    steps = [
        lambda x: color.adjust_brightness(x, factors[0]),
        lambda x: color.adjust_contrast(x, factors[1]),
        lambda x: color.adjust_saturation(x, factors[2]),
        lambda x: color.adjust_hue(x, shift),
    ]
    steps = [jax.jit(step) for step in steps]
    orders = list(itertools.permutations(range(4)))
    ranks = jnp.array([np.argsort(order) for order in orders], jnp.float32)
    out = jax.jit(jax.vmap(lambda order: color.color_jitter(image, factors, shift, order)))(ranks)
    assert len(np.unique(np.asarray(out).round(4), axis=0)) > 12, "the order should matter"
    for order, result in zip(orders, out, strict=True):
        expected = image
        for k in order:
            expected = steps[k](expected)
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_color_operations_keep_one_channel(grey_photo):
    image = unit(grey_photo)[:8, :8, None]
    for out in (color.adjust_saturation(image, 0.2), color.adjust_hue(image, 0.3), color.to_grayscale(image)):
        np.testing.assert_array_equal(out, image)
    jittered = color.color_jitter(image, (1.2, 1.5, 0.1), 0.4, jnp.array([1.0, 0.5, 0.2, 0.0]))
    expected = color.adjust_brightness(color.adjust_contrast(image, 1.5), 1.2)
    np.testing.assert_allclose(jittered, expected, atol=1e-6)


def test_operations_refuse_bad_arguments():
    image = jnp.zeros((6, 8, 3))
    with pytest.raises(ValueError, match="interpolation"):
        resample.crop_and_resize(image, jnp.zeros(4), (4, 4), interpolation="nearest")
    with pytest.raises(ValueError, match="kernel_size=.*: must be odd"):
        resample.gaussian_blur(image, 1.0, 4)
    with pytest.raises(ValueError, match="kernel_size=13 reaches across"):
        resample.gaussian_blur(image, 1.0, 13)


def reference_box(rng, height, width, scale, ratio):
    """The random resized crop as a loop."""
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = np.exp(rng.uniform(*np.log(ratio)))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    h, w = min(height, round(width / aspect)), min(width, round(height * aspect))
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize("shape, scale", [((28, 28), (0.08, 1.0)), ((40, 90), (0.5, 1.0))])
def test_random_boxes_are_distributed_as_the_loop(shape, scale):
    ratio, count = (3 / 4, 4 / 3), 4000
    uniforms = jax.random.uniform(jax.random.key(3), (count, 22))
    boxes = np.asarray(jax.jit(jax.vmap(lambda u: resample.random_box(u, shape, scale, ratio)))(uniforms))
    rng = np.random.default_rng(0)
    expected = np.array([reference_box(rng, *shape, scale, ratio) for _ in range(count)])
    np.testing.assert_array_equal(boxes, boxes.round())
    assert boxes.min() >= 0 and (boxes[:, :2] + boxes[:, 2:] <= shape).all() and boxes[:, 2:].min() > 0
    for ours, theirs in (
        (boxes, expected),
        (np.prod(boxes[:, 2:], 1), np.prod(expected[:, 2:], 1)),
        (boxes[:, 3] / boxes[:, 2], expected[:, 3] / expected[:, 2]),
    ):
        error = 5 * np.sqrt(2 / count) * theirs.std(0) + 1e-6
        assert (np.abs(ours.mean(0) - theirs.mean(0)) < error).all()
        quantiles = [0.1, 0.5, 0.9]
        spread = 0.08 * (theirs.max(0) - theirs.min(0)) + 1e-6
        assert (np.abs(np.quantile(ours, quantiles, 0) - np.quantile(theirs, quantiles, 0)) <= spread).all()


def test_random_box_falls_back_to_the_centre():
    uniforms = jnp.full(22, 0.5)
    wide = resample.random_box(uniforms, (10, 100), (1.0, 1.0), (3 / 4, 4 / 3))
    np.testing.assert_array_equal(wide, [0, 43, 10, 13])
    tall = resample.random_box(uniforms, (100, 10), (1.0, 1.0), (3 / 4, 4 / 3))
    np.testing.assert_array_equal(tall, [43, 0, 13, 10])
