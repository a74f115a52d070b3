"""Counts, sizes, spans of time and shares as people read them, and shorter ones for the columns of tables.

An error that names a limit of memory has its own form, `texts.in_units`: of thousands, as the limit is given.
"""

__all__ = ["number", "percent", "short_size", "short_span", "size", "span", "whole_span"]


def size(count):
    """Return a number of bytes as a text such as `53 MiB`."""
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits:
            value = count / (1 << bits)
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    return f"{count} B"


def short_size(count):
    """Return a number of bytes in four or five characters, such as `10M`."""
    for unit in ("", "K", "M", "G", "T"):
        if count < 1000 or unit == "T":
            return f"{count:.1f}{unit}" if unit and count < 10 else f"{count:.0f}{unit}"
        count /= 1024
    return ""


def span(seconds):
    """Return a span of time with two figures or three, such as `11 µs`, `590 ms`, `6.1 s`, `2 min 10 s`."""
    if seconds >= 99.95:
        return whole_span(seconds)
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            value = seconds * factor
            return f"{value:.1f} {unit}" if value < 9.95 or unit == "s" else f"{value:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds > 0 else "0 s"


def whole_span(seconds):
    """Return a span of time in whole seconds, such as `6 s`, `3 min 5 s`, `2 h 10 min`, `2 d 2 h`."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = whole // 60
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes // 60 % 24} h"


def short_span(seconds):
    """Return a span of time in at most eight characters, such as `0.1 s`, `62.0 s`, `2:15`, `3:02:15`, `2 days`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 48 * 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 86400} days"


def number(count):
    """Return a count with its thousands apart, such as `90,292`."""
    return f"{count:,}"


def percent(share):
    """Return a share as a whole number of percent; "–" for None."""
    return "–" if share is None else f"{100 * share:.0f}%"
