"""An image encoder and a text encoder: `models.towers` of two, with the names that CLIP's configs use."""

from collections.abc import Mapping
from typing import Any

from jaxssl.models.module import Dtype
from jaxssl.models.towers import Towers, towers


def two_tower(
    *, image: Mapping[str, Any], text: Mapping[str, Any], dtype: Dtype = "float32", remat: bool = False
) -> Towers:
    """An image encoder and a text encoder without shared parameters.

    Args:
      image, text: dict(name='models.convnet', options): any encoder of images [N, H, W, C], and any of
        {'tokens', 'mask'}; or modules.
      dtype, remat: for both, unless one has its own.

    Returns:
      Flax module ({'image', 'tokens', 'mask'}, train) -> {'image': features [N, D], 'text': features [N, E]}. A side whose
      input is not in x is not in the result.

    Raises:
      ValueError, TypeError: an unknown encoder or option, naming it.
    """
    inputs = dict(image="image", text=("tokens", "mask"))
    return towers(parts=dict(image=image, text=text), inputs=inputs, dtype=dtype, remat=remat)
