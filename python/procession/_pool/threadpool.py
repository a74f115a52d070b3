"""A pool of threads with the interface of the pool of processes.

This is what the user sees; what the threads do is in `threads.py`.
"""

import itertools
import operator
import threading
import types
import warnings
from functools import partial
from time import monotonic

from procession import pool
from procession._checks import positive, wishes
from procession._pool import cpus
from procession._pool.thread_iterators import IMapIterator, IMapUnorderedIterator
from procession._pool.thread_results import CLOSE, RUN, TERMINATE, AsyncResult, MapResult
from procession._pool.threads import Chunks, Crew, Source, run_call

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# A thread cannot be killed.  `join` after `terminate` leaves one that is stuck in its task after this time.
TERMINATED_JOIN_LIMIT_S = 5.0
# How long a wait goes on at most after a signal.
LOOK_AROUND_S = 0.2
_numbers = itertools.count(1)


class ThreadPool(pool.Pool):
    """`processes` threads (default: as many as CPUs may be used) that work off tasks.

    Each runs `initializer(*initargs)` first; when that raises, every task of the pool fails with its error.
    Raises ValueError for fewer than one thread, TypeError for an initializer that cannot be called.
    """

    _pool: list[threading.Thread] = []

    def __init__(
        self,
        processes: int | None = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
    ) -> None:
        count = cpus.budget() if processes is None else operator.index(processes)
        if count < 1:
            raise ValueError(f"a pool needs at least one thread, not {count}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {initializer!r}")
        self._state = RUN
        self._processes = count
        self._crew = Crew(count, f"ThreadPool-{next(_numbers)}", initializer, initargs)
        self._pool = self._crew.threads
        for _ in range(count):
            self._crew.hire()

    # The last arguments of the methods are those of `Pool`, with one difference: a thread cannot be ended, so a call
    # that takes longer than `timeout` runs on, unheard, and another thread takes the place of the one that is in it.

    def apply(self, func, args=(), kwds={}, *, timeout=None, retries=0, retry_on=()):  # noqa: B006 - as documented
        """Call `func(*args, **kwds)` in a worker and return its result; blocks until it is there."""
        return self._complete(*self._call(func, args, kwds, (None, None), wishes(timeout, retries, retry_on)))

    def apply_async(
        self,
        func,
        args=(),
        kwds={},  # noqa: B006 - as documented
        callback=None,
        error_callback=None,
        *,
        timeout=None,
        retries=0,
        retry_on=(),
    ):
        """Have `func(*args, **kwds)` called; return an AsyncResult at once."""
        wanted = wishes(timeout, retries, retry_on)
        result, step = self._call(func, args, kwds, (callback, error_callback), wanted)
        self._crew.start(result, step)
        return result

    def _call(self, func, args, kwds, callbacks, wanted):
        self._check_running()
        _check_callable(func)
        result = AsyncResult(*(*callbacks, self._crew.turn))
        return result, partial(run_call, self._crew, result, func, args, kwds, wanted)

    def _complete(self, result, step):
        """Have a step done and return its result; whatever ends the wait gives it up, as nobody else has it."""
        try:
            self._crew.start(result, step)
            # A signal that comes just before a lock is waited for ends no wait.
            while not result.ready():
                result.wait(LOOK_AROUND_S)
        except BaseException:
            result.cancel()
            raise
        return result.get()

    def _map(self, func, iterable, chunksize, star, wanted):
        return self._complete(*self._chunks(func, iterable, chunksize, star, None, wanted))

    def _map_async(self, func, iterable, chunksize, star, callbacks, wanted):
        result, step = self._chunks(func, iterable, chunksize, star, callbacks, wanted)
        self._crew.start(result, step)
        return result

    def _chunks(self, func, iterable, chunksize, star, callbacks, wanted):
        self._check_running()
        _check_callable(func)
        size = None if chunksize is None else _check_chunksize(chunksize)
        items = iterable if isinstance(iterable, tuple | range) else list(iterable)
        if wanted is not None:
            size = 1  # each call has a limit of its own
        elif size is None:
            # Four chunks a worker, rounded up, as documented by example and relied upon.
            size = max(1, -(-len(items) // (self._processes * 4)))
        count = -(-len(items) // size)
        result = MapResult(len(items), count, *(*(callbacks or (None, None)), self._crew.turn))
        mapper = itertools.starmap if star else map
        chunks = Chunks(self._crew, result, mapper, func, items, size, wanted)
        return result, chunks.step if count else None

    def imap(self, func, iterable, chunksize=1, *, buffersize=None, timeout=None, retries=0, retry_on=()):
        """Return an iterator over `func(item)` in the order of `iterable`, which is read as needed.

        With `buffersize` it is read no further once so many items are ahead of the results that were read.
        """
        wanted = wishes(timeout, retries, retry_on)
        return self._imap(IMapIterator, func, iterable, chunksize, buffersize, wanted)

    def imap_unordered(self, func, iterable, chunksize=1, *, buffersize=None, timeout=None, retries=0, retry_on=()):
        """Like `imap`, in the order in which they are done."""
        wanted = wishes(timeout, retries, retry_on)
        return self._imap(IMapUnorderedIterator, func, iterable, chunksize, buffersize, wanted)

    def _imap(self, kind, func, iterable, chunksize, buffersize, wanted):
        self._check_running()
        _check_callable(func)
        if buffersize is not None:
            buffersize = positive(buffersize, "buffersize")
        size = _check_chunksize(chunksize) if wanted is None else 1
        source = Source(self._crew, kind.outcomes_type, func, iterable, size, buffersize, wanted)
        self._crew.start(source.results, source.step)
        return kind(source.results, source)

    def stats(self):
        """Threads are not counted: raises NotImplementedError."""
        raise NotImplementedError("a ThreadPool has no worker processes to tell about")

    def dump_stacks(self, timeout=1.0):
        """`faulthandler.dump_traceback` shows the threads of this process: raises NotImplementedError."""
        raise NotImplementedError("a ThreadPool has no worker processes: see faulthandler.dump_traceback()")

    def close(self):
        """Take no further tasks; the workers end when those at hand are done.  Never blocks."""
        if self._state == RUN:
            self._state = CLOSE
            self._crew.close()

    def terminate(self):
        """Drop the tasks that wait; their results fail with PoolTerminated.  Running tasks run on."""
        self._state = TERMINATE
        self._crew.terminate()

    def join(self):
        """Block until the workers have ended; ValueError before `close` or `terminate`.

        After `terminate` a worker that stays in its task for 5 seconds is left to itself (a daemon thread).
        """
        if self._state == RUN:
            raise ValueError("Pool is still running: call close() or terminate() before join()")
        limit = None if self._state == CLOSE else monotonic() + TERMINATED_JOIN_LIMIT_S
        for thread in list(self._pool):
            if thread is not threading.current_thread():
                thread.join(None if limit is None else max(0.0, limit - monotonic()))
        self._crew.watch.join(TERMINATED_JOIN_LIMIT_S if limit is None else max(0.0, limit - monotonic()))
        stuck = sum(thread.is_alive() for thread in self._pool)
        if stuck and limit is not None:
            message = f"{stuck} threads of {self!r} are still in their tasks"
            warnings.warn(message, ResourceWarning, stacklevel=2)

    def __enter__(self):
        self._check_running()
        return self

    def __exit__(self, *_exception):
        self.terminate()

    def __reduce__(self):
        raise NotImplementedError("a pool cannot be passed to another process or pickled: create one there")

    def __repr__(self):
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} state={self._state} size={self._processes}>"

    def __del__(self, _warn=warnings.warn, _RUN=RUN):
        if getattr(self, "_state", None) == _RUN and self._crew.is_ours():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
            self._crew.close()

    def _check_running(self):
        if self._state != RUN:
            raise ValueError("Pool not running")
        if not self._crew.is_ours():
            raise ValueError("Pool not running: its threads stayed behind in the fork, create one here")

    __class_getitem__ = classmethod(types.GenericAlias)


def _check_callable(func):
    if not callable(func):
        raise TypeError(f"a task must be callable, not {func!r}")


def _check_chunksize(chunksize):
    size = operator.index(chunksize)
    if size < 1:
        raise ValueError(f"chunksize must be at least 1, not {size}")
    return size
