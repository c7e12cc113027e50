"""Several encoders side by side, each for a modality of its own and without shared parameters."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jaxssl.build import build
from jaxssl.models.module import Dtype
from jaxssl.models.tokens import Hide, Tokens


class Tower(NamedTuple):
    """One encoder. `inputs`: the key of its input in x, or the keys of which it gets a dict."""

    name: str
    encoder: nn.Module
    inputs: str | tuple[str, ...]

    def takes(self, x: Mapping[str, Any]) -> bool:
        """Whether x has the input of this tower."""
        return all(key in x for key in ((self.inputs,) if isinstance(self.inputs, str) else self.inputs))

    def of(self, x: Mapping[str, Any]) -> Any:
        """The input of this tower in x: one entry, or a dict of several."""
        return x[self.inputs] if isinstance(self.inputs, str) else {key: x[key] for key in self.inputs}


class Parts:
    """The towers of a module, opaque to Flax, so that the path of a parameter begins with the tower's name."""

    def __init__(self, towers: Sequence[Tower]):
        self.towers = tuple(towers)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Parts) and self.towers == other.towers

    def __hash__(self) -> int:
        return hash(self.towers)

    def __repr__(self) -> str:
        return repr({tower.name: tower.encoder for tower in self.towers})


class Towers(nn.Module):
    """Encoders by name; built by `towers`. Parameters and statistics are {name: those of the tower}."""

    parts: Parts
    dtype: Any

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The encoders by name."""
        return {tower.name: tower.encoder for tower in self.parts.towers}

    @nn.compact
    def _each(self, x, run: Callable):
        """{name: run(encoder, its input, name)} of the towers whose inputs are in x."""
        out = {
            tower.name: run(tower.encoder.clone(name=tower.name, parent=self), tower.of(x), tower.name)
            for tower in self.parts.towers
            if tower.takes(x)
        }
        if not out:
            wanted = "; or ".join(f"{tower.inputs!r}".strip("()") for tower in self.parts.towers)
            raise ValueError(f"x with {sorted(x)}: towers take a dict with {wanted}; or all of them.")
        return out

    def encode(
        self,
        x: Mapping[str, Any],
        train: bool,
        hide: Mapping[str, Hide] | None = None,
        layers: Mapping[str, Sequence[str]] | tuple[()] = (),
    ) -> dict[str, Tokens]:
        """{name: `models.tokens.Tokens`} of the towers whose inputs are in x; hide: {name: Hide}; layers: {name: names}."""
        hide, layers = hide or {}, layers or {}
        return self._each(
            x, lambda encoder, x, name: encoder.encode(x, train, hide.get(name), tuple(layers.get(name, ())))
        )

    def __call__(self, x: Mapping[str, Any], train: bool) -> dict[str, jax.Array]:
        """x, a dict of inputs, -> {name: features [N, D]}; a tower whose input is not in x is not in the result."""
        return self._each(x, lambda encoder, x, name: encoder(x, train))


def towers(
    *,
    parts: dict,
    inputs: dict | None = None,
    dtype: Dtype = "float32",
    remat: bool = False,
) -> Towers:
    """Encoders without shared parameters, by any names.

    Args:
      parts: {name: encoder}, each a Flax module (x, train) -> [N, D], or dict(name='models.convnet', options).
      inputs: {name: key of x, or keys of which the encoder gets a dict}; a tower that is not in it reads the key of its own
        name.
      dtype, remat: for all encoders that are given by their options, unless one has its own.

    Returns:
      Flax module (x, train) -> {name: features [N, D]}; method 'encode' gives all tokens by name.

    Raises:
      ValueError, TypeError: no tower, an unknown encoder or option, inputs of no tower, naming it.
    """
    if not parts:
        raise ValueError("parts={}: must name an encoder at least, as in dict(image=dict(name='models.convnet')).")
    for name in inputs or {}:
        if name not in parts:
            raise ValueError(f"inputs.{name}: is no tower; parts has {sorted(parts)}.")
    made = []
    for name, part in parts.items():
        keys = (inputs or {}).get(name, name)
        keys = keys if isinstance(keys, str) else tuple(keys)
        made.append(Tower(name, _encoder(name, part, dict(dtype=dtype, remat=remat)), keys))
    return Towers(Parts(made), dtype)


def _encoder(name, part, common):
    if isinstance(part, nn.Module):
        return part
    if not isinstance(part, Mapping) or "name" not in part:
        raise ValueError(f"{name}={part!r}: must be dict(name='models....', options), or a Flax module.")
    return build({**common, **part})
