"""Initial values of linear maps and tokens, as the released recipes draw them."""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax

HeadInit = Literal["lecun", "torch", "haiku", "simclr"]
TransformerInit = Literal["truncated", "dino", "mae", "moco_v3"]

# Cut at two deviations, which leaves a deviation of 0.88 * 0.02 = 0.0176.
cut_normal = nn.initializers.truncated_normal(0.02)
# What torch's trunc_normal_(std=0.02) draws, which cuts at -2 and 2, a hundred deviations away.
normal = nn.initializers.normal(0.02)
xavier = nn.initializers.xavier_uniform()
zeros = nn.initializers.zeros


def uniform(bound: float) -> Any:
    """Uniform in -bound .. bound.

    Args:
      bound: the largest value.
    """
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def torch_linear(fan_in: int) -> Any:
    """torch's own start of linear maps and convolutions, of kernels and biases: variance 1 / (3 fan_in).

    Args:
      fan_in: number of inputs.
    """
    return uniform(fan_in**-0.5)


def head_inits(init: HeadInit, fan_in: int) -> dict[str, Any]:
    """`kernel_init` and `bias_init` of a linear map of a head with `fan_in` inputs.

    Args:
      init: 'lecun', a normal of variance 1 / fan_in, bias 0; 'torch', see `torch_linear`; 'haiku', a normal of variance
        1 / fan_in cut at two deviations, which leaves 0.77 of it, bias 0; 'simclr', a normal of deviation 0.01, bias 0.
      fan_in: number of inputs.

    Raises:
      ValueError: another `init`.
    """
    scaled = lambda scale: nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
    kernels = {
        "lecun": nn.initializers.lecun_normal(),
        "torch": torch_linear(fan_in),
        "haiku": scaled(0.87962566103423978**2),
        "simclr": nn.initializers.normal(0.01),
    }
    if init not in kernels:
        raise ValueError(f"init_as={init!r}: must be one of {tuple(kernels)}.")
    return dict(kernel_init=kernels[init], bias_init=torch_linear(fan_in) if init == "torch" else zeros)


class Start(NamedTuple):
    """Initialisers of a transformer over patches."""

    linear: Any
    qkv: Any
    patch: Any  # of the patches' kernel [fan_in, D]
    patch_bias: Any
    tokens: Any  # positions, registers, mask tokens
    cls: Any


def _qkv_apart(key, shape, dtype):
    """Xavier of each of the three maps in a kernel [D, 3 D]."""
    return uniform((6 / (shape[0] + shape[1] // 3)) ** 0.5)(key, shape, dtype)


def transformer_inits(init: TransformerInit, fan_in: int = 1) -> Start:
    """The initial values of a transformer.

    Args:
      init: 'truncated', a normal of 0.02 cut at two deviations, patches by Xavier; or those of a release. 'dino': a
        normal of 0.02, patches as torch's convolutions start. 'mae': Xavier, tokens a normal of 0.02. 'moco_v3': Xavier,
        queries, keys and values each by itself; the class token a normal of 1e-6.
      fan_in: values of a patch.

    Raises:
      ValueError: another `init`.

    Sources: github.com/facebookresearch/dino (vision_transformer.py), mae (models_mae.py), moco-v3 (vits.py).
    """
    conv = torch_linear(fan_in)
    starts = {
        "truncated": Start(cut_normal, cut_normal, xavier, zeros, cut_normal, cut_normal),
        "dino": Start(normal, normal, conv, conv, normal, normal),
        "mae": Start(xavier, xavier, xavier, conv, normal, normal),
        "moco_v3": Start(xavier, _qkv_apart, xavier, zeros, normal, nn.initializers.normal(1e-6)),
    }
    if init not in starts:
        raise ValueError(f"init_as={init!r}: must be one of {tuple(starts)}.")
    return starts[init]
