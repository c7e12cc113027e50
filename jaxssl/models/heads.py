"""Projection, prediction, prototype and DINO heads on top of backbone features."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.inits import HeadInit, cut_normal, head_inits, normal, torch_linear
from jaxssl.models.module import Dtype
from jaxssl.models.norm import batch_norm

LAST_NORMS = (None, "batch", "batch_no_affine")


def _unit(x, axis):
    """x / max(||x||, 1e-12) with a finite gradient at zero."""
    square = jnp.sum(jnp.square(x), axis=axis, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))


class MLP(nn.Module):
    """Linear layers with batch norm and ReLU between them; built by `projector` and `predictor`."""

    hidden_dims: tuple
    out_dim: int
    norm: bool
    last_norm: str | None
    bias: bool
    batch_groups: int
    dtype: Any
    init_as: HeadInit = "lecun"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """h [N, D] -> z [N, out_dim] float32."""
        if x.ndim < 2:
            raise ValueError(f"x of shape {tuple(x.shape)}: heads take features [N, D].")
        x = x.astype(self.dtype)

        def linear(dim, use_bias, i, x):
            inits = head_inits(self.init_as, x.shape[-1])
            return nn.Dense(dim, use_bias=use_bias, dtype=self.dtype, name=f"linear{i}", **inits)(x)

        for i, dim in enumerate(self.hidden_dims):
            # A batch norm cancels a bias ahead of it.
            x = linear(dim, self.bias and not self.norm, i, x)
            if self.norm:
                layer = batch_norm(groups=self.batch_groups, dtype=self.dtype, name=f"norm{i}")
                x = layer(x, use_running_average=not train)
            x = nn.relu(x)
        last = len(self.hidden_dims)
        x = linear(self.out_dim, self.bias and self.last_norm is None, last, x)
        if self.last_norm is not None:
            affine = self.last_norm == "batch"
            layer = batch_norm(groups=self.batch_groups, affine=affine, dtype=self.dtype, name=f"norm{last}")
            x = layer(x, use_running_average=not train)
        return x.astype(jnp.float32)


def projector(
    hidden_dims: Sequence[int],
    out_dim: int,
    *,
    norm: bool = True,
    last_norm: str | None = None,
    bias: bool = True,
    batch_groups: int = 1,
    dtype: Dtype = "float32",
    init_as: HeadInit = "lecun",
) -> MLP:
    """MLP head z = W_k relu(BN(W_{k-1} ... h)).

    Shapes of the published heads: SimCLR `(2048,), 128`; MoCo v2 `(2048,), 128, norm=False`; MoCo v3
    `(4096, 4096), 256, last_norm='batch_no_affine', bias=False`; BYOL `(4096,), 256, bias=False`; SimSiam
    `(2048, 2048), 2048, last_norm='batch_no_affine'`; Barlow Twins, VICReg `(8192, 8192), 8192, bias=False`. Of the
    predictors: BYOL `(4096,), 256, bias=False`; SimSiam `(512,), 2048`; MoCo v3 `(4096,), 256,
    last_norm='batch_no_affine', bias=False`.

    Args:
      hidden_dims: widths of the hidden layers; () for a linear head.
      out_dim: width of the output.
      norm: batch norm after each hidden layer.
      last_norm: None, 'batch' or 'batch_no_affine' on the output.
      bias: bias in the layers that no batch norm follows (elsewhere the norm would cancel it).
      batch_groups: batch norm statistics per contiguous group of the batch.
      dtype: compute dtype; parameters and output are float32.
      init_as: how the linear layers start, see `models.inits.head_inits`.

    Returns:
      Flax module (h [N, D], train) -> z [N, out_dim] float32.

    Raises:
      ValueError: on an unknown `last_norm` or `init_as`.
    """
    head_inits(init_as, 1)
    if last_norm not in LAST_NORMS:
        raise ValueError(f"last_norm={last_norm!r}: must be one of {LAST_NORMS}.")
    return MLP(tuple(hidden_dims), out_dim, norm, last_norm, bias, batch_groups, dtype, init_as)


def head_like(params: Mapping[str, Any], stats: Mapping[str, Any], dtype: Dtype = "float32") -> MLP:
    """The head of `projector` to which these parameters and batch statistics belong, for inference.

    Args:
      params, stats: trees of arrays or of shapes.
      dtype: compute dtype.

    Returns:
      Flax module (h [N, D], train) -> z [N, out_dim] float32.

    Raises:
      ValueError: these are not the parameters of such a head.
    """
    layers = sorted((n for n in params if n.startswith("linear")), key=lambda n: int(n.removeprefix("linear") or -1))
    norms = sorted({*params, *stats} - set(layers))
    last = len(layers) - 1
    if not layers or set(layers) | set(norms) > {f"{kind}{i}" for kind in ("linear", "norm") for i in range(last + 1)}:
        raise ValueError(f"params with {sorted(params)}: are not those of a head of linear layers.")
    dims = [params[name]["kernel"].shape[-1] for name in layers]
    ends = None if f"norm{last}" not in norms else "batch" if f"norm{last}" in params else "batch_no_affine"
    norm, bias = "norm0" in norms and last > 0, any("bias" in params[name] for name in layers)
    return projector(tuple(dims[:-1]), dims[-1], norm=norm, last_norm=ends, bias=bias, dtype=dtype)


# The same head in the predicting branch, p = W_2 relu(BN(W_1 z)).
predictor = projector


class Prototypes(nn.Module):
    """Cosine scores against learned prototypes, scores_nk = z_n . c_k / (||z_n|| ||c_k||), in [-1, 1].

    Parameter `kernel` [D, K]; its columns are normalised in the call, so their length does not matter.

    Attributes:
      num: K.
      init_as: how the kernel starts, see `models.inits.head_inits`.
    """

    num: int
    init_as: HeadInit = "lecun"

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        """z [N, D] -> scores [N, K] float32."""
        z = z.astype(jnp.float32)
        init = head_inits(self.init_as, z.shape[-1])["kernel_init"]
        kernel = self.param("kernel", init, (z.shape[-1], self.num), jnp.float32)
        return _unit(z, -1) @ _unit(kernel, 0)


class DINOHead(nn.Module):
    """DINO head: MLP with GELU, L2-normalised bottleneck, weight-normalised last layer with g = 1.

    logits_nk = b_n . w_k / (||b_n|| ||w_k||), b = MLP(h).

    Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021, arXiv:2104.14294,
    https://arxiv.org/abs/2104.14294

    Attributes:
      hidden: width of the hidden layers.
      bottleneck: width of b.
      out_dim: number of logits K.
      layers: linear layers ahead of the last one.
      norm: batch norm after each hidden layer.
      dtype: compute dtype of the MLP; bottleneck and logits are float32.
      init_as: 'truncated', all layers a normal of 0.02 cut at two deviations; 'dino', as the release: a normal of 0.02, and
        the last layer uniform in +-1 / sqrt(b), 1/16 for b = 256.
    """

    hidden: int = 2048
    bottleneck: int = 256
    out_dim: int = 65536
    layers: int = 3
    norm: bool = False
    dtype: Any = "float32"
    init_as: Literal["truncated", "dino"] = "truncated"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """h [..., D] -> logits [..., K] float32."""
        if self.layers < 1:
            raise ValueError(f"layers={self.layers}: must be at least 1 for a DINO head.")
        if self.init_as not in ("truncated", "dino"):
            raise ValueError(f"init_as={self.init_as!r}: must be 'truncated' or 'dino' for a DINO head.")
        init, last_init = (
            (cut_normal, cut_normal) if self.init_as == "truncated" else (normal, torch_linear(self.bottleneck))
        )
        x = x.astype(self.dtype)
        for i in range(self.layers - 1):
            x = nn.Dense(self.hidden, use_bias=not self.norm, kernel_init=init, dtype=self.dtype, name=f"linear{i}")(x)
            if self.norm:
                x = batch_norm(dtype=self.dtype, name=f"norm{i}")(x, use_running_average=not train)
            x = nn.gelu(x, approximate=False)
        x = nn.Dense(self.bottleneck, kernel_init=init, dtype=self.dtype, name=f"linear{self.layers - 1}")(x)
        kernel = self.param("last_layer", last_init, (self.bottleneck, self.out_dim), jnp.float32)
        return _unit(x.astype(jnp.float32), -1) @ _unit(kernel, 0)
