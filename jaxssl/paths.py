"""Names of parameters: regular expressions over the paths of a tree."""

import re
from collections.abc import Callable
from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """The path of a leaf as 'encoder/conv1/kernel'."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def path_mask(pattern: str) -> Callable[[Any], Any]:
    """params -> tree of booleans: True where the path (with a leading '/') matches the pattern."""
    search = re.compile(pattern).search
    return lambda params: jax.tree_util.tree_map_with_path(lambda p, _: search("/" + path_name(p)) is not None, params)
