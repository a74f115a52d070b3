"""What a worker of a Rust program's pool runs."""

import os
import sys

__all__ = ["main"]


def _find(name):
    """Return the function of a name, as in "module:function"."""
    # The Rust half has taken it; programs that tasks start are not to have it.
    os.environ.pop("PROCESSION_CHILD", None)
    from importlib import import_module

    from procession._pool.current import here

    here.task = os.getpid(), _Tasks(name)
    module, _, path = name.partition(":")
    function = import_module(module)
    for part in path.split("."):
        function = getattr(function, part)
    if not callable(function):
        raise TypeError(f"{name} is no function, but {type(function).__name__}")
    return function


class _Tasks:
    """What `current_task()` asks for the task that runs in a worker's thread.

    Args:
        function: the name of what is called.
    """

    def __init__(self, function):
        self._function = function.partition(":")[2]
        self._number, self._last = 0, None

    def task_at(self, _):
        """Return the task that runs, the same one until the next begins: its generators go on."""
        from procession._pool.current import Task
        from procession._procession import rust_task

        known = rust_task()
        if known is None:
            return Task()
        number, index, seed = known
        if number != self._number:
            self._number, self._last = number, Task(self._function, index, seed=_seed(*seed) if seed else None)
        return self._last


def _seed(numbers, key):
    """Return the seed that a Rust program has made of numbers; one number is the seed itself, as in Python."""
    from procession._pool.seeds import Seed

    return Seed(numbers[0] if len(numbers) == 1 else tuple(numbers), tuple(key))


def main() -> None:
    """Serve the pool until it ends, and exit."""
    import _signal

    from procession._procession import serve_rust_pool

    # As in the pool's other workers: Ctrl-C ends them.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    sys.exit(serve_rust_pool(_find))
