"""Numbers as people read them."""

__all__ = ["number", "percent", "size", "span"]


def span(seconds):
    """A span of time with two figures or three: "6.1 s", "590 ms", "11 µs"."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    if seconds >= 100:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            value = seconds * factor
            return f"{value:.1f} {unit}" if value < 9.95 or (unit == "s" and value < 99.95) else f"{value:.0f} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds > 0 else "0 s"


def size(count):
    """A number of bytes: "53 MiB"."""
    for unit, bits in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << bits:
            value = count / (1 << bits)
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    return f"{count} B"


def number(count):
    """A count with its thousands apart: "90,292"."""
    return f"{count:,}"


def percent(share):
    """A share as a whole number of percent; "–" for None."""
    return "–" if share is None else f"{100 * share:.0f}%"
