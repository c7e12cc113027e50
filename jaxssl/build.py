"""From a config section to a call: `dict(name='methods.moco', temperature=0.2)` is an import and a call."""

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def nearest(word: str, known) -> str:
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


def resolve(name: str) -> Callable:
    """The factory that a name means.

    'methods.moco' is the function `moco` of jaxssl/methods/moco.py, 'augment.image.simclr' the function `simclr`
    of jaxssl/augment/image.py. A name that is not in jaxssl is looked up as it stands, so that
    'my_package.my_method' is the function `my_method` of one's own module.

    Raises ValueError naming the nearest known name.
    """
    parent, _, last = name.rpartition(".")
    if not parent:
        raise ValueError(f"name='{name}': a name has at least two parts, as in 'methods.simclr'.")
    for prefix in ("jaxssl.", ""):
        for path in (prefix + name, prefix + parent):
            factory = getattr(_module(path), last, None)
            if callable(factory):
                return factory
    package, hints = _module("jaxssl." + parent), []
    if package is not None:
        hints = _siblings(package) or [k for k, v in vars(package).items() if inspect.isfunction(v) and k[0] != "_"]
    raise ValueError(
        f"name='{name}': nothing of that name in jaxssl, nor importable as it stands.{nearest(last, hints)}"
    )


def options_of(factory: Callable) -> set[str]:
    """Names of the keyword-only options of a factory."""
    kinds = inspect.signature(factory).parameters.values()
    return {p.name for p in kinds if p.kind is p.KEYWORD_ONLY}


def build(spec: Mapping[str, Any], *args) -> Any:
    """Calls the factory that `spec['name']` means with the other entries of `spec` as keyword options.

    Raises TypeError for an unknown or missing option, naming the factory and the nearest known option.
    """
    options = {k: v for k, v in spec.items() if k != "name"}
    factory = resolve(spec["name"])
    for option in options:
        known = options_of(factory)
        if option not in known:
            raise TypeError(f"{spec['name']} has no option '{option}'.{nearest(option, known)}")
    missing = [
        p.name
        for p in inspect.signature(factory).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in options
    ]
    if missing:
        raise TypeError(f"{spec['name']} needs the option{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    return factory(*args, **options)
