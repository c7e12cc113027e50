"""Tokens that encoders give beside their features, and how parts of an input are hidden: one interface for all encoders.

Every encoder that has places (patches, tubelets, frames, tokens of a text, columns, nodes) has the method

    encode(x, train, hide=None, layers=()) -> Tokens

and `pooled(tokens)`, the features [N, D] that its plain call gives. An encoder that cuts its input into patches of raw
values also has `grid_of(x)` and `patches_of(x)` [N, L, P], row by row. `can` lists what it can do, in the words of
`ABILITIES`; a method asks for it with `needs`.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import flax.struct
import jax
from einops import rearrange

from jaxssl.build import nearest

# The abilities that an encoder may have, in the words of an error message.
ABILITIES = {
    "patches": "gives a token for every patch, place or frame",
    "cls": "has a class token",
    "registers": "has register tokens",
    "visible_ids": "can encode some of the patches without the others",
    "several": "can encode several choices of patches at once",
    "masked": "has a mask token, which takes the place of hidden patches",
    "targets": "cuts its input into patches of raw values",
}


@flax.struct.dataclass
class Hide:
    """The parts of an input that are hidden from an encoder: by one of these masks, or by both.

    Attributes:
      visible_ids: int [N, K], the patches that are encoded, in this order; the others are left out after positions have
        been added. Columns of a table are patches too. [N, V, K], where the encoder can: V choices, each encoded by
        itself.
      masked: bool [N, L], True = hidden: the encoder's mask token takes the patch's place, its position stays.
    """

    visible_ids: jax.Array | None = None
    masked: jax.Array | None = None


@flax.struct.dataclass
class Tokens:
    """The output of an encoder, float32.

    Attributes:
      h: [N, L', D], all tokens after the final norm: the class token, the registers, then the patches. [N, V, L', D] for V
        choices of visible patches.
      grid: of the whole input, (rows, columns), (in time, rows, columns) or (length,); row by row.
      class_token, registers_count: whether there is a class token, and the number of registers, ahead of the patches.
      mask: bool [N, L], True = present, where the input has padding.
      layers: {name: Tokens} of the layers that were asked for, as they leave the layer, before any final norm.
      attention: {'block0/attn': [N, heads, L', L']}, rows of queries that add up to 1, where these were asked for.
      extras: other outputs of the encoder, such as the `centers` and `groups` of a cloud's patches.
    """

    h: jax.Array
    grid: tuple[int, ...] = flax.struct.field(pytree_node=False)
    class_token: bool = flax.struct.field(pytree_node=False, default=False)
    registers_count: int = flax.struct.field(pytree_node=False, default=0)
    mask: jax.Array | None = None
    layers: dict[str, "Tokens"] = flax.struct.field(default_factory=dict)
    attention: dict[str, jax.Array] = flax.struct.field(default_factory=dict)
    extras: dict[str, jax.Array] = flax.struct.field(default_factory=dict)

    @property
    def cls(self) -> jax.Array | None:
        """Class token [N, D], None where there is none."""
        return self.h[..., 0, :] if self.class_token else None

    @property
    def registers(self) -> jax.Array:
        """Register tokens [N, R, D]; R may be 0."""
        first = int(self.class_token)
        return self.h[..., first : first + self.registers_count, :]

    @property
    def patches(self) -> jax.Array:
        """[N, L, D], or [N, K, D] of the visible ones in the order of `visible_ids`."""
        return self.h[..., int(self.class_token) + self.registers_count :, :]

    @property
    def map(self) -> jax.Array:
        """Patches on their grid [N, *grid, D]. Raises ValueError where some were left out."""
        patches = self.patches
        if patches.shape[-2] != math.prod(self.grid):
            raise ValueError(
                f"{patches.shape[-2]} patches do not fill the grid {self.grid}; a map needs an input with nothing left out."
            )
        return patches.reshape(*patches.shape[:-2], *self.grid, patches.shape[-1])


def of_maps(x: jax.Array, maps: Mapping[str, jax.Array], layers: Iterable[str], owner: Any) -> Tokens:
    """The `Tokens` of a network of maps [N, ..., D] without tokens ahead of them.

    Args:
      x: last map [N, ..., D]; its axes between the first and the last are the grid.
      maps: the maps of all layers by name.
      layers: names of those to give.
      owner: the network, for the message.

    Raises:
      ValueError: a name in `layers` that the network does not have.
    """
    check_layers(layers, maps, owner)
    flat = lambda x: rearrange(x, "n ... d -> n (...) d").astype("float32")
    wanted = {name: Tokens(flat(maps[name]), maps[name].shape[1:-1]) for name in layers}
    return Tokens(flat(x), x.shape[1:-1], layers=wanted)


def of_blocks(
    h: jax.Array, outputs: Mapping[str, jax.Array], maps: dict[str, jax.Array], grid: tuple[int, ...], **options: Any
) -> Tokens:
    """The `Tokens` of a transformer, from its last output and what `models.transformer.run_blocks` gives of its layers.

    Args:
      h: all tokens after the final norm, [N, L', D].
      outputs, maps: outputs and maps of attention of the layers that were asked for, by name.
      grid: of the whole input.
      **options: `class_token`, `registers_count`, `mask`, of the tokens and of those of the layers alike.
    """
    made = lambda h, **more: Tokens(h.astype("float32"), grid, **options, **more)
    return made(h, layers={name: made(output) for name, output in outputs.items()}, attention=maps)


def check_layers(layers: Iterable[str], known: Iterable[str], owner: Any) -> None:
    """Raises ValueError for a name that is not among the layers of the network `owner`, naming the nearest."""
    if isinstance(layers, str):
        raise ValueError(f"layers={layers!r}: must be a tuple of names, as in ({layers!r},).")
    for name in layers:
        if name not in known:
            raise ValueError(f"layers={tuple(layers)}: {name_of(owner)} has no layer {name!r}.{nearest(name, known)}")


def check_hide(hide: Hide | None, owner: Any) -> Hide:
    """`hide`, or nothing hidden for None; ValueError where the encoder cannot hide so."""
    if hide is None:
        return Hide()
    if not isinstance(hide, Hide):
        raise ValueError(f"hide: must be models.tokens.Hide(visible_ids=..., masked=...), got {type(hide).__name__}.")
    for field in ("visible_ids", "masked"):
        if getattr(hide, field) is not None and field not in owner.can:
            raise ValueError(f"hide.{field}: needs an encoder that {ABILITIES[field]}; {name_of(owner)} is none.")
    ids = hide.visible_ids
    if ids is not None and ids.ndim != 2 and not (ids.ndim == 3 and "several" in owner.can):
        wanted = "[N, K] or [N, V, K]" if "several" in owner.can else "[N, K]"
        raise ValueError(f"hide.visible_ids: must be {wanted} for {name_of(owner)}, got shape {tuple(ids.shape)}.")
    return hide


def needs(encoder: Any, method: str, *what: str, example: str = "") -> None:
    """Refuses an encoder that lacks what a method needs, before anything is compiled.

    Args:
      encoder: Flax module.
      method: its id, as 'methods.mae'.
      *what: names of ABILITIES; any other word is an attribute that the encoder must have, as 'vocab_size'.
      example: an encoder that has it, as 'models.vit.vit'.

    Raises:
      TypeError: naming the method, the encoder, what it lacks, and the example.
    """
    can = getattr(encoder, "can", ())
    lacking = [word for word in what if word not in can and (word in ABILITIES or not hasattr(encoder, word))]
    if lacking:
        said = " and ".join(ABILITIES.get(word, f"has `{word}`") for word in lacking)
        right = f" encoder.name={example!r} would be right." if example else ""
        raise TypeError(f"encoder={name_of(encoder)}: {method} needs an encoder that {said}; this one does not.{right}")


def name_of(module: Any) -> str:
    """Where a network is from, as 'models.vit.ViT'."""
    return f"{type(module).__module__.removeprefix('jaxssl.')}.{type(module).__name__}"
