"""Normalisation layers shared by the networks: global and grouped batch norm, group norm."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.module import Dtype

MOMENTUM = 0.9
EPS = 1e-5


class GroupedBatchNorm(nn.Module):
    """Batch norm with separate statistics for each contiguous group of the batch.

    y = (x - mean_g) / sqrt(var_g + eps) * scale + bias, g = the group of the row. With num_groups the number
    of devices of a published recipe this is its per-device batch norm, whatever the real devices. The running
    statistics take the average of mean_g and var_g over the groups. Parameters and statistics are named as in
    flax.linen.BatchNorm, so the two may be exchanged.

    Attributes:
      num_groups: number of groups; must divide N when training.
      momentum: m in new = m * old + (1 - m) * value.
      use_scale, use_bias: learn an affine map.
    """

    num_groups: int
    momentum: float = MOMENTUM
    epsilon: float = EPS
    use_scale: bool = True
    use_bias: bool = True
    scale_init: Any = nn.initializers.ones
    dtype: Any = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool) -> jax.Array:
        """Normalises x [N, ..., D] -> [N, ..., D] in `dtype`."""
        dim = x.shape[-1]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (dim,), jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, (dim,), jnp.float32)
        scale = self.param("scale", self.scale_init, (dim,), jnp.float32) if self.use_scale else 1.0
        bias = self.param("bias", nn.initializers.zeros, (dim,), jnp.float32) if self.use_bias else 0.0
        h = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if use_running_average:
            h = (h - running_mean.value) * jax.lax.rsqrt(running_var.value + self.epsilon)
            return (h * scale + bias).astype(self.dtype)
        if self.num_groups < 1 or x.shape[0] % self.num_groups:
            raise ValueError(f"num_groups={self.num_groups}: must divide the batch size {x.shape[0]}.")
        h = rearrange(h, "(g n) ... -> g n ...", g=self.num_groups)
        axes = tuple(range(1, h.ndim - 1))
        mean = h.mean(axes, keepdims=True)
        var = jnp.square(h - mean).mean(axes, keepdims=True)
        if not self.is_initializing():
            for running, value in ((running_mean, mean), (running_var, var)):
                average = value.reshape(self.num_groups, dim).mean(0).astype(jnp.float32)
                running.value = self.momentum * running.value + (1 - self.momentum) * average
        h = rearrange((h - mean) * jax.lax.rsqrt(var + self.epsilon), "g n ... -> (g n) ...")
        return (h * scale + bias).astype(self.dtype)


def batch_norm(
    *, groups: int = 1, affine: bool = True, zero_init: bool = False, dtype: Dtype = "float32", name: str | None = None
) -> nn.BatchNorm | GroupedBatchNorm:
    """Batch norm over all axes but the last, float32 statistics of the global batch.

    The layer is called with (x, use_running_average).

    Args:
      groups: 1 for global statistics, else the `num_groups` of GroupedBatchNorm.
      affine: learn scale and bias.
      zero_init: start the scale at 0 instead of 1.
      dtype: dtype of the output.
      name: of the Flax module.
    """
    options = dict(
        momentum=MOMENTUM,
        epsilon=EPS,
        use_scale=affine,
        use_bias=affine,
        dtype=dtype,
        name=name,
        scale_init=nn.initializers.zeros if zero_init else nn.initializers.ones,
    )
    return nn.BatchNorm(**options) if groups == 1 else GroupedBatchNorm(num_groups=groups, **options)


def norm(
    kind: str,
    channels: int,
    train: bool,
    *,
    batch_groups: int = 1,
    zero_init: bool = False,
    dtype: Dtype = "float32",
    name: str | None = None,
) -> Callable[[jax.Array], jax.Array]:
    """The normalisation layer `kind` as a callable x [N, ..., D] -> [N, ..., D].

    Args:
      kind: 'batch' (see `batch_norm`), or 'group': group norm, gcd(32, D) groups, no batch statistics.
      channels: D.
      train: use the statistics of the batch and update the running ones.
      batch_groups: for 'batch': number of batch groups with their own statistics.
      zero_init: start the scale at 0.
      dtype, name: as in `batch_norm`.

    Raises:
      ValueError: on an unknown kind.
    """
    if kind == "batch":
        layer = batch_norm(groups=batch_groups, zero_init=zero_init, dtype=dtype, name=name)
        return functools.partial(layer, use_running_average=not train)
    if kind == "group":
        scale_init = nn.initializers.zeros if zero_init else nn.initializers.ones
        groups = math.gcd(32, channels)
        return nn.GroupNorm(num_groups=groups, epsilon=EPS, scale_init=scale_init, dtype=dtype, name=name)
    raise ValueError(f"norm={kind!r}: must be 'batch' or 'group'.")
