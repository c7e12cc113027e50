"""Random masks over patches."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.checks import positive_int, unit_interval
from jaxssl.ops.meshes import any_mesh


class RandomMask(NamedTuple):
    """`masked` bool [N, L], True = hidden; `visible_ids` int32 [N, Lv]; `restore_ids` int32 [N, L].

    Gathering a row's tokens by `visible_ids` gives the visible ones; gathering visible tokens followed by
    hidden ones by `restore_ids` gives the original order.
    """

    masked: jax.Array
    visible_ids: jax.Array
    restore_ids: jax.Array


def hidden_count(ratio: float, num_patches: int, *, option: str = "masking_ratio", floor: str = "visible") -> int:
    """Number of patches to hide of `num_patches`, at least one and not all.

    With floor='visible', num_patches - floor((1 - ratio) * num_patches), as He et al. count (MAE); with floor='hidden',
    floor(ratio * num_patches), as Point-MAE does. Rounding errors of a product that should be whole are ignored.
    `ratio`: a Python number, since it fixes shapes. `option`: what the error calls it.
    Raises: TypeError, ValueError for a ratio that is no number, lies outside [0, 1], or whose hidden or visible share
    is less than one patch.
    """
    num_hidden = _hidden(ratio, num_patches, option, floor)
    if not 1 <= ratio * num_patches + 1e-6 <= num_patches - 1 + 2e-6:
        raise ValueError(
            f"{option}={ratio}: hides {ratio * num_patches:.4g} of {num_patches} patches; "
            "at least one must be hidden and at least one visible."
        )
    return num_hidden


def partly_hidden(num_hidden: int, num_patches: int, *, option: str) -> int:
    """`num_hidden`, where it is at least one and not all of `num_patches`; else ValueError, beginning with `option`."""
    if not 0 < num_hidden < num_patches:
        raise ValueError(
            f"{option}: hides {num_hidden} of {num_patches} patches; it must hide at least one and leave at least one."
        )
    return num_hidden


def _hidden(ratio, num_patches, option, floor):
    positive_int("num_patches", num_patches)
    if isinstance(ratio, jax.Array):
        raise TypeError(f"{option}: must be a Python number, because the number of visible patches is a shape.")
    unit_interval(option, ratio)
    if floor not in ("visible", "hidden"):
        raise ValueError(f"floor={floor!r}: must be 'visible' or 'hidden'.")
    share = ratio if floor == "hidden" else 1 - ratio
    # Slightly more than the product, since 0.7 * 10 would give 6.
    floored = math.floor(share * num_patches + 1e-6)
    return floored if floor == "hidden" else num_patches - floored


@any_mesh
def random_masked(
    key: jax.Array, num_rows: int, num_patches: int, ratio: float | None = None, *, num_hidden: int | None = None
) -> RandomMask:
    """Hides the same number of patches in every row, uniformly and independently per row.

    Either `ratio`, a Python number in [0, 1], since it fixes the shape of `visible_ids`: then floor((1 - ratio) *
    num_patches) patches stay visible; or `num_hidden`, the number of hidden patches. Returns a `RandomMask`.
    Raises: TypeError, ValueError for a ratio outside [0, 1], sizes below 1, both or none of ratio and num_hidden.
    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, 2021, arXiv:2111.06377,
    https://arxiv.org/abs/2111.06377
    """
    positive_int("num_rows", num_rows)
    if (ratio is None) == (num_hidden is None):
        raise ValueError(f"ratio={ratio}, num_hidden={num_hidden}: give either ratio or num_hidden.")
    if num_hidden is None:
        num_hidden = _hidden(ratio, num_patches, "ratio", "visible")
    positive_int("num_patches", num_patches)
    positive_int("num_hidden", num_hidden, least=0)
    if num_hidden > num_patches:
        raise ValueError(f"num_hidden={num_hidden}: must be at most the {num_patches} patches.")
    num_visible = num_patches - num_hidden
    order = jnp.argsort(jax.random.uniform(key, (num_rows, num_patches)), axis=1).astype(jnp.int32)
    restore_ids = jnp.argsort(order, axis=1).astype(jnp.int32)
    return RandomMask(restore_ids >= num_visible, order[:, :num_visible], restore_ids)


class BlockMask(NamedTuple):
    """`masked` bool [N, L], True = hidden; `visible_ids` int32 [N, K], `hidden_ids` int32 [N, L - K], both rising."""

    masked: jax.Array
    visible_ids: jax.Array
    hidden_ids: jax.Array


@any_mesh
def multi_block_mask_1d(
    key: jax.Array, num_rows: int, num_patches: int, keep_ratio: float, *, min_block: int = 10
) -> BlockMask:
    """Hides consecutive blocks of a sequence until exactly ceil(keep_ratio * num_patches) patches are left.

    For each row, until enough patches are hidden: a visible interval is drawn with a probability proportional to its
    length. A block hides part of it, at a uniform position, or all of it if the block is longer; its size is uniform in
    [min_block, number of patches still to hide]. When fewer than min_block patches are still to hide, the block starts at
    an end of the interval that touches a hidden block (either end, where both do).
    `keep_ratio`: a Python number in (0, 1), since it fixes shapes; `min_block`: int. Returns a `BlockMask`.
    Raises: TypeError, ValueError for a ratio that keeps nothing or all, or sizes below 1.
    Source: Weimann, Conrad, Self-Supervised Pre-Training with Joint-Embedding Predictive Architecture Boosts ECG
    Classification Performance, 2024, arXiv:2410.13867, https://arxiv.org/abs/2410.13867
    """
    positive_int("num_rows", num_rows)
    positive_int("num_patches", num_patches)
    positive_int("min_block", min_block)
    # Rounding up what is visible is rounding down what is hidden, and the other way round.
    num_visible = _hidden(keep_ratio, num_patches, "keep_ratio", "visible")
    num_hidden = partly_hidden(num_patches - num_visible, num_patches, option=f"keep_ratio={keep_ratio}")
    positions = jnp.arange(num_patches)

    def block(step, carry):
        masked, key = carry
        left = num_hidden - jnp.sum(masked)
        key_interval, key_size, key_place = jax.random.split(jax.random.fold_in(key, step), 3)
        # A uniform visible patch lies in an interval with a probability proportional to its length.
        inside = jnp.argmax(jnp.where(masked, -1.0, jax.random.uniform(key_interval, (num_patches,))))
        start = jnp.max(jnp.where(masked & (positions < inside), positions + 1, 0))
        end = jnp.min(jnp.where(masked & (positions > inside), positions, num_patches))
        whole = left >= min_block
        size = jnp.where(whole, jax.random.randint(key_size, (), min_block, jnp.maximum(left, min_block) + 1), left)
        size = jnp.minimum(size, end - start)
        anywhere = jax.random.randint(key_place, (), start, end - size + 1)
        at_start = jnp.where((start > 0) & (end < num_patches), jax.random.bernoulli(key_place), start > 0)
        first = jnp.where(
            whole | ((start == 0) & (end == num_patches)), anywhere, jnp.where(at_start, start, end - size)
        )
        return masked | ((positions >= first) & (positions < first + size)), key

    # A block either hides min_block patches or closes an interval, and there is one interval more than blocks;
    # the remainder, less than min_block, hides one patch a turn at least. Turns with nothing left to hide do nothing.
    turns = 2 * (num_hidden // min_block) + 1 + min_block
    none = jnp.zeros((num_patches,), bool)
    row = lambda key: jax.lax.fori_loop(0, turns, block, (none, key))[0]
    masked = jax.vmap(row)(jax.random.split(key, num_rows))
    order = jnp.argsort(masked, axis=1, stable=True).astype(jnp.int32)
    return BlockMask(masked, order[:, :num_visible], order[:, num_visible:])


@any_mesh
def clustered_mask_2d(
    key: jax.Array, num_rows: int, grid: tuple[int, int], num_masked: int, *, cluster: tuple[int, int] = (3, 5)
) -> jax.Array:
    """Hides exactly num_masked patches of a grid in square blocks, bool [N, rows * columns], True = hidden.

    For each row: a side C uniform in `cluster`; then C x C blocks at uniform positions, which may reach over the border,
    until enough patches are hidden. Of the last block a random part is hidden.
    `grid`: (rows, columns); `cluster`: (least, most) side, (1, 1) hides single patches. `num_masked` is a Python
    number.
    Raises: TypeError, ValueError for sizes below 1, more hidden patches than there are.
    Source: Gong et al., SSAST: Self-Supervised Audio Spectrogram Transformer, 2021, arXiv:2110.09784,
    https://arxiv.org/abs/2110.09784
    """
    rows, columns = grid
    for name, value in (("num_rows", num_rows), ("grid[0]", rows), ("grid[1]", columns), ("cluster[0]", cluster[0])):
        positive_int(name, value)
    positive_int("cluster[1]", cluster[1], least=cluster[0])
    positive_int("num_masked", num_masked)
    if num_masked > rows * columns:
        raise ValueError(f"num_masked={num_masked}: must be at most the {rows * columns} patches of the grid.")

    def row(key):
        key_side, key_order, key_last = jax.random.split(key, 3)

        def first_block(side):
            # Blocks come in the order of random numbers at their corners; a patch is hidden by the first that covers
            # it.
            order = jax.random.uniform(key_order, (rows + side - 1, columns + side - 1))
            return jax.lax.reduce_window(order, jnp.inf, jax.lax.min, (side, side), (1, 1), "VALID").reshape(-1)

        sides = range(cluster[0], cluster[1] + 1)
        came = jnp.stack([first_block(side) for side in sides])[jax.random.randint(key_side, (), 0, len(sides))]
        order = jnp.lexsort((jax.random.uniform(key_last, came.shape), came))
        return jnp.zeros(rows * columns, bool).at[order[:num_masked]].set(True)

    return jax.vmap(row)(jax.random.split(key, num_rows))
