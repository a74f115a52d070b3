"""Pools: worker processes that work off tasks.

A long file: one class, whose methods programs know from `multiprocessing`, each with all that it takes.
"""

import os
import sys
import types
import warnings

from procession import _exceptions, process, util
from procession._checks import few, positive, seconds, wishes
from procession._objects.failures import MaybeEncodingError as MaybeEncodingError, RemoteTraceback as RemoteTraceback
from procession._pool.crew import Crew, stay_at_exit
from procession._pool.options import pool_options
from procession._pool.results import (
    ApplyResult as ApplyResult,
    AsyncResult as AsyncResult,
    IMapIterator as IMapIterator,
    IMapUnorderedIterator as IMapUnorderedIterator,
    MapResult as MapResult,
)
from procession._pool.worker import Terms

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Self, TypeVar, Unpack

    from procession._exceptions import (
        NodeLost as NodeLost,
        OverMemory as OverMemory,
        PoolTerminated as PoolTerminated,
        TaskTimeout as TaskTimeout,
        WorkerDied as WorkerDied,
    )
    from procession._pool.current import Task as Task, Worker as Worker
    from procession._pool.output import OutputLine as OutputLine
    from procession._pool.stats import PoolStats as PoolStats, TaskStats as TaskStats, WorkerStats as WorkerStats
    from procession._progress.facts import Progress as Progress, TaskProgress as TaskProgress
    from procession._typed.options import (
        MapOptions,
        PoolOptions as PoolOptions,
        ProgressWish as ProgressWish,
        TaskOptions,
    )
    from procession._typed.pools import Maps as _Maps
    from procession.context import BaseContext

    _T = TypeVar("_T")
    _R = TypeVar("_R")
    _Errors = type[BaseException] | tuple[type[BaseException], ...]
    _Failed = Callable[[BaseException], object]
else:
    _Maps = object

__all__ = ["Pool", "ThreadPool"]

INIT = "INIT"
RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

_NO_ERRORS: "tuple[type[BaseException], ...]" = ()  # the same object for each call that names none


class Pool(_Maps):
    """Worker processes that work off tasks. The end of a `with` block terminates it.

    Args:
        processes: how many workers; None for as many as this process may use CPUs: by its affinity, the quota of its
            control group, and in a worker of another pool by its share of those.
        initializer: what each worker calls first, with `initargs`. If it raises, every task gets its exception.
        maxtasksperchild: after so many chunks a worker is replaced; None for never.
        context: where processes come from; None for the default start method.
        crew: who works: "processes", "threads", or "serial", which runs tasks in the caller, for a debugger; None for
            what `PROCESSION_CREW` of the environment names, else that of the context. What it does not offer of this
            class is refused (`NotImplementedError`), or left out where the environment names it.
        max_tasks: another name of `maxtasksperchild`.
        max_age: after so many seconds a worker is replaced, when the next one is ready and its task has ended.
        max_memory: how much memory a worker may have while it runs a task, in bytes or as a text such as "2GB": a task
            that takes more fails with `OverMemory`. What counts is private memory, without files and shared memory. The
            kernel holds the limit, too, where it has delegated a control group to this user: then shared memory that
            the worker was first to write counts, and programs that it starts.
        env, nice, cpu_affinity: what each worker is given of its own: environment variables (None removes one), what is
            added to the priority's number, the numbers of its CPUs; or functions that give it for a worker's number.
        finalizer: what each worker calls last, at an end that was planned: once the pool was closed and its tasks have
            ended, or the worker is replaced for its age, memory or count of tasks. At `terminate`, and so at the end of
            a `with` block, workers that run nothing have a second for it. What it raises is printed.
        forward_logs: whether log records and warnings of workers that find no handler there go to the handlers of this
            process; records have the worker in `processName` and the task in `task`.
        capture_output: whether what tasks write to standard output and error, C code and programs that they start
            included, comes as whole lines to `sys.stdout` and `sys.stderr` of this process, each behind the names of
            its worker and task; or a callable that gets each as a `procession.pool.OutputLine` instead, from one thread
            at a time. Workers wait while nobody reads what they write.
        min_workers, max_workers: between these the number of workers follows the load: some are added when tasks wait
            and all are busy, and one leaves when it has had nothing to do for `idle_timeout` seconds. Without
            `max_workers` there are at most `processes`, or else as many as this process may use CPUs at that moment: a
            control group's quota may change. Each of the three options is enough to have it so, with 1 worker at least,
            and 60 seconds.
        idle_timeout: see there.
        resources: how many units of each kind there are for tasks, such as `{"gpu": 2}`: a task with `resources={"gpu":
            1}` waits until it can hold so many, numbered from 0: `procession.current_task().resources`. On a cluster
            each node has so many.
        resource_env: by kind, the variable that shows a task the numbers of its units: `CUDA_VISIBLE_DEVICES`, say.
        progress, seed, seed_globals, on_error, first_error, priority: what these options of the methods are for calls
            that have none of their own.

    The methods that start tasks take, by name, beside what they say:

    * `timeout`: how many seconds a task may run once it has started. Then `TaskTimeout` is raised inside of it; half a
      second later its worker is killed. Other tasks go on. None for no limit.
    * `retries`, `retry_on`: how often a task is tried again whose worker died, or that raised one of these exception
      classes. A task that has killed two workers is not tried again.
    * `seed`, `seed_globals`: by which each task has random numbers of its own.
    * `priority`: from -100 to 100, of calls that wait; the higher goes first.
    * `resources`: how many units of each kind a task holds.

    Maps take further:

    * `progress`: whether the thread that waits draws how far the map is, on standard error: True for the best there is
      (rich, tqdm, lines), "rich", "tqdm", "plain", or a callable that gets a `Progress` ten times a second and at the
      end.
    * `on_error`: what stands for a task that has failed: "raise", an exception of the map; "return", a `TaskFailed`;
      "skip", nothing. `first_error`: whose exception the map raises, by "position" or by "time".
    * `resume`, `on_mismatch`, `fsync`: a file, by which the same call goes on after a crash.
    * `order="longest"` with `cost`: the most expensive items first.

    Once the pool was closed, has ended, or belongs to the parent of a fork, they raise ValueError.

    Raises:
        ValueError, TypeError: an argument makes no sense.
        OSError: a worker could not be started.
    """

    # Options of all calls of the pool, by name.
    _further: "Mapping[str, Any]" = Terms.further

    def __init__(
        self,
        processes: int | None = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
        maxtasksperchild: int | None = None,
        context: "BaseContext | None" = None,
        **options: "Unpack[PoolOptions]",
    ) -> None:
        self._state = INIT
        if "opentelemetry" in sys.modules:
            from procession._pool import tracing

            tracing.notice()
        terms = pool_options(processes, initializer, initargs, maxtasksperchild, **options)
        # Threads need no start method: it is not fixed for them.
        self._ctx = context or (_default_context() if terms.crew in (None, "processes") else None)
        self._maxtasksperchild = terms.max_tasks
        self._further = terms.further
        self._crew: Any = _crew_for(self._ctx, terms)
        self._core = self._crew.core
        self._crew.begin()
        # Ends the workers when the pool is forgotten, or the program ends.
        self._finalizer = util.Finalize(self, self._crew.forgotten, exitpriority=15)
        self._state = RUN

    @property
    def _pool(self):
        return self._crew.processes

    @property
    def _processes(self):
        return self._crew.count

    def __repr__(self):
        cls = type(self)
        size = len(self._pool)
        if not size and type(self._crew) is Crew:  # it has ended, and is told by how many it was to have
            size = self._processes
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={size}>"

    def _repr_html_(self):
        from procession._pool import html

        return html.of_pool(self)

    def __reduce__(self):
        raise NotImplementedError("pool objects cannot be passed between processes or pickled: make one there")

    def __del__(self, _warn=warnings.warn, RUN=RUN):
        if getattr(self, "_state", None) == RUN and self._crew.is_ours():
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)

    if not TYPE_CHECKING:  # its overloads: `_typed.shared`

        def share(self, obj, *, writable=False):
            """Return a copy of `obj` in shared memory, which travels to tasks by reference: see `procession.share`."""
            from procession._objects import sharing

            if writable and not self._crew.shares_memory:
                self._crew.refuse("share(writable=True), as memory is shared within one machine only")
            return sharing.share(obj, writable=writable)

    # -- tasks ------------------------------------------------------------------------------------------------------

    # The last arguments of all methods below are those that the class tells of; those in `further` are listed in
    # `_pool/further.py`.

    def apply(
        self,
        func: "Callable[..., _R]",
        args: "Iterable[Any]" = (),
        kwds: "Mapping[str, Any]" = {},  # noqa: B006
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: "_Errors" = _NO_ERRORS,
        **further: "Unpack[TaskOptions]",
    ) -> "_R":
        """Call `func(*args, **kwds)` in a worker and return what it returns. Waits for it.

        Args:
            timeout: how many seconds it may run once it has started, None for no limit.
            retries: how often it is tried again if its worker died, or it raised one of `retry_on`.
            further: see the class.

        Raises:
            Exception: what it raised.
            TaskTimeout: it ran for more than `timeout` seconds.
            WorkerDied, OverMemory: its worker ended, or was ended for its memory, and `retries` did not help.
            PoolTerminated: the pool was terminated before.
            ValueError: the pool takes no tasks any more.
            PicklingError, TypeError, AttributeError: the function or an argument cannot be sent; the message says why.
        """
        if self._state != RUN:
            self._check_running()
        if (further or self._further) and (further := self._with_common(further)):
            return self._run(further, "apply", func, (args, kwds), wishes(timeout, retries, retry_on))
        try:
            if timeout is None and retries == 0 and retry_on is _NO_ERRORS:
                return self._core.apply(func, args, kwds)
            return self._core.apply(func, args, kwds, wishes(timeout, retries, retry_on))
        except Exception as error:
            stay_at_exit(error)
            raise

    def apply_async(
        self,
        func: "Callable[..., _R]",
        args: "Iterable[Any]" = (),
        kwds: "Mapping[str, Any]" = {},  # noqa: B006
        callback: "Callable[[_R], object] | None" = None,
        error_callback: "_Failed | None" = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: "_Errors" = (),
        **further: "Unpack[TaskOptions]",
    ) -> "ApplyResult[_R]":
        """Like `apply`, without waiting: return an `AsyncResult`, whose `get` raises what `apply` would.

        Args:
            callback, error_callback: the one gets the result, or the other the exception, in a thread of the pool,
                before the result counts as ready. What they raise is printed.

        Raises:
            TypeError: one of them cannot be called.
        """
        self._check_running()
        callbacks = _callbacks(callback, error_callback)
        wanted = wishes(timeout, retries, retry_on)
        if (further or self._further) and (further := self._with_common(further)):
            return self._run(further, "apply", func, (args, kwds), wanted, callbacks=callbacks, waits=False)
        try:
            return ApplyResult(self, self._core.apply_async(func, args, kwds, callbacks, wanted))
        except Exception as error:
            stay_at_exit(error)
            raise

    if not TYPE_CHECKING:  # their overloads: `_typed.pools`

        def map(
            self,
            func: "Callable[[_T], _R]",
            iterable: "Iterable[_T]",
            chunksize: int | None = None,
            *,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "list[_R]":
            """Call `func` on each item and return the list of results, in order. Waits for all of them.

            Args:
                chunksize: how many items are sent together; None: chosen and adapted by the time that items take.
                timeout: how many seconds each item may take once it has started, None for no limit.
                retries: how often an item is tried again if its worker died, or it raised one of `retry_on`.
                further: see the class.

            Raises:
                Exception: what the first item that failed raised, once all have ended; see `apply` for what may become
                    of an item beside that.
            """
            return self._map(func, iterable, chunksize, False, wishes(timeout, retries, retry_on), further)

        def map_async(
            self,
            func: "Callable[[_T], _R]",
            iterable: "Iterable[_T]",
            chunksize: int | None = None,
            callback: "Callable[[list[_R]], object] | None" = None,
            error_callback: "_Failed | None" = None,
            *,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "MapResult[_R]":
            """Like `map`, without waiting: return a `MapResult`; for the callbacks see `apply_async`."""
            callbacks = _callbacks(callback, error_callback)
            wanted = wishes(timeout, retries, retry_on)
            return self._map_async(func, iterable, chunksize, False, callbacks, wanted, further)

        def starmap(
            self,
            func: "Callable[..., _R]",
            iterable: "Iterable[Iterable[Any]]",
            chunksize: int | None = None,
            *,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "list[_R]":
            """Like `map` for items that are argument tuples: `func(*item)`."""
            return self._map(func, iterable, chunksize, True, wishes(timeout, retries, retry_on), further)

        def starmap_async(
            self,
            func: "Callable[..., _R]",
            iterable: "Iterable[Iterable[Any]]",
            chunksize: int | None = None,
            callback: "Callable[[list[_R]], object] | None" = None,
            error_callback: "_Failed | None" = None,
            *,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "MapResult[_R]":
            """Like `starmap`, without waiting: return a `MapResult`."""
            callbacks = _callbacks(callback, error_callback)
            wanted = wishes(timeout, retries, retry_on)
            return self._map_async(func, iterable, chunksize, True, callbacks, wanted, further)

        def imap(
            self,
            func: "Callable[[_T], _R]",
            iterable: "Iterable[_T]",
            chunksize: int = 1,
            *,
            buffersize: int | None = None,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "IMapIterator[_R]":
            """Call `func` on each item; return an iterator over the results, in order.

            Items are taken from `iterable` as there is room for them: at most `buffersize` items are ahead of the
            results that were read (None: chosen by their size), so the iterable may be endless. Does not wait; reading
            does, and raises what the item raised that comes next.
            """
            wanted = wishes(timeout, retries, retry_on)
            return self._imap(IMapIterator, func, iterable, chunksize, buffersize, wanted, further)

        def imap_unordered(
            self,
            func: "Callable[[_T], _R]",
            iterable: "Iterable[_T]",
            chunksize: int = 1,
            *,
            buffersize: int | None = None,
            timeout: float | None = None,
            retries: int = 0,
            retry_on: "_Errors" = (),
            **further: "Unpack[MapOptions]",
        ) -> "IMapUnorderedIterator[_R]":
            """Like `imap`, with the results as they come."""
            wanted = wishes(timeout, retries, retry_on)
            return self._imap(IMapUnorderedIterator, func, iterable, chunksize, buffersize, wanted, further)

    def _map(self, func, iterable, chunksize, star, wanted, further):
        self._check_running()
        iterable, chunksize = self._sized(iterable, chunksize)
        if (further or self._further) and (further := self._with_common(further)):
            return self._run(further, "starmap" if star else "map", func, iterable, wanted, chunk=chunksize)
        try:
            return self._core.map(func, iterable, chunksize, star, wanted)
        except Exception as error:
            stay_at_exit(error)
            raise

    def _map_async(self, func, iterable, chunksize, star, callbacks, wanted, further):
        self._check_running()
        iterable, chunksize = self._sized(iterable, chunksize)
        if (further or self._further) and (further := self._with_common(further)):
            order = "starmap" if star else "map"
            return self._run(further, order, func, iterable, wanted, chunk=chunksize, callbacks=callbacks, waits=False)
        try:
            return MapResult(self, self._core.map_async(func, iterable, chunksize, star, callbacks, wanted))
        except Exception as error:
            stay_at_exit(error)
            raise

    def _run(self, further, *call, **settings):
        from procession._pool import further as options

        return options.Call(self, *call, **settings).run(further)

    def _with_common(self, further):
        """Return the options of a call, with those of its pool; nothing where all that pools have in common is a trace,
        and the caller is in none."""
        common = {"tracing"}
        if self._further is not Terms.further or self._further.keys() != common or not further.keys() <= common:
            return {**self._further, **further}
        from procession._pool import tracing

        told = further["tracing"] if further else tracing.captured()
        return {} if told is None else {"tracing": told}

    def _sized(self, iterable, chunksize):
        if chunksize is not None:
            chunksize = min(positive(chunksize, "chunksize"), 2**31)
        elif self._maxtasksperchild is not None:
            # A chunk counts as a task, so its size has to be known: as in the standard library, four chunks a worker.
            if not hasattr(iterable, "__len__"):
                iterable = list(iterable)
            chunksize = max(1, -(-len(iterable) // (4 * self._processes)))
        return iterable, chunksize

    def _imap(self, kind, func, iterable, chunksize, buffersize, wanted, further):
        self._check_running()
        chunksize = min(positive(chunksize, "chunksize"), 2**31)
        if buffersize is not None:
            buffersize = min(positive(buffersize, "buffersize"), 2**31)
        ordered = kind is IMapIterator
        if (further or self._further) and (further := self._with_common(further)):
            order = "imap" if ordered else "imap_unordered"
            return self._run(further, order, func, iterable, wanted, chunk=chunksize, most=buffersize, waits=False)
        try:
            return kind(self, self._core.imap(func, iter(iterable), chunksize, ordered, buffersize, wanted))
        except Exception as error:
            stay_at_exit(error)
            raise

    # -- what goes on ------------------------------------------------------------------------------------------------

    def stats(self) -> "PoolStats":
        """Return what goes on at this moment: a `procession.pool.PoolStats`. Does not wait.

        Raises:
            ValueError: the pool has ended.
        """
        return self._crew.survey()

    def dump_stacks(self, timeout: float = 1.0) -> str:
        """Return the Python stacks of all workers as text, with what each runs; also of those that are stuck in C code.

        Args:
            timeout: how many seconds to wait for the answers, all in all.

        Raises:
            ValueError: the pool has ended, or `timeout` is no positive number.
        """
        limit = seconds(timeout)
        if limit is None or not 0 < limit < 3e9:
            raise ValueError(f"timeout must be more than 0 seconds and finite, not {timeout!r}")
        return self._crew.stacks(limit)

    def resize(self, processes: int) -> None:
        """Have `processes` workers from now on, also in the middle of a map. Does not wait.

        More are started at once. Those that are too many, idle ones first, leave when they have worked off what they
        have taken up: no task is lost or runs twice. Where the number follows the load it goes on from there.

        Raises:
            ValueError, TypeError: it is no number of workers, or the pool was closed.
            OSError: a worker could not be started; then there are as many as before.
            NotImplementedError: the crew has no such thing, or the pool is shared with others.
        """
        self._check_running()
        self._crew.resize(few(processes, "the number of processes"))

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more tasks; the workers end when all tasks have. Does not wait."""
        util.debug("closing pool")
        if self._state == RUN:
            self._state = CLOSE
            if self._crew.is_ours():
                self._core.close()

    def terminate(self) -> None:
        """End the workers now; tasks without an outcome fail with `PoolTerminated`. `join` waits for the end of all."""
        util.debug("terminating pool")
        self._state = TERMINATE
        self._finalizer.cancel()
        if self._crew.is_ours():
            self._crew.terminate()

    def join(self) -> None:
        """Wait for the workers to end, after `close` or `terminate`; after `close` that is when all tasks have ended.

        Raises:
            ValueError: neither was called.
        """
        util.debug("joining pool")
        if self._state == RUN:
            raise ValueError("Pool is still running: call close() or terminate() before join()")
        if not self._crew.is_ours():
            return
        if self._state == CLOSE and not self._crew.ended:
            self._core.join(None)
        self._crew.await_end(None)

    def __enter__(self) -> "Self":
        self._check_running()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: "TracebackType | None"
    ) -> None:
        self.terminate()

    def _check_running(self):
        if self._state != RUN:
            raise ValueError("Pool not running: it was closed or terminated, make a new one")

    def _repopulate_pool(self):
        self._crew.look()

    __class_getitem__ = classmethod(types.GenericAlias)


class ThreadPool(Pool):
    """A `Pool` whose crew is threads, for tasks that wait rather than compute. A thread can be neither interrupted nor
    ended: a call that takes longer than its `timeout` runs on, unheard, and another thread takes the place of the one
    that is in it.

    Args:
        processes: how many threads; None for as many as this process may use CPUs.
        initializer: what each calls first, with `initargs`. If it raises, every task gets its exception.

    Raises:
        ValueError, TypeError: an argument makes no sense.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
    ) -> None:
        super().__init__(processes, initializer, initargs, crew="threads")


def _callbacks(callback, error_callback):
    if callback is None and error_callback is None:
        return None
    for name, function in (("callback", callback), ("error_callback", error_callback)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a callable or None, not {function!r}")
    return callback, error_callback


def _crew_for(ctx, terms):
    """Return the crew that a pool, the environment or a context asks for; for most it is that of processes."""
    if terms.crew is None and getattr(ctx, "crew", None) is None and "PROCESSION_CREW" not in os.environ:
        return Crew(ctx, terms)
    from procession._pool import crews

    return crews.make(ctx, terms)


def _default_context():
    return process.default_context().get_context()


def __getattr__(name):
    if name in _exceptions.OF_POOLS:
        value = globals()[name] = getattr(_exceptions, name)
        return value
    if name in ("PoolStats", "TaskStats", "WorkerStats"):
        from procession._pool import stats

        return getattr(stats, name)
    if name == "OutputLine":
        from procession._pool.output import OutputLine

        return OutputLine
    if name in ("Progress", "TaskProgress"):
        from procession._progress import facts

        return getattr(facts, name)
    if name in ("Task", "Worker"):
        from procession._pool import current

        return getattr(current, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
