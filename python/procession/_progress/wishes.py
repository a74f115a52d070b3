"""What `progress=` may be, and who draws for it."""

import os
import sys

from procession._pool.current import in_worker
from procession._progress.called import Called
from procession._progress.plain import Plain

__all__ = ["check", "drawer"]

NAMES = ("rich", "tqdm", "plain")
# "0" has nobody draw, whatever the program wishes for.
VARIABLE = "PROCESSION_PROGRESS"


def check(wish):
    """Return a wish that makes sense.

    Raises:
        TypeError, ValueError: it makes none.
        ImportError: the library that it names is not installed.
    """
    if isinstance(wish, bool) or wish is None:
        return bool(wish)
    if isinstance(wish, str):
        if wish not in NAMES:
            raise ValueError(f"progress must be True, False, {', '.join(map(repr, NAMES))} or a callable, not {wish!r}")
        if wish != "plain" and not _is_installed(wish):
            raise ImportError(f"progress={wish!r} needs {wish}: pip install 'procession[progress]'", name=wish)
        return wish
    if callable(wish):
        return wish
    raise TypeError(f"progress must be True, False, {', '.join(map(repr, NAMES))} or a callable, not {wish!r}")


def drawer(wish):
    """Return who draws for a wish that was checked; None for nobody: in workers, and where it is switched off."""
    if wish is False or os.environ.get(VARIABLE) == "0" or in_worker():
        return None
    if not isinstance(wish, str | bool):
        return Called(wish)
    stream = sys.stderr
    if wish is True and _is_notebook():
        from procession._progress.notebook import Notebook

        return Notebook()
    if stream is None:
        return None
    if wish == "plain" or not _draws(stream):
        return Plain(stream, always=wish == "plain")
    kind = wish if isinstance(wish, str) else next((name for name in NAMES if _is_installed(name)), "plain")
    if kind == "plain":
        return Plain(stream, always=True)
    from procession._progress import screen

    return screen.line(kind)


def _is_installed(name):
    if name in sys.modules:
        return sys.modules[name] is not None
    if name == "plain":
        return True
    from importlib.util import find_spec

    return find_spec(name) is not None


def _draws(stream):
    """Return whether lines can be drawn anew on what a stream writes to."""
    from procession._progress.above import underlying

    try:
        return underlying(stream).isatty() and os.environ.get("TERM") not in (None, "", "dumb", "unknown")
    except (AttributeError, ValueError):
        return False


def _is_notebook():
    shell = sys.modules.get("IPython")
    get = getattr(shell, "get_ipython", None)
    return get is not None and getattr(get(), "kernel", None) is not None
