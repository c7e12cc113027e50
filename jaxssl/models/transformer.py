"""Pre-norm transformer blocks, with self-attention and with attention to a context."""

from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.inits import cut_normal
from jaxssl.models.linear import Dense
from jaxssl.models.tokens import check_layers

LAYER_NORM_EPS = 1e-6

linear_init = cut_normal


class DropPath(nn.Module):
    """Drops the branch of whole examples, y = x b / (1 - rate), b ~ Bernoulli(1 - rate); E[y] = x."""

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if not train or self.rate == 0:
            return x
        if not self.has_rng("dropout"):
            raise ValueError(f"drop_path={self.rate}: needs a random key in training; pass key=... to forward.")
        keep = 1 - self.rate
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return jnp.where(kept, x / keep, 0)


def drophead(key: jax.Array, x: jax.Array, rate: float) -> jax.Array:
    """Drops whole attention heads of examples: y_h = x_h b_h H / sum_h b_h, b_h ~ Bernoulli(1 - rate); E[y] = x.

    Args:
      key: random key.
      x: outputs of the heads, [N, L, H, d].
      rate: probability with which a head is dropped, in [0, 1).

    Returns:
      Like x. An example whose heads would all be dropped keeps them all.

    Source: Zhou et al., Scheduled DropHead: A Regularization Method for Transformer Models, 2020,
    arXiv:2004.13342, https://arxiv.org/abs/2004.13342
    """
    kept = jax.random.bernoulli(key, 1 - rate, (x.shape[0], x.shape[2]))
    kept = kept | ~kept.any(axis=1, keepdims=True)
    scale = kept * (x.shape[2] / kept.sum(axis=1, keepdims=True))
    return x * scale[:, None, :, None].astype(x.dtype)


def attention_implementation(q: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None) -> str:
    """'cudnn', flash attention, where the queries [N, L, H, d] allow it; else 'xla'.

    cuDNN takes 16 bits, d a multiple of 8 up to 128, on CUDA GPUs from compute capability 8.0 on. Masks stay with XLA:
    for odd lengths cuDNN has no gradient with one. So do biases: its gradient of one is for batches of 1 only.
    """
    fits = mask is None and bias is None and q.dtype in (jnp.bfloat16, jnp.float16)
    fits = fits and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128
    if not fits or jax.default_backend() != "gpu":
        return "xla"
    first = jax.devices()[0]
    cuda = "cuda" in first.client.platform_version.lower()
    return "cudnn" if cuda and float(first.compute_capability) >= 8 else "xla"


def attention_weights(
    q: jax.Array, k: jax.Array, mask: jax.Array | None = None, bias: jax.Array | None = None
) -> jax.Array:
    """Maps of attention, softmax(q k^T / sqrt(d) + bias) over the keys.

    Args:
      q: queries [N, L, H, d].
      k: keys [N, S, H, d].
      mask: bool, broadcast to [N, H, L, S], True = the query sees the key; None = all seen. A query that sees none spreads
        its weight evenly.
      bias: added to the logits, broadcast to [N, H, L, S].

    Returns:
      float32 [N, H, L, S]; rows add up to 1.
    """
    logits = jnp.einsum("nlhd,nshd->nhls", q, k, preferred_element_type=jnp.float32) * q.shape[-1] ** -0.5
    if bias is not None:
        logits = logits + bias.astype(jnp.float32)
    if mask is not None:
        logits = jnp.where(mask, logits, 0.7 * jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(logits, axis=-1)


class Attention(nn.Module):
    """Multi-head attention, softmax(q k^T / sqrt(D / heads) + bias) v and a linear map, on [N, L, D].

    Without a context, keys and values are those of x itself (parameters `qkv`, `proj`); with one, [N, S, E], those of the
    context (parameters `q`, `kv`, `proj`).

    Attributes:
      num_heads: must divide D.
      qkv_bias: biases in the maps to queries, keys and values.
      inits: initialisers of the first kernels and of the last.
      use_bias: a bias in the last map.
      drophead: rate at which attention heads of an example are dropped.
      return_weights: the result is (output, maps); the output is the same.

    Call: (x, context=None, mask=None, bias=None, train=False). `mask`: bool, broadcast to [N, heads, L, S], True = the
    query (third axis) sees the key (fourth); None = all seen. `bias`: broadcast to [N, heads, L, S], may be learned. The
    maps are `attention_weights`, float32 [N, heads, L, S].
    """

    num_heads: int
    qkv_bias: bool
    dtype: Any
    inits: Any = (linear_init, linear_init)
    use_bias: bool = True
    drophead: float = 0.0
    return_weights: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        context: jax.Array | None = None,
        mask: jax.Array | None = None,
        bias: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        dim, (first, last) = x.shape[-1], self.inits
        options = dict(use_bias=self.qkv_bias, kernel_init=first, dtype=self.dtype)
        if context is None:
            qkv = Dense(3 * dim, name="qkv", **options)(x)
            q, k, v = rearrange(qkv, "n l (three h d) -> three n l h d", three=3, h=self.num_heads)
        else:
            q = rearrange(Dense(dim, name="q", **options)(x), "n l (h d) -> n l h d", h=self.num_heads)
            kv = Dense(2 * dim, name="kv", **options)(context)
            k, v = rearrange(kv, "n s (two h d) -> two n s h d", two=2, h=self.num_heads)
        implementation = attention_implementation(q, mask, bias)
        bias = None if bias is None else bias.astype(q.dtype)
        h = jax.nn.dot_product_attention(q, k, v, bias=bias, mask=mask, implementation=implementation)
        if train and self.drophead:
            h = drophead(self.make_rng("dropout"), h, self.drophead)
        h = rearrange(h, "n l h d -> n l (h d)")
        h = Dense(dim, use_bias=self.use_bias, kernel_init=last, dtype=self.dtype, name="proj")(h)
        return (h, attention_weights(q, k, mask, bias)) if self.return_weights else h


class TransformerBlock(nn.Module):
    """x + drop(gamma_1 Attention(LN(x))), then x + drop(gamma_2 MLP(LN(x))), exact GELU, on [N, L, D].

    Attributes:
      num_heads: must divide D.
      mlp_ratio: hidden width of the MLP over D.
      qkv_bias: bias in the q, k, v projections.
      layer_scale: None, or the initial value of the learned gamma [D].
      drop_path: rate at which the branch of an example is dropped.
      inits: initialisers of the kernels qkv, proj, fc1, fc2; by default a normal of 0.02
        cut at two deviations.
      use_bias: biases in the linear maps other than qkv, and in the norms.
      dropout: rate at which single entries of a branch are dropped.
      drophead: rate at which attention heads of an example are dropped.
      return_weights: the result is (x, maps of attention [N, heads, L, L]).

    Call: (x, train, mask=None, bias=None); mask is boolean, broadcastable to [N, heads, L, L], True = may attend; bias is
    added to the logits.
    """

    num_heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layer_scale: float | None = None
    drop_path: float = 0.0
    dtype: Any = "float32"
    inits: Any = (linear_init,) * 4
    use_bias: bool = True
    dropout: float = 0.0
    drophead: float = 0.0
    return_weights: bool = False

    def _add(self, x, branch, train, index):
        branch = nn.Dropout(self.dropout, name=f"dropout{index}")(branch, deterministic=not train)
        if self.layer_scale is not None:
            init = nn.initializers.constant(self.layer_scale)
            branch = branch * self.param(f"ls{index}", init, (x.shape[-1],), jnp.float32).astype(self.dtype)
        return x + DropPath(self.drop_path, name=f"drop{index}")(branch, train)

    def _norm(self, x, name):
        return nn.LayerNorm(LAYER_NORM_EPS, use_bias=self.use_bias, dtype=self.dtype, name=name)(x)

    def _attend(self, x, train, index, name, norm, **inputs):
        """x with one branch of attention, and its maps or None."""
        options = (self.num_heads, self.qkv_bias, self.dtype, self.inits[:2], self.use_bias, self.drophead)
        h = Attention(*options, self.return_weights, name=name)(self._norm(x, norm), train=train, **inputs)
        h, weights = h if self.return_weights else (h, None)
        return self._add(x, h, train, index), weights

    def _mlp(self, x, train):
        dim, (_, _, fc1, fc2) = x.shape[-1], self.inits
        options = dict(use_bias=self.use_bias, dtype=self.dtype)
        h = Dense(round(dim * self.mlp_ratio), kernel_init=fc1, name="fc1", **options)(self._norm(x, "norm2"))
        h = nn.gelu(h, approximate=False)
        return self._add(x, Dense(dim, kernel_init=fc2, name="fc2", **options)(h), train, 2)

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool, mask: jax.Array | None = None, bias: jax.Array | None = None
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        x, weights = self._attend(x, train, 1, "attn", "norm1", mask=mask, bias=bias)
        x = self._mlp(x, train)
        return (x, weights) if self.return_weights else x


class CrossBlock(TransformerBlock):
    """A `TransformerBlock` after attention to a context: x + drop(gamma_0 Attention(LN(x), context)).

    The context is not normalised: it is an encoder's tokens after its final norm. Its width may differ from that of x.

    Attributes:
      self_attention: False leaves the self-attention out.
      return_weights: the result is (x, maps of attention to the context [N, heads, L, S]).

    Call: (x, context, train, mask=None, context_mask=None, bias=None); x [N, L, D], context [N, S, E]; mask and bias are
    those of the self-attention, context_mask: bool, broadcastable to [N, heads, L, S], True = may attend.
    """

    self_attention: bool = True

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        context: jax.Array,
        train: bool,
        mask: jax.Array | None = None,
        context_mask: jax.Array | None = None,
        bias: jax.Array | None = None,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        x, weights = self._attend(x, train, 0, "cross", "norm0", context=context, mask=context_mask)
        if self.self_attention:
            x, _ = self._attend(x, train, 1, "attn", "norm1", mask=mask, bias=bias)
        x = self._mlp(x, train)
        return (x, weights) if self.return_weights else x


def run_blocks(
    h: jax.Array,
    train: bool,
    depth: int,
    num_heads: int,
    mlp_ratio: float,
    *,
    owner: nn.Module,
    layers: Iterable[str] = (),
    mask: jax.Array | None = None,
    positions: jax.Array | None = None,
    drop_path: float = 0.0,
    **options: Any,
) -> tuple[jax.Array, dict[str, jax.Array], dict[str, jax.Array]]:
    """Transformer blocks block0, block1, ... of a module; call it inside a compact method.

    Args:
      h: [N, L, D].
      train, mask: as in `TransformerBlock`.
      depth, num_heads, mlp_ratio: number of blocks, heads, MLP hidden width over D.
      owner: the module, with `dtype` and `remat` (recompute each block in the backward pass).
      layers: names of what to give beside the last output: 'block2' for a block's output, 'block2/attn' for its maps of
        attention.
      positions: [N, L, D], added ahead of every block.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      **options: attributes of the blocks.

    Returns:
      (last output, outputs [N, L, D] by name, maps [N, heads, L, L] by name).

    Raises:
      ValueError: a name in `layers` that is none of a block or its attention.
    """
    names = [f"block{i}" for i in range(depth)]
    check_layers(layers, [*names, *(f"{name}/attn" for name in names)], owner)
    block, outputs, maps = nn.remat(TransformerBlock, static_argnums=(2,)) if owner.remat else TransformerBlock, {}, {}
    for i, name in enumerate(names):
        rate, wanted = drop_path * i / max(depth - 1, 1), f"{name}/attn" in layers
        own = dict(drop_path=rate, dtype=owner.dtype, return_weights=wanted, name=name)
        h = block(num_heads, mlp_ratio, **own, **options)(h if positions is None else h + positions, train, mask)
        if wanted:
            h, maps[f"{name}/attn"] = h
        if name in layers:
            outputs[name] = h
    return h, outputs, maps


def check_transformer(name: str, embed_dim: int, depth: int, num_heads: int, drop_path: float = 0.0) -> None:
    """Raises ValueError on sizes that no transformer can have."""
    if embed_dim % num_heads:
        raise ValueError(f"num_heads={num_heads}: must divide the width {embed_dim} of {name}.")
    if depth < 1:
        raise ValueError(f"depth={depth}: must be at least 1 for {name}.")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path={drop_path}: must lie in [0, 1) for {name}.")
