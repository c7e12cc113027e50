"""What the numbers of an input mean is read off their dtype, in every function; what has no meaning is refused."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import (
    audio,
    color,
    image,
    image_text,
    multicrop,
    points,
    resample,
    series,
    table,
    text,
    video,
    view,
)

UNIT = dict(mean=0.5, std=0.25)
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 10, 3), np.uint8)
OPTIONS = view.check_options(view.ViewOptions(8, grayscale_probability=0.2, solarize_probability=0.5))
# Recipes without what takes long to compile and does not read the image itself.
LIGHT = dict(mean=0.5, std=0.25, jitter_probability=0.0, grayscale_probability=0.0)
PAIRS = dict(blur_probability=(0.0, 0.0), solarize_probability=(0.0, 0.5))
KEY = jax.random.key(0)
BOX = jnp.array([1.0, 2.0, 9.0, 7.5])
MORE = dict(label=np.zeros(2, np.int32), tokens=np.ones((2, 4), np.int32), length=np.array([4, 2]))


def assert_same(function, x, meaning, atol=1e-5):
    """function(x) = function(meaning(x)). Most programs for both are equal to the letter: no need to compile them."""
    both = function, lambda x: function(meaning(x))
    if len({str(jax.make_jaxpr(f)(x)) for f in both}) > 1:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=atol), *(jax.jit(f)(x) for f in both))


def recipe(augment, name="image"):
    """A recipe as a function of one array; all that it returns, as leaves."""
    return lambda x: augment(KEY, {**MORE, name: x})


IMAGES = np.stack([PIXELS, 255 - PIXELS])
VIDEOS = np.stack([IMAGES[0]] * 2 + [IMAGES[1]] * 3)[None].repeat(2, 0)
# By module: the functions that take pixels, and an example of uint8 that they take.
FUNCTIONS = {
    color: {
        "adjust_brightness": (lambda x: color.adjust_brightness(x, 1.3), PIXELS),
        "adjust_contrast": (lambda x: color.adjust_contrast(x, 1.3), PIXELS),
        "adjust_saturation": (lambda x: color.adjust_saturation(x, 1.3), PIXELS),
        "adjust_hue": (lambda x: color.adjust_hue(x, 0.2), PIXELS),
        "to_grayscale": (color.to_grayscale, PIXELS),
        "solarize": (color.solarize, PIXELS),
        "luma": (color.luma, PIXELS),
        "color_jitter": (lambda x: color.color_jitter(x, (1.2, 0.8, 1.1), 0.1, jnp.arange(4.0)), PIXELS),
    },
    resample: {
        "crop_and_resize": (lambda x: resample.crop_and_resize(x, BOX, (6, 5), interpolation="bicubic"), PIXELS),
        "flip_horizontal": (resample.flip_horizontal, PIXELS),
        "gaussian_blur": (lambda x: resample.gaussian_blur(x, 1.0, 5), PIXELS),
    },
    view: {
        "view_augmentation": (
            recipe(view.view_augmentation({"": [(OPTIONS, 1)]}, mean=0.5, std=0.25, return_boxes=True)),
            IMAGES,
        ),
        "make_view": (lambda x: view.make_view(KEY, x, OPTIONS), PIXELS),
        "to_unit_float": (lambda x: view.to_unit_float({"image": x}), IMAGES),
        "standardize": (lambda x: view.standardize(x, (0.5,), (0.25,)), PIXELS),
    },
    image: {
        "simclr": (recipe(image.simclr(size=8, blur_probability=0.0, **LIGHT)), IMAGES),
        "byol": (recipe(image.byol(size=8, **PAIRS, **LIGHT)), IMAGES),
        "moco_v2": (recipe(image.moco_v2(size=8, blur_probability=0.0, **LIGHT)), IMAGES),
        "mae": (recipe(image.mae(size=8, **UNIT)), IMAGES),
        "plain": (recipe(image.plain(size=8, **UNIT)), IMAGES),
    },
    multicrop: {
        "dino": (
            recipe(
                multicrop.dino(
                    global_size=8,
                    local_size=6,
                    num_local=1,
                    global_blur_probability=(0.0, 0.0),
                    local_blur_probability=0.0,
                    **LIGHT,
                )
            ),
            IMAGES,
        ),
        "swav": (
            recipe(multicrop.swav(global_size=8, local_size=6, num_local=1, blur_probability=0.0, **LIGHT)),
            IMAGES,
        ),
    },
    video: {
        "cvrl": (recipe(video.cvrl(frames=2, stride=2, size=8, **PAIRS, **LIGHT), "video"), VIDEOS),
        "plain": (recipe(video.plain(frames=2, stride=2, size=8, **UNIT), "video"), VIDEOS),
        "take_clip": (lambda x: video.take_clip(x, 1, 2, 2), VIDEOS[0]),
        "augment_clip": (lambda x: video.augment_clip(KEY, x, OPTIONS), VIDEOS[0]),
    },
    image_text: {
        "clip": (recipe(image_text.clip(size=8, **UNIT)), IMAGES),
        "plain": (recipe(image_text.plain(size=8, **UNIT)), IMAGES),
    },
}
# Public functions that take no pixels.
OTHERS = {resample: {"random_box"}, video: {"interval_cdf", "sample_clip_pair"}}
CASES = [
    pytest.param(*case, id=f"{module.__name__.rsplit('.', 1)[1]}.{name}")
    for module, cases in FUNCTIONS.items()
    for name, case in cases.items()
]


def test_the_table_names_every_public_function():
    for module, cases in FUNCTIONS.items():
        public = {
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
            if not name.startswith(("_", "check_"))
        }
        assert public == set(cases) | OTHERS.get(module, set()), module.__name__


@pytest.mark.parametrize("function, pixels", CASES)
def test_uint8_and_floats_in_0_to_1_are_the_same_image_and_all_else_is_refused(function, pixels):
    assert_same(function, pixels, lambda x: x.astype(jnp.float32) / 255)
    beyond = np.float32(pixels), jnp.float32(pixels), np.float64(pixels) / 127, np.float32(pixels) / 127.5 - 1
    for wrong in beyond:
        with pytest.raises(ValueError, match=r"floats must lie in \[0, 1\]"):
            function(wrong)
    for dtype in (np.int32, np.int64, np.uint16, np.int8, np.bool_, np.complex64):
        with pytest.raises(ValueError, match=f"must be uint8, or float in \\[0, 1\\], got {np.dtype(dtype)}"):
            function(pixels.astype(dtype))


def test_points_beyond_half_precision_keep_their_shape():
    far = np.float16(500 * RANDOM.normal(size=(9, 3)))  # squares of these are infinite in float16
    np.testing.assert_allclose(points.unit_sphere(far), points.unit_sphere(np.float32(far)), atol=1e-6)


def test_within_a_compiled_function_the_dtype_alone_decides():
    white = jax.jit(lambda x: color.adjust_brightness(x, 1.0))(jnp.float32(PIXELS))
    assert float(white.max()) == 1
    with pytest.raises(ValueError, match="got int32"):
        jax.jit(color.solarize)(jnp.int32(PIXELS))
    np.testing.assert_array_equal(jax.jit(color.solarize)(PIXELS), color.solarize(PIXELS))


def test_rounding_above_1_is_let_pass_and_nan_is_not():
    color.solarize(np.full((2, 2, 3), 1.0005, np.float32))
    color.solarize(jnp.full((2, 2, 3), 0.7, jnp.bfloat16))
    color.solarize(np.zeros((0, 2, 3), np.float32))
    with pytest.raises(ValueError, match="nan"):
        color.solarize(np.full((2, 2, 3), np.nan, np.float32))


def test_options_in_units_of_0_to_255_are_refused():
    for wrong in (dict(mean=127.5, std=0.25), dict(mean=(0.4, 116.0, 0.4), std=0.25), dict(mean=0.5, std=58.0)):
        with pytest.raises(ValueError, match=r"units of images in \[0, 1\]"):
            image.plain(**wrong)
    with pytest.raises(ValueError, match="threshold=128"):
        color.solarize(PIXELS, 128)
    with pytest.raises(ValueError, match="solarize_threshold=128"):
        view.check_options(view.ViewOptions(8, solarize_threshold=128))


WAVE = RANDOM.integers(-20000, 20000, (2, 1200)).astype(np.int16)
WAVES = {
    "plain": (recipe(audio.plain(size=600), "audio"), WAVE),
    "views": (recipe(audio.views(size=600, rate=8000, num_views=1), "audio"), WAVE),
    "spectrogram": (recipe(audio.spectrogram(rate=8000, size=1200, frames=4, mels=8), "audio"), WAVE),
    "plain_spectrogram": (recipe(audio.plain_spectrogram(rate=8000, size=1200, frames=4, mels=8), "audio"), WAVE),
    "add_noise": (lambda x: audio.add_noise(KEY, x, 10.0), WAVE[0]),
    "pass_filter": (lambda x: audio.pass_filter(x, 1000.0, True, rate=8000), WAVE[0]),
    "echo": (lambda x: audio.echo(x, 100, 0.5), WAVE[0]),
    "reverberate": (lambda x: audio.reverberate(KEY, x, 300.0), WAVE[0]),
    "shift_pitch": (lambda x: audio.shift_pitch(x, 2.0), WAVE[0]),
    "log_mel": (lambda x: audio.log_mel(x, rate=8000, frames=4, mels=8), WAVE),
}


@pytest.mark.parametrize("name", WAVES)
def test_int16_and_floats_in_minus_1_to_1_are_the_same_sound_and_all_else_is_refused(name):
    function, wave = WAVES[name]
    assert_same(function, wave, lambda x: x.astype(jnp.float32) / 32768, atol=1e-4)
    for dtype in (np.int8, np.uint8, np.int32, np.bool_, np.complex64):
        with pytest.raises(ValueError, match=f"must be int16, or float in \\[-1, 1\\], got {np.dtype(dtype)}"):
            function(wave.astype(dtype))


REAL = {
    "points.plain": (recipe(points.plain(), "points"), (2, 9, 3)),
    "points.views": (recipe(points.views(), "points"), (2, 9, 3)),
    "points.unit_sphere": (points.unit_sphere, (9, 3)),
    "points.rotate": (lambda x: points.rotate(KEY, x), (9, 3)),
    "points.see_part": (lambda x: points.see_part(KEY, x, (0.3, 0.6)), (9, 3)),
    "series.plain": (recipe(series.plain(), "series"), (2, 9, 3)),
    "series.views": (recipe(series.views(), "series"), (2, 9, 3)),
    "series.whole": (recipe(series.whole(), "series"), (2, 9, 3)),
    "series.sensors": (recipe(series.sensors(), "series"), (2, 9, 3)),
    "series.plain_sensors": (recipe(series.plain_sensors(), "series"), (2, 9, 3)),
    "series.at_times": (lambda x: series.at_times(x, jnp.linspace(0, 8, 5)), (9, 3)),
    "series.crop_resize": (lambda x: series.crop_resize(KEY, x, (0.5, 0.8)), (9, 3)),
    "series.time_warp": (lambda x: series.time_warp(KEY, x, 0.3), (9, 3)),
    "series.permute_segments": (lambda x: series.permute_segments(KEY, x, 3), (9, 3)),
    "series.rotate": (lambda x: series.rotate(KEY, x), (9, 3)),
    "series.rescale": (lambda x: series.rescale(KEY, x, 0.3), (9, 3)),
    "series.add_noise": (lambda x: series.add_noise(KEY, x, 0.3), (9, 3)),
    "series.split_sensors": (lambda x: series.split_sensors(x, 3), (2, 9, 6)),
    "table.plain": (
        lambda x: table.plain()(None, {"numbers": x, "categories": np.zeros((len(x), 1), np.int32)}),
        (4, 3),
    ),
    "table.resampled": (
        lambda x: table.resampled(kind="rows")(KEY, {"numbers": x, "categories": np.zeros((len(x), 1), np.int32)}),
        (4, 3),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_numbers_mean_the_same_in_every_dtype(name):
    function, shape = REAL[name]
    values = RANDOM.integers(0, 100, shape)
    for dtype in (np.uint8, np.int64, np.float16):
        assert_same(function, values.astype(dtype), lambda x: x.astype(jnp.float32))
    for dtype in (np.bool_, np.complex64):
        with pytest.raises(ValueError, match=f"must be real numbers, got {np.dtype(dtype)}"):
            function(values.astype(dtype))


NUMBERS = np.zeros((2, 1), np.float32)
WHOLE = {
    "text.plain": (lambda x: text.plain()(None, {"tokens": x, "length": MORE["length"]}), (2, 4)),
    "text.mirror": (
        lambda x: text.mirror(span=1, min_length=3, mask_id=300)(KEY, {"tokens": x, "length": MORE["length"]}),
        (2, 4),
    ),
    "text.span_masked": (lambda x: text.span_masked(KEY, x, 4, span=1, min_length=3, mask_id=300), (4,)),
    "text.length": (lambda x: text.plain()(None, {"tokens": MORE["tokens"], "length": x}), (2,)),
    "image_text.clip": (
        lambda x: image_text.clip(size=8, **UNIT)(KEY, {"image": IMAGES, "tokens": x, "length": MORE["length"]}),
        (2, 4),
    ),
    "table.plain": (lambda x: table.plain()(None, {"numbers": NUMBERS, "categories": x}), (2, 4)),
    "table.unchanged": (lambda x: table.unchanged()(None, {"numbers": NUMBERS, "categories": x}), (2, 4)),
    "audio.length": (lambda x: audio.plain(size=600)(None, {"audio": WAVE, "length": x}), (2,)),
    "series.length": (
        lambda x: series.plain()(None, {"series": np.float32(IMAGES[..., 0]), "length": x % 12}),
        (2,),
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_mean_the_same_in_every_dtype_and_floats_are_refused(name):
    function, shape = WHOLE[name]
    values = RANDOM.integers(5, 100, shape)
    for dtype in (np.uint8, np.int64):
        assert_same(function, values.astype(dtype), lambda x: x.astype(jnp.int32))
    for dtype in (np.float32, np.float16):
        with pytest.raises(ValueError, match=f"must be whole numbers, got {np.dtype(dtype)}"):
            function(values.astype(dtype))
    if name != "series.length":
        with pytest.raises(ValueError, match="up to 4294967295"):
            function(np.full(shape, 2**32 - 1))
