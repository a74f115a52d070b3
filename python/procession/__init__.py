"""Process-based parallelism that does not hang, does not copy and needs no tuning."""

from procession._procession import __version__

__all__ = ["__version__"]
