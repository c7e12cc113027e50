"""Networks for table rows x = {'numbers' float32 [N, Dn], 'categories' int32 [N, Dc]}; Dn or Dc may be 0."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.positions import sincos_1d, take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide, of_blocks
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, linear_init, run_blocks

POOLS = ("flatten", "mean", "register")


class ResidualLayer(nn.Module):
    """relu(W x + b) + x, with a linear map of x where the widths differ."""

    width: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        branch = nn.relu(Dense(self.width, dtype=self.dtype, name="linear")(x))
        if x.shape[-1] != self.width:
            x = Dense(self.width, dtype=self.dtype, name="resize")(x)
        return x + branch


class ResidualMLP(nn.Module):
    """Residual layers one after the other, and perhaps a linear map; built by `residual_mlp`."""

    widths: tuple
    dim: int
    max_categories: int
    linear_end: bool
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(self, x: Mapping[str, jax.Array], train: bool) -> jax.Array:
        """x -> features [N, dim] float32."""
        check_table(x, "residual_mlp")
        codes = one_hot(x["categories"], self.max_categories)
        h = jnp.concatenate([x["numbers"], codes], axis=1).astype(self.dtype)
        layer = nn.remat(ResidualLayer) if self.remat else ResidualLayer
        for i, width in enumerate(self.widths if self.linear_end else (*self.widths, self.dim)):
            h = layer(width, self.dtype, name=f"layer{i}")(h)
        if self.linear_end:
            h = Dense(self.dim, dtype=self.dtype, name="last")(h)
        return h.astype(jnp.float32)


def residual_mlp(
    *,
    widths: Sequence[int] = (1024,) * 4,
    dim: int = 64,
    max_categories: int = 32,
    linear_end: bool = False,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> ResidualMLP:
    """Residual MLP without norms: h <- relu(W h + b) + h, or relu(W h + b) + U h where the width changes.

    Features are a last such layer of width `dim`, or with `linear_end` a linear map of the last h: f = V h + c. Categories
    enter as one-hot codes. The widths, the residuals and the linear end are those of CLAN's release
    (github.com/jackwilkie/CLAN, model/model.py). Weights start from
    lecun-normal and biases from 0; torch's Linear, as the release uses it, has a third of this variance and random biases.

    Args:
      widths: widths of the hidden layers.
      dim: D, width of the features.
      max_categories: number of codes of a column of categories.
      linear_end: end in a linear map, as CLAN does. Without it features have a ReLU: the network of runs of version 0.1.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each layer in the backward pass.

    Returns:
      Flax module (x, train) -> [N, dim] float32.

    Raises:
      ValueError: no widths, or a width below 1.
    """
    if not widths or min(*widths, dim) < 1:
        raise ValueError(
            f"widths={tuple(widths)}, dim={dim}: must be one width or more, each at least 1, for residual_mlp."
        )
    return ResidualMLP(tuple(widths), dim, max_categories, linear_end, dtype, remat)


class TableTransformer(nn.Module):
    """Transformer over the columns of a row; built by `table_transformer`."""

    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    registers: int
    pool: str
    max_categories: int
    dtype: Any
    remat: bool

    @property
    def can(self) -> tuple[str, ...]:
        """See `models.tokens.ABILITIES`; a column is a patch."""
        return ("patches", "visible_ids", *(["registers"] if self.registers else []))

    def _columns(self, x):
        """One token a column, numbers first, [N, Dn + Dc, D]."""
        numbers, categories, dim = x["numbers"], x["categories"], self.embed_dim
        # As large as the positions: with smaller embeddings all rows start nearly equal, and the teacher collapses.
        scale = nn.initializers.normal(1.0)
        tokens = []
        if numbers.shape[1]:
            weight = self.param("number_weight", scale, (numbers.shape[1], dim), jnp.float32)
            bias = self.param("number_bias", scale, (numbers.shape[1], dim), jnp.float32)
            tokens.append(numbers[:, :, None] * weight + bias)
        if categories.shape[1]:
            shape = (categories.shape[1], self.max_categories, dim)
            embeddings = self.param("categories", scale, shape, jnp.float32)
            columns = jnp.arange(categories.shape[1])
            # A code without an embedding gives NaN, which stops the run; plain indexing would take the last embedding.
            tokens.append(embeddings.at[columns, categories].get(mode="fill", fill_value=jnp.nan))
        return jnp.concatenate(tokens, axis=1)

    @nn.compact
    def encode(
        self, x: Mapping[str, jax.Array], train: bool, hide: Hide | None = None, layers: Sequence[str] = ()
    ) -> Tokens:
        """Encodes rows to tokens.

        Args:
          x: {'numbers' [N, Dn], 'categories' [N, Dc]}.
          train: has no effect; there is no dropout.
          hide: `models.tokens.Hide`, or None for nothing: visible_ids int [N, K], the columns to encode, numbers first.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens` [N, registers + K, D]: the registers, then the columns in the order given.
        """
        check_table(x, "table_transformer")
        columns, h = check_hide(hide, self).visible_ids, self._columns(x)
        grid, positions = (h.shape[1],), sincos_1d(self.embed_dim, self.registers + h.shape[1])
        h = h + positions[self.registers :]
        if columns is not None:
            h = take_tokens(h, columns)
        if self.registers:
            init = nn.initializers.normal(self.embed_dim**-0.5)
            register = self.param("reg_token", init, (self.registers, self.embed_dim), jnp.float32)
            register = register + positions[: self.registers]
            h = jnp.concatenate([jnp.broadcast_to(register, (h.shape[0], *register.shape)), h], axis=1)
        sizes = (self.depth, self.num_heads, self.mlp_ratio)
        h, outputs, maps = run_blocks(h.astype(self.dtype), train, *sizes, owner=self, layers=layers)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        h = Dense(self.embed_dim, dtype=self.dtype, name="linear")(h)
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="last_norm")(h)
        return of_blocks(h, outputs, maps, grid, registers_count=self.registers)

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D'] of the `Tokens` of all columns, as `pool` says."""
        h = tokens.h
        if self.pool == "register":
            return h[:, 0]
        return h.mean(1) if self.pool == "mean" else rearrange(h, "n l d -> n (l d)")

    def __call__(self, x: Mapping[str, jax.Array], train: bool, hide: Hide | None = None) -> jax.Array:
        """x -> features float32 [N, (registers + d) * D] ('flatten') or [N, D]; arguments as in `encode`."""
        return self.pooled(self.encode(x, train, hide))


def table_transformer(
    *,
    embed_dim: int = 64,
    depth: int = 4,
    num_heads: int = 4,
    mlp_ratio: float = 2.0,
    registers: int = 1,
    pool: str = "flatten",
    max_categories: int = 32,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> TableTransformer:
    """Transformer over columns: a token a column, fixed sine-cosine positions, pre-norm blocks, LN - linear - LN.

    A number v of column c is v * weight_c + bias_c, a category is its own embedding.

    Args:
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      registers: number of learned tokens ahead of the columns.
      pool: 'flatten', all tokens side by side; 'mean' of all tokens; 'register', the first token.
      max_categories: number of codes of a column of categories; at least that of the data.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x, train, hide=None) -> [N, D']; method 'encode' gives all tokens.

    Raises:
      ValueError: on sizes that do not fit, an unknown pool, pool='register' without a register.
    """
    check_transformer("table_transformer", embed_dim, depth, num_heads)
    if embed_dim % 2:
        raise ValueError(f"embed_dim={embed_dim}: must be even for table_transformer.")
    if pool not in POOLS or (pool == "register" and not registers):
        raise ValueError(f"pool={pool!r}: must be one of {POOLS} for table_transformer; 'register' needs registers.")
    return TableTransformer(embed_dim, depth, num_heads, mlp_ratio, registers, pool, max_categories, dtype, remat)


class ColumnPredictor(nn.Module):
    """Predicts the tokens of hidden columns from those of the others, by their positions.

    A narrow transformer over [W z + pos_C ; mask token + pos_T], read at the mask tokens and mapped back to D.

    Attributes:
      width, depth, num_heads, mlp_ratio: of the transformer.
      dim: D of the predicted tokens.
      num_columns: d.
      registers: number of tokens ahead of the columns in z.
    """

    width: int
    depth: int
    num_heads: int
    mlp_ratio: float
    dim: int
    num_columns: int
    registers: int
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(self, z: jax.Array, context: jax.Array, targets: jax.Array, train: bool) -> jax.Array:
        """z [N, registers + C, D], context int [N, C], targets int [N, T, M] -> [N, T, M, D] float32."""
        n, num_targets, size = targets.shape
        positions = jnp.asarray(sincos_1d(self.width, self.registers + self.num_columns))
        z = Dense(self.width, kernel_init=linear_init, dtype=self.dtype, name="embed")(z)
        registers = jnp.broadcast_to(positions[: self.registers], (n, self.registers, self.width))
        z = z + jnp.concatenate([registers, positions[self.registers + context]], axis=1).astype(self.dtype)
        token = self.param("mask_token", nn.initializers.normal(self.width**-0.5), (self.width,), jnp.float32)
        asked = (token + positions[self.registers + targets]).astype(self.dtype)
        z = jnp.broadcast_to(z[:, None], (n, num_targets, *z.shape[1:]))
        h = rearrange(jnp.concatenate([z, asked], axis=2), "n t l d -> (n t) l d")
        h, _, _ = run_blocks(h, train, self.depth, self.num_heads, self.mlp_ratio, owner=self)
        h = h[:, -size:]
        h = nn.LayerNorm(LAYER_NORM_EPS, dtype=self.dtype, name="norm")(h)
        h = Dense(self.dim, kernel_init=linear_init, dtype=self.dtype, name="head")(h)
        return rearrange(h, "(n t) m d -> n t m d", t=num_targets).astype(jnp.float32)


def column_predictor(
    encoder: TableTransformer,
    num_columns: int,
    *,
    width: int = 32,
    depth: int = 2,
    num_heads: int = 2,
    mlp_ratio: float = 2.0,
) -> ColumnPredictor:
    """The `ColumnPredictor` of an encoder.

    Args:
      encoder: of `table_transformer`; gives D, the number of registers, `dtype` and `remat`.
      num_columns: d of the table.
      width, depth, num_heads, mlp_ratio: of the predictor; the width is even.

    Returns:
      Flax module (z [N, registers + C, D], context int [N, C], targets int [N, T, M], train) -> [N, T, M, D] float32.

    Raises:
      ValueError: on sizes that do not divide.
    """
    check_transformer("column_predictor", width, depth, num_heads)
    if width % 2:
        raise ValueError(f"predictor_dim={width}: must be even.")
    return ColumnPredictor(
        width,
        depth,
        num_heads,
        mlp_ratio,
        encoder.embed_dim,
        num_columns,
        encoder.registers,
        encoder.dtype,
        encoder.remat,
    )


def one_hot(categories: jax.Array, max_categories: int) -> jax.Array:
    """Codes [N, Dc] -> [N, Dc * max_categories]; a code that is out of range is NaN, which stops the run."""
    codes = jax.nn.one_hot(categories, max_categories)
    fits = (categories >= 0) & (categories < max_categories)
    return rearrange(jnp.where(fits[:, :, None], codes, jnp.nan), "n c k -> n (c k)")


def check_table(x: Any, name: str) -> None:
    """Raises ValueError unless x is a dict of columns of numbers and of categories."""
    if not isinstance(x, dict) or {"numbers", "categories"} - set(x):
        raise ValueError(
            f"x of type {type(x).__name__}: {name} takes rows of a table, {{'numbers' [N, Dn], 'categories' [N, Dc]}}."
        )
    if not x["numbers"].shape[1] + x["categories"].shape[1]:
        raise ValueError(f"x: the table has no columns; {name} needs one at least.")
