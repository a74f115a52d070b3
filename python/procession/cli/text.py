"""Pieces of text: what others wrote, and outputs that know few characters."""

import sys
import unicodedata

from procession._pool.texts import clean

__all__ = ["ascii_only", "clean", "columns", "cut"]

_ASCII = str.maketrans("█▓·▾✗✓▁▂▃▄▅▆▇↑↓→…━╸╺", "#=.vx+__.--=+^v>~=--")


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum((unicodedata.east_asian_width(c) in "WF") + (not unicodedata.combining(c)) for c in text)


def cut(text: str, most: int) -> str:
    """Return as much of a text as so many columns hold."""
    if columns(text) <= most:
        return text
    while text and columns(text) > most:
        text = text[:-1]
    return text


def ascii_only(text: str) -> str:
    """Return a text as an output shows it that knows no other characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
