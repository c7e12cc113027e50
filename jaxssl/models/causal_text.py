"""The causal text transformer of CLIP.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021, arXiv:2103.00020,
https://arxiv.org/abs/2103.00020
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.models.module import Dtype
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, run_blocks


class CausalText(nn.Module):
    """Causal transformer read at the end of each text; built by `causal_text`."""

    vocab_size: int
    max_length: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    dtype: Any
    remat: bool

    can = ("patches",)

    @nn.compact
    def _run(self, x, train, layers=(), read=lambda h: h):
        """(what `read` takes of the last outputs [N, L, D], after the norm; outputs and maps as of `run_blocks`)."""
        tokens = x["tokens"]
        length = tokens.shape[1]
        if length > self.max_length:
            raise ValueError(
                f"max_length={self.max_length}: the text has {length} tokens; set encoder.max_length to {length} or more."
            )
        normal = nn.initializers.normal
        embed = nn.Embed(
            self.vocab_size, self.embed_dim, embedding_init=normal(0.02), dtype=self.dtype, name="token_embed"
        )
        positions = self.param("pos_embed", normal(0.01), (self.max_length, self.embed_dim), jnp.float32)
        h = embed(tokens) + positions[:length].astype(self.dtype)
        # Padding follows the text, so that nothing before it can see it: no other mask is needed.
        causal = jnp.tril(jnp.ones((length, length), bool))[None, None]
        width = self.embed_dim**-0.5
        residual = normal(width * (2 * self.depth) ** -0.5)
        inits = (normal(width), residual, normal((2 * self.embed_dim) ** -0.5), residual)
        options = dict(inits=inits, mask=causal, owner=self, layers=layers)
        h, outputs, maps = run_blocks(h, train, self.depth, self.num_heads, self.mlp_ratio, **options)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(read(h))
        return h.astype(jnp.float32), outputs, maps

    def encode(
        self, x: Mapping[str, jax.Array], train: bool, hide: Hide | None = None, layers: Sequence[str] = ()
    ) -> Tokens:
        """Texts x, as in the plain call, -> `models.tokens.Tokens` [N, L, D] with the text's mask; hide: must be None.

        layers: names of layers to give too, 'block0' or 'block0/attn'.
        """
        check_hide(hide, self)
        h, outputs, maps = self._run(x, train, layers)
        return of_blocks(h, outputs, maps, h.shape[1:2], mask=x["mask"])

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D] of `Tokens`: the last one that is no padding."""
        return _last(tokens.h, tokens.mask)

    def __call__(self, x: Mapping[str, jax.Array], train: bool) -> jax.Array:
        """x = {'tokens': int [N, L], 'mask': bool [N, L], True = no padding} -> features [N, D] float32."""
        # The norm is per token: it is applied to the one token that is read, not to all L.
        return self._run(x, train, read=lambda h: _last(h, x["mask"]))[0]


def _last(h, present):
    """The last token of h [N, L, D] that is no padding: [N, D]."""
    last = jnp.maximum(jnp.sum(present, axis=1) - 1, 0)
    return jnp.take_along_axis(h, last[:, None, None], axis=1)[:, 0]


def causal_text(
    *,
    vocab_size: int = 259,
    max_length: int = 48,
    embed_dim: int = 512,
    depth: int = 12,
    num_heads: int = 8,
    mlp_ratio: float = 4.0,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> CausalText:
    """Causal text transformer; the feature of a text is its last token that is no padding, after a layer norm.

    Pre-norm blocks with learned positions. Initialisation as published: token embedding normal(0.02), positions
    normal(0.01), attention normal(D^-1/2), last layer of each branch normal(D^-1/2 (2 depth)^-1/2), first layer of the MLP
    normal((2 D)^-1/2). GELU is exact; the released weights were trained with an approximation. The projection to the
    common space belongs to the method.

    Args:
      vocab_size: number of token ids.
      max_length: longest text in tokens, start and end included.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module ({'tokens': int [N, L], 'mask': bool [N, L]}, train) -> features [N, D]. A text without a single
      token is read at its first position.

    Raises:
      ValueError: sizes that no transformer can have, and texts longer than max_length.
    """
    check_transformer("causal_text", embed_dim, depth, num_heads)
    if vocab_size < 1 or max_length < 1:
        raise ValueError(f"vocab_size={vocab_size}, max_length={max_length}: both must be at least 1 for causal_text.")
    return CausalText(vocab_size, max_length, embed_dim, depth, num_heads, mlp_ratio, dtype, remat)
