"""Transformer encoders of texts, and the head of a masked language model."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, linear_init, run_blocks


class TextEncoder(nn.Module):
    """Bidirectional transformer over tokens; built by `text_encoder`."""

    vocab_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    max_length: int
    pool: str
    dropout: float
    drophead: float
    embed_std: float
    dtype: Any
    remat: bool

    can = ("patches",)

    @nn.compact
    def encode(
        self, x: Mapping[str, jax.Array], train: bool, hide: Hide | None = None, layers: Sequence[str] = ()
    ) -> Tokens:
        """Encodes texts to tokens after the final norm.

        Args:
          x: dict of `tokens` int [N, L] and `mask` bool [N, L], True = a token, False = padding; L <= max_length.
          train: apply dropout and drophead.
          hide: must be None; a text is hidden in its ids, see `ops.tokens.masked_tokens`.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens` [N, L, D] with the text's mask; the tokens at padding have no meaning, and no other token
          depends on them.
        """
        check_hide(hide, self)
        ids, mask = x["tokens"], x["mask"]
        length = ids.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"max_length={self.max_length}: the texts have {length} tokens; set encoder.max_length to {length} or more."
            )
        init = nn.initializers.truncated_normal(self.embed_std)
        h = nn.Embed(self.vocab_size, self.embed_dim, embedding_init=init, dtype=self.dtype, name="embed")(ids)
        positions = self.param("pos_embed", linear_init, (self.max_length, self.embed_dim), jnp.float32)
        h = nn.Dropout(self.dropout)(h + positions[:length].astype(self.dtype), deterministic=not train)
        options = dict(dropout=self.dropout, drophead=self.drophead, mask=mask[:, None, None, :])
        sizes = (self.depth, self.num_heads, self.mlp_ratio)
        h, outputs, maps = run_blocks(h, train, *sizes, owner=self, layers=layers, **options)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        return of_blocks(h, outputs, maps, (length,), mask=mask)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`, as `pool` says."""
        if self.pool == "cls":
            return tokens.h[:, 0]
        weight = tokens.mask.astype(tokens.h.dtype)[:, :, None]
        return jnp.sum(tokens.h * weight, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1)

    def __call__(self, x: Mapping[str, jax.Array], train: bool) -> jax.Array:
        """Texts x, as in `encode`, -> features [N, D] float32."""
        return self.pooled(self.encode(x, train))


def text_encoder(
    *,
    vocab_size: int = 4096,
    embed_dim: int = 128,
    depth: int = 2,
    num_heads: int = 4,
    mlp_ratio: float = 4.0,
    max_length: int = 32,
    pool: str = "mean",
    dropout: float = 0.1,
    drophead: float = 0.0,
    embed_std: float = 0.02,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> TextEncoder:
    """Bidirectional text transformer: pre-norm blocks, learned positions; no token attends to padding.

    Args:
      vocab_size: number of token ids.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      max_length: largest L of a text, in tokens.
      pool: 'cls', the first token, or 'mean' over all tokens that are not padding; both after the final norm.
      dropout: rate after the embedding and at the end of every branch, while training.
      drophead: rate at which whole attention heads are dropped, while training.
      embed_std: standard deviation of the initial token embeddings; that of positions is 0.02. With a larger one an
        untrained encoder finds related texts much better; why was not studied.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x, train) -> [N, D]; x is a dict of `tokens` int [N, L] and `mask` bool [N, L]. Method 'encode'
      gives all tokens.

    Raises:
      ValueError: options out of range; when called, texts longer than max_length.
    """
    check_transformer("text_encoder", embed_dim, depth, num_heads)
    if pool not in ("cls", "mean"):
        raise ValueError(f"pool={pool!r}: must be 'cls' or 'mean' for text_encoder.")
    for name, rate in (("dropout", dropout), ("drophead", drophead)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name}={rate}: must lie in [0, 1) for text_encoder.")
    for name, count in (("vocab_size", vocab_size), ("max_length", max_length)):
        if count < 1:
            raise ValueError(f"{name}={count}: must be at least 1 for text_encoder.")
    if not embed_std > 0:
        raise ValueError(f"embed_std={embed_std}: must be above 0 for text_encoder.")
    return TextEncoder(
        vocab_size=vocab_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        max_length=max_length,
        pool=pool,
        dropout=dropout,
        drophead=drophead,
        embed_std=embed_std,
        dtype=dtype,
        remat=remat,
    )


class TokenHead(nn.Module):
    """Token outputs h [M, D] -> logits [M, K]: a hidden layer, then products with the embedding `table` [K, D]."""

    dtype: Any = "float32"

    @nn.compact
    def __call__(self, h: jax.Array, table: jax.Array) -> jax.Array:
        h = Dense(h.shape[-1], kernel_init=linear_init, dtype=self.dtype, name="hidden")(h)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(nn.gelu(h, approximate=False))
        bias = self.param("bias", nn.initializers.zeros, (table.shape[0],), jnp.float32)
        return (h @ table.T.astype(self.dtype)).astype(jnp.float32) + bias


def token_head(*, dtype: Dtype = "float32") -> TokenHead:
    """Head of a masked language model with tied embeddings: module (h [M, D], table [K, D]) -> logits [M, K] float32."""
    return TokenHead(dtype=dtype)


def take_positions(h: jax.Array, positions: jax.Array) -> jax.Array:
    """Tokens h [N, L, D] at `positions` int [N, M] -> [N * M, D]."""
    return jnp.take_along_axis(h, positions[:, :, None], axis=1).reshape(-1, h.shape[-1])
