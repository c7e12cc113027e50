"""Pre-norm transformer blocks shared by the ViT encoder and the masked-autoencoder decoder."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.linear import Dense

LAYER_NORM_EPS = 1e-6

linear_init = nn.initializers.truncated_normal(0.02)


class DropPath(nn.Module):
    """Drops the branch of whole examples, y = x b / (1 - rate), b ~ Bernoulli(1 - rate); E[y] = x."""

    rate: float

    @nn.compact
    def __call__(self, x, train):
        if not train or self.rate == 0:
            return x
        if not self.has_rng("dropout"):
            raise ValueError(f"drop_path={self.rate} with train=True needs a random key: pass key=... to forward")
        keep = 1 - self.rate
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        return jnp.where(kept, x / keep, 0)


def drophead(key, x, rate):
    """Drops whole attention heads of examples: y_h = x_h b_h H / sum_h b_h, b_h ~ Bernoulli(1 - rate); E[y] = x.

    Args:
      key: random key.
      x: outputs of the heads, [N, L, H, d].
      rate: probability with which a head is dropped, in [0, 1).

    Returns:
      Like x. An example whose heads would all be dropped keeps them all.

    Source: Zhou et al., Scheduled DropHead, 2020, arXiv:2004.13342, https://arxiv.org/abs/2004.13342
    """
    kept = jax.random.bernoulli(key, 1 - rate, (x.shape[0], x.shape[2]))
    kept = kept | ~kept.any(axis=1, keepdims=True)
    scale = kept * (x.shape[2] / kept.sum(axis=1, keepdims=True))
    return x * scale[:, None, :, None].astype(x.dtype)


def attention_implementation(q, mask=None):
    """'cudnn', flash attention, where the queries [N, L, H, d] allow it; else 'xla'.

    cuDNN takes 16 bits, d a multiple of 8 up to 128, on CUDA GPUs from compute capability 8.0 on. Masks stay with XLA:
    for odd lengths cuDNN has no gradient with one.
    """
    fits = mask is None and q.dtype in (jnp.bfloat16, jnp.float16) and q.shape[-1] % 8 == 0 and q.shape[-1] <= 128
    if not fits or jax.default_backend() != "gpu":
        return "xla"
    first = jax.devices()[0]
    cuda = "cuda" in first.client.platform_version.lower()
    return "cudnn" if cuda and float(first.compute_capability) >= 8 else "xla"


class Attention(nn.Module):
    """Multi-head self-attention, softmax(q k^T / sqrt(D / heads)) v and a linear map, on [N, L, D].

    `mask`: bool, broadcast to [N, heads, L, L], True = the query (third axis) sees the key (fourth); None = all seen.
    """

    num_heads: int
    qkv_bias: bool
    dtype: Any
    inits: Any = (linear_init, linear_init)
    bias: bool = True
    drophead: float = 0.0

    @nn.compact
    def __call__(self, x, mask=None, train=False):
        n, length, dim = x.shape
        first, last = self.inits
        qkv = Dense(3 * dim, use_bias=self.qkv_bias, kernel_init=first, dtype=self.dtype, name="qkv")(x)
        q, k, v = jnp.moveaxis(qkv.reshape(n, length, 3, self.num_heads, dim // self.num_heads), 2, 0)
        x = jax.nn.dot_product_attention(q, k, v, mask=mask, implementation=attention_implementation(q, mask))
        if train and self.drophead:
            x = drophead(self.make_rng("dropout"), x, self.drophead)
        x = x.reshape(n, length, dim)
        return Dense(dim, use_bias=self.bias, kernel_init=last, dtype=self.dtype, name="proj")(x)


class TransformerBlock(nn.Module):
    """x + drop(gamma_1 Attention(LN(x))), then x + drop(gamma_2 MLP(LN(x))), exact GELU, on [N, L, D].

    Attributes:
      num_heads: must divide D.
      mlp_ratio: hidden width of the MLP over D.
      qkv_bias: bias in the q, k, v projections.
      layer_scale: None, or the initial value of the learned gamma [D].
      drop_path: rate at which the branch of an example is dropped.
      inits: initialisers of the kernels qkv, proj, fc1, fc2; by default all truncated normal(0.02).
      bias: biases in the linear maps other than qkv, and in the norms.
      dropout: rate at which single entries of a branch are dropped.
      drophead: rate at which attention heads of an example are dropped.

    Call: (x, train, mask=None); mask is boolean, broadcastable to [N, heads, L, L], True = may attend.
    """

    num_heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layer_scale: float | None = None
    drop_path: float = 0.0
    dtype: Any = "float32"
    inits: Any = (linear_init,) * 4
    bias: bool = True
    dropout: float = 0.0
    drophead: float = 0.0

    def _add(self, x, branch, train, index):
        branch = nn.Dropout(self.dropout, name=f"dropout{index}")(branch, deterministic=not train)
        if self.layer_scale is not None:
            init = nn.initializers.constant(self.layer_scale)
            branch = branch * self.param(f"ls{index}", init, (x.shape[-1],), jnp.float32).astype(self.dtype)
        return x + DropPath(self.drop_path, name=f"drop{index}")(branch, train)

    @nn.compact
    def __call__(self, x, train, mask=None):
        dim = x.shape[-1]
        qkv, proj, fc1, fc2 = self.inits
        options = dict(use_bias=self.bias, dtype=self.dtype)
        h = nn.LayerNorm(LAYER_NORM_EPS, name="norm1", **options)(x)
        attention = Attention(
            self.num_heads, self.qkv_bias, self.dtype, (qkv, proj), self.bias, self.drophead, name="attn"
        )
        x = self._add(x, attention(h, mask, train), train, 1)
        h = nn.LayerNorm(LAYER_NORM_EPS, name="norm2", **options)(x)
        h = Dense(round(dim * self.mlp_ratio), kernel_init=fc1, name="fc1", **options)(h)
        h = nn.gelu(h, approximate=False)
        return self._add(x, Dense(dim, kernel_init=fc2, name="fc2", **options)(h), train, 2)


def check_transformer(name, embed_dim, depth, num_heads, drop_path=0.0):
    """Raises ValueError on sizes that no transformer can have."""
    if embed_dim % num_heads:
        raise ValueError(f"{name}: num_heads={num_heads} must divide the width {embed_dim}")
    if depth < 1:
        raise ValueError(f"{name}: depth must be at least 1, got {depth}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"{name}: drop_path must be in [0, 1), got {drop_path}")
