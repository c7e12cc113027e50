"""Views of images with texts: only the image is varied.

The batch has `image` [N, H, W, C], uint8 or float in [0, 1], and `tokens` int [N, L] with `length` int [N]. A view is a
dict: `image` float32 [N, h, w, C], standardised; `tokens` [N, L]; `mask` bool [N, L], True = no padding. All other
entries of the batch are kept. Options of images are those of `augment.image`.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxssl.augment import image as images
from jaxssl.augment.dtypes import integer
from jaxssl.augment.view import ViewOptions, view_augmentation
from jaxssl.core import Augment


def clip(
    *,
    size: int | tuple[int, int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    crop_scale: tuple[float, float] = (0.9, 1.0),
    flip_probability: float = 0.0,
    interpolation: str = "bicubic",
) -> Augment:
    """The view of CLIP: a random square crop of the image. `views` is a tuple of this one view.

    Args:
      flip_probability: by default 0, because captions may speak of left and right.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021,
      arXiv:2103.00020, https://arxiv.org/abs/2103.00020 (section 2.4)
    """
    options = ViewOptions(size, crop_scale, (1.0, 1.0), interpolation, flip_probability)
    crop = view_augmentation({"": [(options, 1)]}, mean=mean, std=std, return_boxes=False)

    def augment(key, batch):
        rest = crop(key, batch)
        view = {"image": rest.pop("views")[0], **_take_text(rest)}
        return rest | {"views": (view,)}

    return augment


def plain(
    *,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    size: int | tuple[int, int] | None = None,
    crop_fraction: float = 1.0,
    interpolation: str = "bilinear",
) -> Augment:
    """Preprocessing for evaluation, as `augment.image.plain`: `x` is a view; without `tokens` it has the image only."""
    of_image = images.plain(mean=mean, std=std, size=size, crop_fraction=crop_fraction, interpolation=interpolation)

    def preprocess(key, batch):
        rest = of_image(key, batch)
        view = {"image": rest.pop("x")}
        return rest | {"x": view | _take_text(rest) if "tokens" in rest else view}

    return preprocess


def _take_text(rest):
    """{'tokens', 'mask'}, taken out of the batch."""
    for name in ("tokens", "length"):
        if name not in rest:
            raise ValueError(f"the batch has no '{name}'; it has {sorted(rest)}")
    tokens, length = integer(rest.pop("tokens"), "tokens"), integer(rest.pop("length"), "length")
    return {"tokens": tokens, "mask": jnp.arange(tokens.shape[1]) < length[:, None]}
