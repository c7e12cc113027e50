"""Published recipes of image views, and the preprocessing for evaluation.

Every factory returns `augment(key, batch) -> batch`. The batch has `image` [N, H, W, C], uint8 or float in
[0, 1], C = 1 or 3; the result has `views`, a tuple of float32 [N, h, w, C], in its place and keeps all other entries.
Shared options:

  size: height = width of a view in pixels, or (height, width).
  mean, std: of images in [0, 1], one number or one for each channel; a view ends as (view - mean) / std.
  crop_scale, crop_ratio: ranges of the area of a crop, as a fraction of the image, and of width / height.
  interpolation: 'bilinear' or 'bicubic', both with antialiasing.
  num_views: number of views.
  flip_probability: of a flip left to right. jitter_probability, grayscale_probability, blur_probability: of each step.
  jitter: strengths of brightness, contrast, saturation (>= 0) and hue (0 to 0.5).
  blur_sigma, blur_kernel: range in pixels of the view, and odd number of taps (None: a tenth of the side).
  return_boxes: also return `boxes` [V, N, 4] (y0, x0, height, width in input pixels), `flips` bool [V, N].

On one channel hue, saturation and greyscale do nothing. An option out of range raises ValueError by name.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxssl.augment import resample
from jaxssl.augment.view import (
    ViewOptions,
    check_count,
    check_probability_pair,
    check_size,
    check_statistics,
    standardize,
    to_unit_float,
    view_augmentation,
)
from jaxssl.core import Augment


def simclr(
    *,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    num_views: int = 2,
    crop_scale: tuple[float, float] = (0.08, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bicubic",
    flip_probability: float = 0.5,
    color_strength: float = 1.0,
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_probability: float = 0.5,
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    return_boxes: bool = False,
) -> Augment:
    """Views of SimCLR: crop, flip, jitter (0.8, 0.8, 0.8, 0.2) * `color_strength`, greyscale, blur.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, 2020,
      arXiv:2002.05709, https://arxiv.org/abs/2002.05709 (appendix A)
    """
    check_count("num_views", num_views, least=1)
    if not 0 <= color_strength <= 2.5:
        raise ValueError(f"color_strength={color_strength}: must be in [0, 2.5].")
    options = ViewOptions(
        size,
        crop_scale,
        crop_ratio,
        interpolation,
        flip_probability,
        jitter=tuple(color_strength * s for s in (0.8, 0.8, 0.8, 0.2)),
        jitter_probability=jitter_probability,
        grayscale_probability=grayscale_probability,
        blur_probability=blur_probability,
        blur_sigma=blur_sigma,
        blur_kernel=blur_kernel,
    )
    return view_augmentation({"": [(options, num_views)]}, mean=mean, std=std, return_boxes=return_boxes)


def byol(
    *,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    crop_scale: tuple[float, float] = (0.08, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bicubic",
    flip_probability: float = 0.5,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1),
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_probability: tuple[float, float] = (1.0, 0.1),
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    solarize_probability: tuple[float, float] = (0.0, 0.2),
    return_boxes: bool = False,
) -> Augment:
    """Two unlike views of BYOL, Barlow Twins, VICReg: the first blurred, the second at times solarised.

    `blur_probability` and `solarize_probability` are pairs, one number for each view.

    Source: Grill et al., Bootstrap Your Own Latent, 2020, arXiv:2006.07733, https://arxiv.org/abs/2006.07733
      (appendix B); Zbontar et al., Barlow Twins, 2021, arXiv:2103.03230, https://arxiv.org/abs/2103.03230
    """
    check_probability_pair("blur_probability", blur_probability)
    check_probability_pair("solarize_probability", solarize_probability)
    group = []
    for blur, solarize in zip(blur_probability, solarize_probability, strict=True):
        options = ViewOptions(
            size,
            crop_scale,
            crop_ratio,
            interpolation,
            flip_probability,
            jitter,
            jitter_probability,
            grayscale_probability,
            blur_probability=blur,
            blur_sigma=blur_sigma,
            blur_kernel=blur_kernel,
            solarize_probability=solarize,
        )
        group.append((options, 1))
    return view_augmentation({"": group}, mean=mean, std=std, return_boxes=return_boxes)


def moco_v2(
    *,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    num_views: int = 2,
    crop_scale: tuple[float, float] = (0.2, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
    flip_probability: float = 0.5,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1),
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_probability: float = 0.5,
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    return_boxes: bool = False,
) -> Augment:
    """Views of MoCo v2: those of SimCLR with larger crops and weaker jitter.

    Source: Chen et al., Improved Baselines with Momentum Contrastive Learning, 2020, arXiv:2003.04297,
      https://arxiv.org/abs/2003.04297
    """
    check_count("num_views", num_views, least=1)
    options = ViewOptions(
        size,
        crop_scale,
        crop_ratio,
        interpolation,
        flip_probability,
        jitter,
        jitter_probability,
        grayscale_probability,
        blur_probability,
        blur_sigma,
        blur_kernel,
    )
    return view_augmentation({"": [(options, num_views)]}, mean=mean, std=std, return_boxes=return_boxes)


def mae(
    *,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    num_views: int = 1,
    crop_scale: tuple[float, float] = (0.2, 1.0),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bicubic",
    flip_probability: float = 0.5,
    return_boxes: bool = False,
) -> Augment:
    """The view of masked image modelling: crop and flip only.

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
      https://arxiv.org/abs/2111.06377 (appendix A)
    """
    check_count("num_views", num_views, least=1)
    options = ViewOptions(size, crop_scale, crop_ratio, interpolation, flip_probability)
    return view_augmentation({"": [(options, num_views)]}, mean=mean, std=std, return_boxes=return_boxes)


def plain(
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    size: int | tuple[int, int] | None = None,
    crop_fraction: float = 1.0,
    interpolation: str = "bilinear",
) -> Augment:
    """Preprocessing for evaluation, deterministic: centre crop, resize, standardise. The key is not used.

    With `size` None the image keeps its pixels. Otherwise the largest centred box with the aspect ratio of
    `size`, its sides times `crop_fraction`, is resized to `size`; 224 with crop_fraction 0.875 is the usual
    resize to 256 and centre crop to 224.

    Returns:
      `preprocess(key, batch) -> batch` with `x` float32 [N, h, w, C] in the place of `image`; all other entries are
      kept.
    """
    mean, std = check_statistics(mean, std)
    if not 0 < crop_fraction <= 1:
        raise ValueError(f"crop_fraction={crop_fraction}: must be in (0, 1].")
    resample.check_interpolation(interpolation)
    size = None if size is None else check_size("size", size)

    def preprocess(key, batch):
        del key
        image = to_unit_float(batch)
        if size is not None:
            image = _centre_resize(image, size, crop_fraction, interpolation)
        rest = {name: value for name, value in batch.items() if name != "image"}
        return rest | {"x": standardize(image, mean, std)}

    return preprocess


def _centre_resize(images, size, crop_fraction, interpolation):
    height, width = images.shape[1:3]
    unit = crop_fraction * min(height / size[0], width / size[1])  # input pixels per output pixel
    h, w = unit * size[0], unit * size[1]
    box = jnp.array([(height - h) / 2, (width - w) / 2, h, w], jnp.float32)

    def resize(image):
        return resample.crop_and_resize(image, box, size, interpolation=interpolation)

    return jax.vmap(resize)(images)
