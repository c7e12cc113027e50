"""Networks for clouds of points [N, P, 3]: a transformer over patches around far-spread centres, and its decoder.

Source: Pang et al., Masked Autoencoders for Point Cloud Self-supervised Learning, 2022, arXiv:2203.06604,
https://arxiv.org/abs/2203.06604
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from jaxssl.models.linear import Dense
from jaxssl.models.module import Dtype
from jaxssl.models.norm import norm
from jaxssl.models.pooling import largest
from jaxssl.models.positions import take_tokens
from jaxssl.models.tokens import Hide, Tokens, check_hide
from jaxssl.models.transformer import LAYER_NORM_EPS, check_transformer, linear_init, run_blocks
from jaxssl.ops.points import group_points

POOLS = ("mean", "max", "mean_max", "cls")


def check_clouds(x: jax.Array, module: str) -> None:
    """Raises ValueError unless x is floating [N, P, 3]."""
    if x.ndim != 3 or x.shape[-1] != 3:
        raise ValueError(f"x of shape {tuple(x.shape)}: {module} takes clouds [N, P, 3].")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x of {x.dtype}: {module} takes floating clouds; augment or preprocess them first.")


class PatchPointNet(nn.Module):
    """A small PointNet for each patch: [N, G, K, 3] -> [N, G, D], the same for any order of the K points.

    h = W2 relu(norm(W1 x)), then the maximum over the points of W4 relu(norm(W3 [max h, h])).
    """

    embed_dim: int
    widths: tuple
    norm: str
    dtype: Any

    @nn.compact
    def __call__(self, groups: jax.Array, train: bool) -> jax.Array:
        dense = lambda dim, name, bias=False: Dense(
            dim, use_bias=bias, kernel_init=nn.initializers.he_normal(), dtype=self.dtype, name=name
        )
        first, second, third = self.widths
        layer = lambda width, name: norm(self.norm, width, train, dtype=self.dtype, name=name)
        h = dense(first, "point1")(groups.astype(self.dtype))
        # No bias ahead of a norm, not even through a maximum and another linear map.
        h = dense(second, "point2")(nn.relu(layer(first, "norm1")(h)))
        # W3 in two, so that what all points of a patch share is multiplied once.
        h = dense(third, "patch1")(h) + dense(third, "patch1_whole")(largest(h, 2)[:, :, None])
        h = dense(self.embed_dim, "patch2", bias=True)(nn.relu(layer(third, "norm2")(h)))
        return largest(h, 2)


class PointPositions(nn.Module):
    """Positions of patches from their centres [..., 3]: W2 gelu(W1 c), [..., D]."""

    dim: int
    hidden: int
    dtype: Any

    @nn.compact
    def __call__(self, centers: jax.Array) -> jax.Array:
        # With a fan-in of 3 and the 0.02 of the other maps, positions would start near zero.
        h = Dense(self.hidden, kernel_init=nn.initializers.he_normal(), dtype=self.dtype, name="fc1")(centers)
        h = nn.gelu(h, approximate=False)
        return Dense(self.dim, kernel_init=linear_init, dtype=self.dtype, name="fc2")(h)


def _blocks(h, positions, train, owner, layers=()):
    """Blocks, positions added ahead of each, and the final norm: (h, outputs, maps) as of `run_blocks`."""
    options = dict(qkv_bias=False, drop_path=owner.drop_path, positions=positions)
    sizes = (owner.depth, owner.num_heads, owner.mlp_ratio)
    h, outputs, maps = run_blocks(h, train, *sizes, owner=owner, layers=layers, **options)
    return nn.LayerNorm(LAYER_NORM_EPS, dtype=owner.dtype, name="norm")(h), outputs, maps


class PointTransformer(nn.Module):
    """Transformer over patches of a cloud; built by `transformer`."""

    num_groups: int
    group_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    patch_widths: tuple
    norm: str
    pool: str
    cls_tokens: int
    drop_path: float
    dtype: Any
    remat: bool

    @property
    def can(self) -> tuple[str, ...]:
        """See `models.tokens.ABILITIES`."""
        return ("patches", "visible_ids", "several", *(["cls"] if self.cls_tokens else []))

    @nn.compact
    def encode(self, x: jax.Array, train: bool, hide: Hide | None = None, layers: Sequence[str] = ()) -> Tokens:
        """Encodes clouds to tokens after the final norm.

        Args:
          x: [N, P, 3], P at least num_groups and group_size.
          train: use statistics of the batch, apply drop path.
          hide: `models.tokens.Hide`, or None for nothing: visible_ids int [N, V, K], V choices of K patches, each encoded by
            itself, with a class token of its own; or [N, K]. The patches are embedded once. V is at most cls_tokens, unless
            that is 0.
          layers: names of layers to give too, 'block0' or 'block0/attn'.

        Returns:
          `models.tokens.Tokens` [N, L', D], [N, V, L', D] for V choices; its extras are `centers` [N, G, 3] and `groups`
          [N, G, K, 3], relative to their centres. Its class token is the first one where nothing is hidden.
        """
        check_clouds(x, "points.transformer")
        n, ids = x.shape[0], check_hide(hide, self).visible_ids
        centers, groups = group_points(x, self.num_groups, self.group_size)
        h = PatchPointNet(self.embed_dim, self.patch_widths, self.norm, self.dtype, name="patch_embed")(groups, train)
        positions = PointPositions(self.embed_dim, self.embed_dim, self.dtype, name="positions")(centers)
        count = ids.shape[1] if ids is not None and ids.ndim == 3 else 1
        if self.cls_tokens and count > self.cls_tokens:
            raise ValueError(f"cls_tokens={self.cls_tokens}: {count} masks need cls_tokens={count}, or 0.")
        if ids is not None:
            every = ids if ids.ndim == 2 else rearrange(ids, "n v k -> n (v k)")
            # Example by example, so that what is sharded over examples stays where it is.
            h, positions = (rearrange(take_tokens(a, every), "n (v k) d -> (n v) k d", v=count) for a in (h, positions))
        if self.cls_tokens:
            shape = (self.cls_tokens, 1, self.embed_dim)
            first = [self.param(name, linear_init, shape, jnp.float32) for name in ("cls_token", "cls_pos")]
            first = [jnp.tile(token[:count].astype(self.dtype), (n, 1, 1)) for token in first]
            h, positions = jnp.concatenate([first[0], h], axis=1), jnp.concatenate([first[1], positions], axis=1)
        h, outputs, maps = _blocks(h, positions, train, self, layers)
        several = ids is not None and ids.ndim == 3
        apart = lambda a: rearrange(a, "(n v) ... -> n v ...", v=count) if several else a
        made = lambda h, **more: Tokens(
            apart(h.astype(jnp.float32)), (self.num_groups,), class_token=self.cls_tokens > 0, **more
        )
        outputs, maps = {k: made(v) for k, v in outputs.items()}, {k: apart(v) for k, v in maps.items()}
        return made(h, layers=outputs, attention=maps, extras={"centers": centers, "groups": groups})

    def pooled(self, tokens: Tokens) -> jax.Array:
        """Features [N, D], [N, 2 D] for pool='mean_max', of `Tokens`."""
        if self.pool == "cls":
            return tokens.cls
        patches = tokens.patches
        found = [getattr(patches, name)(1) for name in ("mean", "max") if name in self.pool]
        return jnp.concatenate(found, axis=1) if len(found) > 1 else found[0]

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Clouds x [N, P, 3] -> features [N, D], [N, 2 D] for pool='mean_max', float32."""
        return self.pooled(self.encode(x, train))


def transformer(
    *,
    num_groups: int = 64,
    group_size: int = 32,
    embed_dim: int = 384,
    depth: int = 12,
    num_heads: int = 6,
    mlp_ratio: float = 4.0,
    patch_widths: tuple[int, int, int] = (128, 256, 512),
    norm: str = "batch",
    pool: str = "mean_max",
    cls_tokens: int = 2,
    drop_path: float = 0.1,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> PointTransformer:
    """Transformer over patches of a cloud; the defaults are the sizes of Point-MAE and Point-CMAE.

    Patches: num_groups centres by farthest point sampling, each with its group_size nearest points. Each is embedded by
    a small PointNet; a map of its centre is its position, added ahead of every block. The features do not depend on the
    order of the points (but for ties between equally near ones).

    Args:
      num_groups, group_size: G patches of K points; both at most P.
      embed_dim, depth, num_heads, mlp_ratio: D, number of blocks, heads, MLP hidden width over D.
      patch_widths: the three hidden widths of the PointNet.
      norm: 'batch' or 'group', of the PointNet.
      pool: features: 'mean' or 'max' over the patch tokens, 'mean_max' both side by side, or 'cls'.
      cls_tokens: number of class tokens, one for each mask of a method that masks several times; 0 for none.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      dtype: compute dtype; parameters and features are float32.
      remat: recompute each block in the backward pass.

    Returns:
      Flax module (x [N, P, 3], train) -> [N, D] or [N, 2 D]; method 'encode' gives all tokens.

    Raises:
      ValueError: sizes that do not divide, an unknown pool or norm, pool='cls' without a class token.
    """
    check_transformer("points.transformer", embed_dim, depth, num_heads, drop_path)
    for name, value, least in (
        ("num_groups", num_groups, 1),
        ("group_size", group_size, 1),
        ("cls_tokens", cls_tokens, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: must be an int of at least {least} for points.transformer.")
    if len(patch_widths) != 3:
        raise ValueError(f"patch_widths={patch_widths}: must be three numbers for points.transformer.")
    if norm not in ("batch", "group"):
        raise ValueError(f"norm={norm!r}: must be 'batch' or 'group' for points.transformer.")
    if pool not in POOLS or (pool == "cls" and not cls_tokens):
        raise ValueError(
            f"pool={pool!r}: must be one of {POOLS} for points.transformer; 'cls' needs cls_tokens of at least 1."
        )
    return PointTransformer(
        num_groups=num_groups,
        group_size=group_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=mlp_ratio,
        patch_widths=tuple(patch_widths),
        norm=norm,
        pool=pool,
        cls_tokens=cls_tokens,
        drop_path=drop_path,
        dtype=dtype,
        remat=remat,
    )


class PointDecoder(nn.Module):
    """From the tokens of visible patches to the points of the hidden ones; built by `decoder`.

    h = LN(blocks([z, m, ..., m]; positions of the visible and hidden centres)),  points = W h_hidden

    with m a learned mask token.
    """

    group_size: int
    depth: int
    num_heads: int
    mlp_ratio: float
    drop_path: float
    dtype: Any
    remat: bool

    @nn.compact
    def __call__(
        self, z: jax.Array, visible_centers: jax.Array, hidden_centers: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Decodes.

        Args:
          z: tokens of the visible patches [N, M, D].
          visible_centers, hidden_centers: [N, M, 3] and [N, H, 3].

        Returns:
          (points [N, H, K, 3] of the hidden patches relative to their centres, tokens [N, M + H, D], visible ones
          first), float32.
        """
        n, visible, dim = z.shape
        check_transformer("points.decoder", dim, self.depth, self.num_heads, self.drop_path)
        hidden = hidden_centers.shape[1]
        token = self.param("mask_token", linear_init, (1, dim), jnp.float32).astype(self.dtype)
        h = jnp.concatenate([z.astype(self.dtype), jnp.broadcast_to(token, (n, hidden, dim))], axis=1)
        centers = jnp.concatenate([visible_centers, hidden_centers], axis=1)
        positions = PointPositions(dim, dim, self.dtype, name="positions")(centers)
        h = _blocks(h, positions, train, self)[0].astype(jnp.float32)
        points = Dense(3 * self.group_size, kernel_init=linear_init, dtype=self.dtype, name="predict")(h[:, visible:])
        return rearrange(points, "n h (k c) -> n h k c", c=3).astype(jnp.float32), h


def decoder(
    *,
    group_size: int,
    depth: int = 4,
    num_heads: int = 6,
    mlp_ratio: float = 4.0,
    drop_path: float = 0.0,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> PointDecoder:
    """The decoder of a masked autoencoder of clouds; its width is that of the tokens that it is given.

    Args:
      group_size: K, the number of points of a patch.
      depth, num_heads, mlp_ratio: number of blocks, heads, MLP hidden width over D.
      drop_path: rate of the last block; it grows linearly from 0 at the first.
      dtype: compute dtype; parameters and outputs are float32.
      remat: recompute each block in the backward pass.

    Returns:
      `PointDecoder`.
    """
    return PointDecoder(group_size, depth, num_heads, mlp_ratio, drop_path, dtype, remat)
