"""Two encoders side by side, one for images and one for texts."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxssl.build import build
from jaxssl.models.module import Dtype


class TwoTower(nn.Module):
    """An image encoder and a text encoder; built by `two_tower`."""

    image: nn.Module
    text: nn.Module
    dtype: Any

    def __call__(self, x, train):
        """x = {'image': [N, H, W, C], 'tokens': [N, L], 'mask': [N, L]} -> {'image': [N, D], 'text': [N, E]}.

        A side whose input is not in x is not in the result.
        """
        out = {}
        if "image" in x:
            out["image"] = self.image(x["image"], train)
        if "tokens" in x:
            out["text"] = self.text({"tokens": x["tokens"], "mask": x["mask"]}, train)
        if not out:
            raise ValueError(f"two_tower takes a dict with 'image', or 'tokens' and 'mask', or all; got {sorted(x)}")
        return out


def two_tower(*, image: Mapping[str, Any], text: Mapping[str, Any], dtype: Dtype = "float32", remat: bool = False):
    """An image encoder and a text encoder without shared parameters.

    Args:
      image, text: dict(name='models.convnet', options): any encoder of images [N, H, W, C], and any of
        {'tokens', 'mask'}.
      dtype, remat: for both, unless one has its own.

    Returns:
      Flax module ({'image', 'tokens', 'mask'}, train) -> {'image': features [N, D], 'text': features [N, E]}.

    Raises:
      ValueError, TypeError: an unknown encoder or option, naming it.
    """
    for side, spec in (("image", image), ("text", text)):
        if "name" not in spec:
            raise ValueError(f"two_tower: {side} must be dict(name='models....', options), got {spec!r}")
    common = dict(dtype=dtype, remat=remat)
    return TwoTower(build({**common, **image}), build({**common, **text}), dtype)
