"""Self-supervised learning in JAX: pure losses, one training loop, honest evaluation."""

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.2.0"


def __getattr__(name: str) -> ModuleType:
    """Imports a sub-package or module when it is first used: `import jaxssl` alone loads nothing."""
    if name not in __dir__():
        raise AttributeError(f"module 'jaxssl' has no attribute '{name}'")
    return importlib.import_module(f"jaxssl.{name}")


def __dir__() -> list[str]:
    return ["__version__", *sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")]
