"""Recipes of multi-crop: a few views of large crops and many small views of small crops.

The options are those of jaxssl.augment.image; names that begin with `global_` or `local_` are for the large or the
small views. The result has `views`, two arrays float32 [N, h, w, C], and,
unless `num_local` is 0, `local_views`, `num_local` arrays float32 [N, h2, w2, C]; with `return_boxes` also `boxes`, `flips`,
`local_boxes` and `local_flips`.
"""

from collections.abc import Sequence

from jaxssl.augment.view import (
    ViewOptions,
    check_count,
    check_probability,
    check_probability_pair,
    check_range,
    check_size,
    view_augmentation,
)
from jaxssl.core import Augment


def dino(
    *,
    global_size: int | tuple[int, int],
    local_size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    num_local: int = 8,
    global_scale: tuple[float, float] = (0.4, 1.0),
    local_scale: tuple[float, float] = (0.05, 0.4),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bicubic",
    flip_probability: float = 0.5,
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1),
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    global_blur_probability: tuple[float, float] = (1.0, 0.1),
    local_blur_probability: float = 0.5,
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    global_solarize_probability: tuple[float, float] = (0.0, 0.2),
    return_boxes: bool = False,
) -> Augment:
    """Two global views of DINO, blurred and solarised as in BYOL, and `num_local` local ones.

    `global_blur_probability` and `global_solarize_probability` are pairs, one number for each global view.
    The published blur is not cut off; for small views a wider `blur_kernel` than the default comes closer.

    Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, arXiv:2104.14294,
      https://arxiv.org/abs/2104.14294
    """
    check_probability_pair("global_blur_probability", global_blur_probability)
    check_probability_pair("global_solarize_probability", global_solarize_probability)
    check_probability("local_blur_probability", local_blur_probability)
    local = ViewOptions(
        local_size,
        local_scale,
        crop_ratio,
        interpolation,
        flip_probability,
        jitter,
        jitter_probability,
        grayscale_probability,
        local_blur_probability,
        blur_sigma,
        blur_kernel,
    )
    large = []
    for blur, solarize in zip(global_blur_probability, global_solarize_probability, strict=True):
        options = local._replace(
            size=global_size, crop_scale=global_scale, blur_probability=blur, solarize_probability=solarize
        )
        large.append((options, 1))
    return _multicrop(large, local, num_local, mean, std, return_boxes)


def swav(
    *,
    global_size: int | tuple[int, int],
    local_size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    num_local: int = 6,
    global_scale: tuple[float, float] = (0.14, 1.0),
    local_scale: tuple[float, float] = (0.05, 0.14),
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
    flip_probability: float = 0.5,
    jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2),
    jitter_probability: float = 0.8,
    grayscale_probability: float = 0.2,
    blur_probability: float = 0.5,
    blur_sigma: tuple[float, float] = (0.1, 2.0),
    blur_kernel: int | None = None,
    return_boxes: bool = False,
) -> Augment:
    """Two global views of SwAV and `num_local` local ones, all with the colours and blur of SimCLR.

    Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, 2020,
      arXiv:2006.09882, https://arxiv.org/abs/2006.09882
    """
    local = ViewOptions(
        local_size,
        local_scale,
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
    large = [(local._replace(size=global_size, crop_scale=global_scale), 2)]
    return _multicrop(large, local, num_local, mean, std, return_boxes)


def _multicrop(large, local, num_local, mean, std, return_boxes):
    check_count("num_local", num_local, least=0)
    check_size("global_size", large[0][0].size)
    check_size("local_size", local.size)
    check_range("global_scale", large[0][0].crop_scale, most=1.0)
    check_range("local_scale", local.crop_scale, most=1.0)
    groups = {"": large} | ({"local_": [(local, num_local)]} if num_local else {})
    return view_augmentation(groups, mean=mean, std=std, return_boxes=return_boxes)
