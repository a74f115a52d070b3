"""Pieces of text: what others wrote, numbers for people, and outputs that know few characters."""

import sys
import unicodedata

from procession._pool.texts import clean

__all__ = ["ascii_only", "clean", "columns", "cut", "duration", "size"]

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


def size(number: float) -> str:
    """Return a number of bytes in four or five characters, such as `10M`."""
    for unit in ("", "K", "M", "G", "T"):
        if number < 1000 or unit == "T":
            return f"{number:.1f}{unit}" if unit and number < 10 else f"{number:.0f}{unit}"
        number /= 1024
    return ""


def duration(seconds: float) -> str:
    """Return seconds as a text for people, such as `0.1 s`, `62.0 s`, `2:15`, `3:02:15`, `2 days`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 48 * 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 86400} days"


def ascii_only(text: str) -> str:
    """Return a text as an output shows it that knows no other characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text
