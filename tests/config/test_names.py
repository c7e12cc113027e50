"""Names of files in messages."""

import os
from pathlib import Path

import pytest

from jaxssl.names import shortened, shown


@pytest.mark.parametrize(
    "name, right",
    [
        ("plain name (1).png", "plain name (1).png"),
        ("Käse/日本.png", "Käse/日本.png"),
        ("a\nERROR b.png", r"a\x0aERROR b.png"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J\x85\x7f\r\t", r"\x9b2J\x85\x7f\x0d\x09"),
        ("gnp.\u202eexe\u2028", r"gnp.\u202eexe\u2028"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        (b"caf\xe9.png", r"caf\xe9.png"),
        (Path("x/\x07"), r"x/\x07"),
        ("\U000e0001", r"\U000e0001"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_shown_is_one_printable_line(name, right):
    assert shown(name) == right
    assert shown(name).isprintable() and shown(shown(name)) == right
    shown(name).encode("utf-8")


def test_shortened_keeps_how_a_text_begins_and_ends():
    """A cause stands at the end of a sentence with a long path: the end must not be cut off."""
    text = "could not write " + "/long" * 200 + ": File too large"
    assert len(shortened(text, 100)) == 100
    assert shortened(text, 100).startswith("could not write /long") and shortened(text, 100).endswith(
        ": File too large"
    )
    assert shortened(text, len(text)) == text
    assert shortened("x" * 101, 100) == "x" * 47 + " ... " + "x" * 48
