"""From a config section to a call: `dict(name='methods.moco', temperature=0.2)` is an import and a call.

Every option is checked against the annotation of the parameter that takes it, by `fit`.
"""

import difflib
import functools
import importlib
import inspect
import math
import numbers
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jaxssl.aliases import current_name, current_spec

# The packages of jaxssl that hold factories.
ROOMS = ("augment", "data", "evaluators", "methods", "models", "pretrained", "studies")


class Untrusted(ValueError):
    """A name that means a factory outside of jaxssl, where only those of jaxssl are built."""


class Misfit(ValueError):
    """A value that is not of its option's type; the message says what would be right."""


class WrongOption(TypeError, ValueError):
    """An option that a factory does not have, or that is missing."""


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' with the nearest known word, or the list of all when none is near."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(known)}." if known else ""


def _module(path: str):
    """The module of that path, or None where there is no such module; an error inside it is not hidden."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(error.name + ".")):
            return None
        raise


def _siblings(package) -> list[str]:
    """Names of the modules of a package, for the error message."""
    import pkgutil

    return [m.name for m in pkgutil.iter_modules(getattr(package, "__path__", []))]


def plain_name(name: Any) -> str:
    """The name without a leading 'jaxssl.'. Raises ValueError unless it has two parts at least, each an identifier."""
    parts = name.split(".") if isinstance(name, str) else []
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise ValueError(f"name={shown(name)}: a name has at least two parts, as in 'methods.simclr'.")
    return name.removeprefix("jaxssl.") if len(parts) > 2 else name


def _own(name: str) -> Callable | None:
    """The public factory that a name means, defined in a room of jaxssl; None where there is none.

    Functions that a module there has imported from elsewhere are no factories of it. Nothing outside jaxssl is looked
    up.
    """
    parts = name.split(".")
    if parts[0] not in ROOMS or any(part.startswith("_") for part in parts):
        return None
    for path in (f"jaxssl.{name}", f"jaxssl.{name.rpartition('.')[0]}"):
        factory = getattr(_module(path), parts[-1], None)
        if callable(factory) and getattr(_function(factory), "__module__", None) == path:
            return factory
    return None


def _function(factory: Callable) -> Callable:
    """The function below `functools.partial`."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory


def resolve(name: str, *, trusted: bool = True) -> Callable:
    """The factory that a name means.

    'methods.moco' is the function `moco` of jaxssl/methods/moco.py, 'augment.image.simclr' the function `simclr`
    of jaxssl/augment/image.py. A name that is not in jaxssl is looked up as it stands, so that
    'my_package.my_method' is the function `my_method` of one's own module. A name of an earlier version means what it
    meant there (see `jaxssl.aliases`).

    Args:
      trusted: False finds public functions and classes that a package of ROOMS defines, and imports nothing else.

    Raises:
      ValueError: there is no such factory; the message names the nearest known one.
      Untrusted: the factory is not of jaxssl, where only jaxssl may be looked up.
    """
    name = current_name(plain_name(name))
    factory = _own(name)
    if factory is not None:
        return factory
    parent, _, last = name.rpartition(".")
    if not trusted and parent.partition(".")[0] not in ROOMS:
        raise Untrusted(f"name={shown(name)}: the module {shown(parent)} is not among the factories of jaxssl.")
    for path in (f"jaxssl.{name}", f"jaxssl.{parent}", name, parent) if trusted else ():
        factory = getattr(_module(path), last, None)
        if callable(factory):
            return factory
    package, hints = _module("jaxssl." + parent) if parent.partition(".")[0] in ROOMS else None, []
    if package is None and parent in ROOMS:
        hints = ROOMS
    if package is not None:
        hints = _siblings(package) or [k for k, v in vars(package).items() if inspect.isfunction(v) and k[0] != "_"]
    raise (ValueError if trusted else Untrusted)(
        f"name={shown(name)}: nothing of that name in jaxssl"
        f"{', nor importable as it stands' if trusted else ''}.{nearest(last, hints)}"
    )


def _keywords(factory: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def options_of(factory: Callable) -> set[str]:
    """Names of the keyword-only options of a factory."""
    return set(_keywords(factory))


def kinds_of(factory: Callable) -> dict[str, Any]:
    """{option: its annotation} of the keyword-only options of a factory; Any where there is none that can be read."""
    try:
        hints = get_type_hints(_function(factory), include_extras=True)
    except (NameError, TypeError):  # of one's own factory: names that exist for a type checker only
        hints = {}
    return {name: hints.get(name, Any) for name in _keywords(factory)}


def build(spec: Mapping[str, Any], *args: Any) -> Any:
    """Calls the factory that `spec['name']` means with the other entries of `spec` as keyword options.

    An option that is a section itself, a mapping with a `name`, is built first, so that a factory gets a network, a
    source or a method, never the section that describes it. Where its parameter is annotated as a mapping, it is left
    alone.

    Raises:
      TypeError: for an unknown or missing option, naming the factory and the nearest known option.
      ValueError: for a value that is not of its option's type, naming the option and what would be right.
    """
    factory = resolve(spec.get("name"))
    options, kinds = checked(spec, factory, spec["name"]), kinds_of(factory)
    for option, value in options.items():
        if _is_section(value) and not _keeps_sections(kinds[option]):
            options[option] = build(value)
    return factory(*args, **options)


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value


def _keeps_sections(kind: Any) -> bool:
    """Whether a parameter is annotated as a mapping: dict, Mapping[str, Any], or a union with one."""
    if get_origin(kind) in (Union, types.UnionType, Annotated):
        return any(_keeps_sections(part) for part in get_args(kind))
    return (get_origin(kind) or kind) in (dict, Mapping)


def checked(spec: Mapping[str, Any], factory: Callable, where: str) -> dict[str, Any]:
    """The options of `spec` as the factory takes them, specs in it too; raises as `build` does."""
    known, kinds, spec = _keywords(factory), kinds_of(factory), _current(spec, where)
    options = {k: v for k, v in spec.items() if k != "name"}
    for option in options:
        if option not in known:
            raise WrongOption(f"{where}.{option}: {spec['name']} has no such option.{nearest(option, known)}")
    missing = [k for k, p in known.items() if p.default is p.empty and k not in options]
    if missing:
        raise WrongOption(f"{where}: {spec['name']} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    if _function(factory).__module__.startswith("jaxssl."):
        kinds = {k: Annotated[kind, functools.partial(_wrong_size, k)] for k, kind in kinds.items()}
    built = {k: v for k, v in options.items() if _is_section(v) and not _keeps_sections(kinds[k])}
    fitted = {k: v if k in built else fit(v, kinds[k], f"{where}.{k}", known[k].default) for k, v in options.items()}
    for option, value in fitted.items():
        if _is_section(value):
            inner = checked(value, resolve_in(f"{where}.{option}", value), f"{where}.{option}")
            fitted[option] = {"name": value["name"], **inner}
    return fitted


def _current(spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        return current_spec(spec)
    except ValueError as error:
        raise WrongOption(f"{where}.{error}") from None


def resolve_in(where: str, spec: Mapping[str, Any]) -> Callable:
    """`resolve` of the name of a section; raises ValueError naming the section where it has none."""
    if not spec.get("name"):
        raise ValueError(f"{where}.name='': the section lacks its name; write one as in name='methods.simclr'.")
    try:
        return resolve(spec["name"])
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def fit(value: Any, kind: Any, option: str, example: Any = None) -> Any:
    """The value as its type wants it: lists as tuples, 3.0 as 3, 1 as 1.0.

    Args:
      value: of the option.
      kind: annotation: bool, int, float, str, None, Literal, a union, tuple, Sequence, Mapping, a class, or Annotated with
        functions that return what is wrong with a value, or ''. Numbers are finite, and True is no number.
      option: its name in the message, as in 'augment.crop_scale'.
      example: a value of that type, such as the default, for the message.

    Raises:
      Misfit: `option=value: what would be right.`
    """
    try:
        return _fit(value, kind)
    except Misfit as wrong:
        sample = _sample(value, kind, example)
        raise Misfit(
            f"{option}={shown(value)}: {wrong}{f', as in {shown(sample)}' if sample is not None else ''}."
        ) from None


def shown(value: Any) -> str:
    """A value for a message: in one line, not too long, without characters that a terminal would obey."""
    text = repr(value.to_dict() if hasattr(value, "to_dict") else value)
    return text if len(text) <= 100 else text[:97] + "..."


def _fit(value: Any, kind: Any) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        value = _fit(value, parts[0])
        for wrong in filter(None, (check(value) for check in parts[1:])):
            raise Misfit(wrong)
        return value
    if origin in (Union, types.UnionType):
        # A value of just that type first: of int | float an int stays one.
        for part in sorted(parts, key=lambda part: part is not type(value)):
            try:
                return _fit(value, part)
            except Misfit:
                continue
    elif origin is Literal:
        if any(value == part and type(value) is type(part) for part in parts):
            return value
    elif _is_sequence(kind):
        if isinstance(value, tuple | list) and (not parts or _variadic(kind) or len(parts) == len(value)):
            if not parts:
                return tuple(value)
            return tuple(_fit(v, parts[0] if _variadic(kind) else parts[i]) for i, v in enumerate(value))
    elif kind is float:
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:  # an integer above all floats
                number = math.inf
            if not math.isfinite(number):
                raise Misfit("must be a finite number")
            return number
    elif kind is int:
        whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
        if whole and not isinstance(value, bool):
            return int(value)
    elif kind is None or kind is type(None):
        if value is None:
            return value
    elif kind is Any:
        return tuple(value) if isinstance(value, list) else value  # factories take hashable options
    elif not isinstance(origin or kind, type) or isinstance(value, origin or kind):
        return value
    raise Misfit(f"must be {_words(kind)}")


def _is_sequence(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (tuple, list, Sequence)


def _variadic(kind: Any) -> bool:
    """Of any length: tuple[T, ...], Sequence[T], list[T]."""
    return get_origin(kind) is not tuple or get_args(kind)[-1] is ...


NOUNS = {bool: "True or False", int: "an integer", float: "a number", str: "text", type(None): "none"}
PLURALS = {bool: "truth values", int: "integers", float: "numbers", str: "words"}
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}


def _words(kind: Any) -> str:
    """The values of that type, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(parts[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if _is_sequence(kind):
        if parts and not _variadic(kind):
            same = len(set(parts)) == 1 and parts[0] in PLURALS
            return f"{COUNTS.get(len(parts), len(parts))} {PLURALS[parts[0]]}" if same else _tuple_words(parts)
        return f"a sequence of {_plural(parts[0])}" if parts else "a sequence"
    if isinstance(origin, type) and issubclass(origin, Mapping) or kind in (dict, Mapping):
        return "a section"
    return NOUNS.get(kind, getattr(kind, "__name__", str(kind)))


def _plural(kind: Any) -> str:
    return PLURALS.get(kind, _words(kind))


def _tuple_words(parts: Sequence[Any]) -> str:
    return f"({', '.join(_words(part) for part in parts)})"


def _sample(value: Any, kind: Any, example: Any) -> Any:
    """A sequence of that type for the message: the example, or the value itself in brackets; else None."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for kind in filter(_is_sequence, kinds):
        for sample in ((value,), example):
            try:
                if sample:
                    return _fit(sample, kind)
            except Misfit:
                continue
    return None


def wrong_number(low: float = -math.inf, high: float = math.inf, *, above: bool = False) -> Callable[[Any], str]:
    """For Annotated: the fault of a number (None passes) outside of low ... high; above: low itself is outside."""
    words = f"must be {'above' if above else 'at least'} {low:g}"
    words = words if high == math.inf else f"{words} and at most {high:.10g}"
    return lambda value: "" if value is None or (low <= value <= high and not (above and value == low)) else words


# Ranges of numbers of these names, in every factory of jaxssl; no whole number there is below 0.
SIZES = (
    (r"(^|_)(dims?|widths?|heads|strides?|kernel_sizes|patch_size|batch_groups|layers)$", wrong_number(1)),
    (r"(^|_)temperature(_end)?$|^mlp_ratio$|^layer_scale$", wrong_number(0, above=True)),
    (r"(^|_)momentum(_end)?$|^(keep|masking)_ratio$", wrong_number(0, 1)),
    (r"(^|_)weight$|^(alpha|delay_volume|margin|min_std)$", wrong_number(0)),
    (r"^(epsilon|loss_scale|max_scale|scale)$", wrong_number(0, above=True)),
    (r"(^|_)(drop_path|dropout)$", wrong_number(0, 1)),
)


def _wrong_size(option: str, value: Any) -> str:
    """The fault of a number, or of one of several, under the name of its option, or ''."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not isinstance(number, bool):
            checks = [check for pattern, check in SIZES if re.search(pattern, option)]
            if isinstance(number, int):
                checks.append(wrong_number(0))
            for wrong in filter(None, (check(number) for check in checks)):
                return wrong
    return ""
