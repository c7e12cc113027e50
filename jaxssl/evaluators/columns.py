"""Measures of evaluators: the columns of a table of results, each with its unit and its direction.

    @columns(Column("knn/top1", "k-NN", "%", "higher"))
    def knn(data, *, k=20): ...

A factory declares the columns of what it builds; where they depend on its options, so does the evaluator that it
returns, `return columns(...)(run)`. Results without a column stand in summary.json and in no table; those of an evaluator
that declares nothing are shown as they are.
"""

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

Declaring = TypeVar("Declaring", bound=Callable)
ARROWS = {"higher": "↑", "lower": "↓", "": ""}


class Column(NamedTuple):
    """One column of a table of results.

    key: of the result, as in 'knn/top1'. `{n}` in it stands for a part that an option sets, as in 'few_labels/{n}_mean'.
    heading: in words; `{n}` is that part, `{s}` the plural of a noun that it counts.
    unit: '%' of a share in [0, 1], which is shown in per cent; '' of a pure number; else the unit itself, as 'mm'.
    better: which way is better, '' where neither is.

    A result 'x' or 'x_mean' is shown with 'x_std' beside it, where there is one. A result 'scope/key' has the column of its key;
    its heading begins with the scope.
    """

    key: str
    heading: str
    unit: str = "%"
    better: Literal["higher", "lower", ""] = "higher"

    @property
    def title(self) -> str:
        """The heading with the unit and an arrow to the better side, as in 'k-NN (% ↑)'."""
        notes = " ".join(filter(None, (self.unit, ARROWS[self.better])))
        return f"{self.heading} ({notes})" if notes else self.heading

    def shown(self, value: float, spread: float | None = None) -> str:
        """A value in the column's unit."""
        text = lambda x: f"{100 * x:.1f}" if self.unit == "%" else f"{x:.4g}"
        return text(value) if spread is None else f"{text(value)} ± {text(spread)}"


def columns(*declared: Column) -> Callable[[Declaring], Declaring]:
    """Decorator: the columns of a factory of evaluators, or of one evaluator."""

    def declare(function):
        function.columns = declared
        return function

    return declare


def declared(function: Callable) -> tuple[Column, ...]:
    """The columns that a factory or an evaluator declares."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "columns", ())


def find(key: str, known: Iterable[Column]) -> Column | None:
    """The column of a result, its key and heading filled in, or None."""
    known, rest, scope = tuple(known), key, ""
    while rest:
        for column in known:
            found = re.fullmatch(re.escape(column.key).replace(r"\{n\}", "(.+)"), rest)
            if found:
                n = found[1] if found.groups() else ""
                heading = column.heading.replace("{n}", n).replace("{s}", "" if n == "1" else "s")
                return column._replace(key=key, heading=f"{scope}: {heading}" if scope else heading)
        head, _, rest = rest.partition("/")
        scope = f"{scope}/{head}" if scope else head
    return None


def cell(results: Mapping[str, float | None], column: Column) -> str:
    """The result of a column, with its spread where there is one; '' where there is none."""
    value, spread = results.get(column.key), results.get(column.key.removesuffix("_mean") + "_std")
    return "" if value is None else column.shown(value, spread)


def scoped(results: Mapping[str, float], scope: str) -> dict[str, float]:
    """The results under a scope: 'knn/top1' becomes 'scope/knn/top1'; as they are where it is ''."""
    return {f"{scope}/{key}" if scope else key: value for key, value in results.items()}


def column_of(key: str) -> Column:
    """The column of a result of any evaluator of the package; one that is known to none is shown as it is."""
    return find(key, _library()) or Column(key, key, "", "")


@functools.cache
def _library() -> tuple[Column, ...]:
    """The columns that the modules of this package declare."""
    package, found = __name__.rpartition(".")[0], []
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        loaded = importlib.import_module(module.name)
        own = (f for f in vars(loaded).values() if getattr(f, "__module__", None) == module.name and callable(f))
        found += [column for f in own for column in declared(f) if isinstance(column, Column)]
    return tuple(found)
