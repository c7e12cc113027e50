"""Names of files as a terminal or a log may show them."""

from pathlib import Path


def shown(text: str | Path) -> str:
    """Text on one line: control characters and what is no valid character as escapes.

    `text`: a path, or a message that holds one. Returns text that can be encoded as UTF-8.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
