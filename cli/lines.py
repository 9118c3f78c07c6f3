"""Lines for people: on standard output and error, with nothing in them that a terminal obeys."""

from __future__ import annotations

import sys
from contextlib import suppress

from dcncodec.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's control characters, lone surrogates (bytes of file names that are no UTF-8), and the
separators of lines and paragraphs."""
_DIRECTIONS = {
    *map(chr, range(0x202A, 0x202F)),
    *map(chr, range(0x2066, 0x206A)),
    "\u200e",
    "\u200f",
}
"""Marks that turn the direction of writing: with them a name shows other than it is."""


def escaped(text: str, keep: str = "") -> str:
    r"""Text whose control characters are written as escapes, such as ``\x1b``.

    Args:
        text: file names, entries of cards, messages of libraries.
        keep: control characters that stay, such as the line feeds of a longer text.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    import unicodedata

    if unicodedata.category(character) not in _UNSHOWN and character not in _DIRECTIONS:
        return character
    if "\udc80" <= character <= "\udcff":
        # A byte of a file name that is no UTF-8 (PEP 383).
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def say(text: str) -> None:
    """One line on standard output."""
    _write(sys.stdout, escaped(text))


def say_text(text: str) -> None:
    """Lines of a longer text on standard output."""
    _write(sys.stdout, escaped(text, keep="\n\t"))


def json_line(facts: object) -> str:
    """Facts as JSON in one line, without control characters."""
    import json

    return json.dumps(facts).replace("\x7f", "\\u007f")


def tell(text: str) -> None:
    """One line on standard error: what is going on."""
    # Where nobody can be told, the exit code still tells.
    with suppress(OSError, ValueError):
        _write(sys.stderr, escaped(text))


def complain(text: str) -> None:
    """One line on standard error: an error or a warning."""
    tell(f"dcn: {text}")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:
        stream.write(f"{text}\n")
        stream.flush()
