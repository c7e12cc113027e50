"""Names and errors of others as messages and logs show them."""

import os


def shown(path: str | bytes | os.PathLike) -> str:
    """A file name (or any text) on one line, safe to print: what a terminal would obey or cannot show is escaped.

    Control characters become \\xNN, other characters without a printed form \\uNNNN, bytes of a name that are not UTF-8
    \\xNN. All other text stays as it is, so that `shown(shown(x)) == shown(x)`.
    """
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in os.fsdecode(path))


def shortened(text: str, limit: int) -> str:
    """The text, its middle left out where it is longer than `limit` characters: what went wrong often stands last."""
    if len(text) <= limit:
        return text
    head = (limit - 5) // 2
    return f"{text[:head]} ... {text[len(text) - (limit - 5 - head) :]}"


def _escaped(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
