"""What a worker of a Rust program's pool runs."""

import os
import sys

__all__ = ["main"]


def _find(name):
    """Return the function of a name, as in "module:function"."""
    # The Rust half has taken it; programs that tasks start are not to have it.
    os.environ.pop("PROCESSION_CHILD", None)
    from importlib import import_module

    module, _, path = name.partition(":")
    function = import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    if not callable(function):
        raise TypeError(f"{name} is no function, but {type(function).__name__}")
    return function


def main() -> None:
    """Serve the pool until it ends, and exit."""
    import _signal

    from procession._procession import serve_rust_pool

    # As in the pool's other workers: Ctrl-C ends them.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    sys.exit(serve_rust_pool(_find))
