"""A `concurrent.futures.Executor` on the pool: `ProcessPoolExecutor`.

The differences from the standard one: a worker that dies fails its own task only and is replaced, and
whatever the pool can pickle (lambdas, closures) can be submitted.

A long file: the executor, and the engine under it, which share its futures.
"""

import itertools
import operator
import os
import sys
import threading
import time
import weakref
from _contextvars import copy_context  # without what `contextvars` loads
from collections import deque
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, InvalidStateError
from concurrent.futures._base import FINISHED, RUNNING

from procession import _standard, context as contexts
from procession._checks import few, whole, wishes
from procession._objects.failures import RemoteTraceback
from procession._pool import attention, cpus
from procession._pool.future import PoolFuture

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing.context import BaseContext as StandardContext
    from typing import Any, ParamSpec, TypeVar, Unpack

    from procession._typed.options import ExecutorOptions, ItemOptions, ProgressWish, TaskOptions
    from procession._typed.pools import ExecutorMaps as _Maps
    from procession.context import BaseContext

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
else:
    _R = None
    _Maps = Executor

__all__ = ["BrokenProcessPool", "PoolFuture", "ProcessPoolExecutor"]

# The options that a call takes from where it is submitted, and their modules.
_CAPTURED = {"context": "procession._pool.context_vars", "tracing": "procession._pool.tracing"}

_ends = False  # whether the interpreter does
_all_engines: "weakref.WeakSet[_Engine]" = weakref.WeakSet()


class ProcessPoolExecutor(_Maps):
    """Runs calls in `max_workers` processes (default: as many as CPUs may be used).

    `mp_context` is a context of this package (or a standard one, of which only the start method counts),
    `initializer(*initargs)` runs first in each worker, `max_tasks_per_child` bounds the life of a worker.

    `task_timeout` is how many seconds each call may run, from its start in a worker: `map`'s chunks, too.
    `pool_options` are those of `procession.Pool`, such as `max_memory`, `max_age` or `env`.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: "BaseContext | StandardContext | None" = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
        *,
        max_tasks_per_child: int | None = None,
        task_timeout: float | None = None,
        **pool_options: "Unpack[ExecutorOptions]",
    ) -> None:
        from procession._pool.options import pool_options as check  # a pool's modules, once there is to be one

        workers = cpus.budget() if max_workers is None else whole(max_workers, "max_workers")
        if workers < 1:
            raise ValueError(f"max_workers must be greater than 0, not {workers}")
        few(workers, "max_workers")
        if max_tasks_per_child is not None and not isinstance(max_tasks_per_child, int):
            raise TypeError(f"max_tasks_per_child must be an integer, not {max_tasks_per_child!r}")
        if max_tasks_per_child is not None and max_tasks_per_child < 1:
            raise ValueError(f"max_tasks_per_child must be at least 1, not {max_tasks_per_child}")
        wishes(task_timeout, 0, ())
        self._max_workers = workers
        self._task_timeout = task_timeout
        self._progress = pool_options.get("progress", False)
        # Those that a map of chunks cannot have.
        self._of_items = {name: value for name, value in pool_options.items() if name in ("on_error", "first_error")}
        context = _our_context(mp_context)

        arguments = workers, initializer, tuple(initargs), max_tasks_per_child
        if "opentelemetry" in sys.modules:
            from procession._pool import tracing

            tracing.notice()
        # Workers are started by the first call: what makes no sense is refused here all the same.
        check(*arguments, **pool_options)
        seed = pool_options.pop("seed", None)
        self._seeds: Any = None
        if seed is not None:
            from procession._pool import seeded

            # Here, as calls reach the pool in an order that depends on when others end.
            self._seeds = seeded.check(seed)
        variables = copy_context()

        def make_pool():
            # Workers come with the first call, by whatever thread: they have the context of this one.
            options: Any = pool_options
            return variables.copy().run(context.Pool, *arguments, **options)

        self._engine = _Engine(make_pool, workers)
        # A forgotten executor gives its processes back once its futures are done.
        self._finalizer = weakref.finalize(self, self._engine.shutdown, False)

    def submit(self, fn: "Callable[_P, _R]", /, *args: "_P.args", **kwargs: "_P.kwargs") -> "Future[_R]":
        """Have `fn(*args, **kwargs)` called and return its Future; RuntimeError after a shutdown."""
        wanted = {"timeout": self._task_timeout}
        return self._engine.submit(fn, args, kwargs, wanted if self._seeds is None else self._seeded(wanted))

    def _seeded(self, wanted):
        """Return the wishes for a call, with the seed that it has by its number."""
        return wanted if wanted.get("seed") is not None else {**wanted, "seed": self._seeds.next()}

    def schedule(
        self,
        fn: "Callable[..., _R]",
        args: "Iterable[Any]" = (),
        kwargs: "Mapping[str, Any] | None" = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        **further: "Unpack[TaskOptions]",
    ) -> "PoolFuture[_R]":
        """Have `fn(*args, **kwargs)` called, with wishes of its own, and return its Future. What is in `further` goes
        on to `Pool.apply_async`.

        Args:
            timeout: how many seconds the call may run once it has started, None for the executor's `task_timeout`; then
                it fails with `procession.pool.TaskTimeout`, and other calls go on.
            retries: how often it is tried again if its worker died, or it raised one of `retry_on`.

        Raises:
            RuntimeError: after a shutdown.
            TypeError, ValueError: a wish makes no sense.
        """
        wishes(timeout, retries, retry_on)
        timeout = self._task_timeout if timeout is None else timeout
        wanted = {"timeout": timeout, "retries": retries, "retry_on": retry_on, **further}
        wanted = wanted if self._seeds is None else self._seeded(wanted)
        return self._engine.submit(fn, tuple(args), dict(kwargs or {}), wanted)

    if not TYPE_CHECKING:  # its overloads: `_typed.pools`

        def map(
            self,
            fn: "Callable[..., _R]",
            *iterables: "Iterable[Any]",
            timeout: float | None = None,
            chunksize: int = 1,
            buffersize: int | None = None,
            progress: "ProgressWish | None" = None,
            **further: "Unpack[ItemOptions]",
        ) -> "Iterator[_R]":
            """Return an iterator over `fn(*items)` in the order of the iterables.

            `chunksize` items travel as one task. At most `buffersize` tasks are submitted ahead of the reader
            (None: all, at once). Reading raises TimeoutError `timeout` seconds after this call. `progress` has whoever
            reads draw how far the map is, as the option of `Pool.map` does. None: as the executor's own option has
            it.

            What is in `further` means what it means for maps of a pool, item by item: `retries`, `retry_on`, `seed`,
            `seed_globals`, `priority`, `resources`, `on_error`, `resume`, `on_mismatch`, `fsync`; and `first_error`,
            `order` and `cost`, with which the first result comes when all items have ended.
            """
            if operator.index(chunksize) < 1:
                raise ValueError("chunksize must be >= 1.")
            if buffersize is not None and operator.index(buffersize) < 1:
                raise ValueError("buffersize must be >= 1 or None")
            limit = None if timeout is None else time.monotonic() + timeout
            if further or self._of_items:
                return self._map_items(fn, iterables, limit, chunksize, buffersize, progress, further)
            drawn, run = None, _run_chunk
            progress = self._progress if progress is None else progress
            if progress is not False:
                from procession._progress import mapped

                drawn = mapped.of(progress, fn, iterables, self._max_workers)
                if drawn is not None and chunksize > 1:
                    run = mapped.counted
            chunks = iter(_chunks(zip(*iterables, strict=False), chunksize))
            ahead = itertools.islice(chunks, buffersize)
            futures = deque()
            try:
                for chunk in ahead:
                    futures.append(self.submit(run, fn, chunk))
                    if drawn is not None:
                        drawn.add(futures[-1], len(chunk))
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
            return _results(weakref.ref(self), run, fn, futures, chunks, limit, drawn)

    def _map_items(self, fn, iterables, limit, chunksize, buffersize, progress, further):
        from procession._pool import executor_maps

        wanted = {"timeout": self._task_timeout, **self._of_items, **further}
        if progress is not None:
            wanted["progress"] = progress
        if self._seeds is not None:
            wanted = self._seeded(wanted)
        result = self._engine.map(fn, iterables, chunksize, buffersize, wanted)
        return executor_maps.results(result, limit, _as_broken)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `wait` block until all futures are done and the workers have ended.

        `cancel_futures` cancels those that have not begun.
        """
        self._engine.shutdown(wait, cancel_futures)

    def __exit__(self, kind, error, traceback):
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._engine.give_up()
        return super().__exit__(kind, error, traceback)

    @property
    def _processes(self):
        """The workers by their process numbers, under the name by which programs look for those of the standard one."""
        pool = self._engine._pool
        return {worker.pid: worker for worker in list(getattr(pool, "_pool", ())) if hasattr(worker, "pid")}

    def terminate_workers(self) -> None:
        """End the workers by SIGTERM; unfinished futures fail with BrokenProcessPool."""
        self._engine.stop_workers("terminate")

    def kill_workers(self) -> None:
        """End the workers by SIGKILL; unfinished futures fail with BrokenProcessPool."""
        self._engine.stop_workers("kill")


def _our_context(context):
    if context is None:
        return contexts.get_context()
    if isinstance(context, contexts.BaseContext):
        return context
    return contexts.get_context(context if isinstance(context, str) else context.get_start_method())


def _chunks(items, size):
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _run_chunk(fn, chunk):
    return [fn(*items) for items in chunk]


def _is_counted(run):
    """Return whether this is what calls the function of a map that is drawn."""
    mapped = sys.modules.get("procession._progress.mapped")
    return mapped is not None and run is mapped.counted


def _results(executor, run, fn, futures, chunks, limit, drawn=None):
    future = None
    try:
        futures.reverse()
        while futures:
            future = futures.pop()
            left = None if limit is None else limit - time.monotonic()
            values = future.result(left) if drawn is None else drawn.result(future, left)
            future = None
            chunk = next(chunks, None)
            if chunk is not None and (submit_to := executor()) is not None:
                futures.appendleft(submit_to.submit(run, fn, chunk))
                if drawn is not None:
                    drawn.add(futures[0], len(chunk))
            elif drawn is not None:
                drawn.complete()
            yield from values
    except BaseException as error:
        # Whoever reads has gone, was interrupted or has no more time: nobody can get these results any more. When a
        # call fails, those that run go on, as with the standard executor.
        if future is None or not future.done() or future.cancelled() or future.exception() is not error:
            for call in filter(None, [future, *futures]):
                call.cancel()
        raise
    finally:
        for future in futures:
            # Running calls go on, as with the standard executor.
            Future.cancel(future)
        if drawn is not None:
            drawn.end()


class _Engine:
    """The pool behind an executor, and the calls that wait for it.

    A few more calls than workers are with the pool; the others wait here, where they can be cancelled.
    """

    def __init__(self, make_pool, workers):
        self._make_pool = make_pool
        self._most_given = workers * 2 + 1
        self._lock = threading.RLock()
        self._waiting = deque()
        self._given = set()
        self._pool = None
        self._pid = os.getpid()
        self._refusal = None
        self._idle = threading.Condition(self._lock)
        self._maps: Any = weakref.WeakSet()  # of the pool
        _all_engines.add(self)

    def submit(self, fn, args, kwargs, wanted):
        """Queue a call; `wanted` goes to `apply_async`."""
        self._check_ours()
        for name, module in _CAPTURED.items():
            loaded: Any = sys.modules.get(module)
            if loaded is not None and name in loaded.Terms.further:
                # Here, as the call may reach the pool from another thread.
                wanted = {**wanted, name: loaded.captured()}
        future = PoolFuture()
        with self._lock:
            self._begun_pool()
            self._waiting.append((future, fn, args, kwargs, wanted))
        try:
            self._feed()
        except BaseException:  # a signal handler's, and nobody gets the future
            future.cancel()
            raise
        return future

    def map(self, fn, iterables, chunksize, buffersize, wanted):
        """Have a map of the pool run, and return its result."""
        from procession._pool import executor_maps

        self._check_ours()
        with self._lock:
            pool = self._begun_pool()
        result = executor_maps.begin(pool, fn, iterables, chunksize, buffersize, wanted)
        with self._lock:
            self._maps.add(result)
        return result

    def _check_ours(self):
        if self._pid != os.getpid():  # whose threads may have had the lock when they were left behind
            raise RuntimeError("this executor belongs to the parent process: create one in this process")

    def _begun_pool(self):
        """Return the pool, which the first call makes; under the lock."""
        if self._refusal is not None:
            raise self._refusal()
        if self._pool is None:
            self._pool = self._make_pool()
        return self._pool

    def shutdown(self, wait, cancel_futures=False):
        """Refuse further calls, and wait for those at hand if told so."""
        if self._pid != os.getpid():
            return
        with self._lock:
            if self._refusal is None:
                self._refusal = lambda: RuntimeError("cannot schedule new futures after shutdown")
            dropped = [self._waiting.popleft()[0] for _ in range(len(self._waiting) if cancel_futures else 0)]
            ended = list(self._maps) if cancel_futures else ()
        for result in ended:
            result._core.cancel(CancelledError("the map was cancelled by a shutdown"))
        for future in dropped:
            if Future.cancel(future):
                future.set_running_or_notify_cancel()
        self._close_when_idle()
        if wait:
            try:
                with self._idle:
                    attention.wait_for(self._idle, lambda: not self._waiting and not self._given)
                    pool, self._pool = self._pool, None
            except KeyboardInterrupt:
                self.give_up()
                raise
            if pool is not None:
                pool.close()
                pool.join()

    def give_up(self):
        """Take no more calls, cancel all, those that run, too, and end the workers: Ctrl-C is meant for them."""
        if self._pid != os.getpid():
            return
        with self._lock:
            self._refusal = self._refusal or (lambda: RuntimeError("cannot schedule new futures after shutdown"))
            futures = [*self._given, *(call[0] for call in self._waiting)]
            pool, self._pool = self._pool, None
        for future in futures:
            future.cancel()
        if pool is not None:
            pool.terminate()
        with self._idle:
            self._waiting.clear()
            self._given.clear()
            self._idle.notify_all()

    def stop_workers(self, how):
        """End the worker processes by their method `how`, and fail what is not done."""
        if self._pid != os.getpid():
            return

        # One is made for each use: an exception that was raised keeps alive whatever its traceback shows.
        def error():
            return _broken()(f"the workers were stopped by {how}_workers()")

        if self._pid != os.getpid():
            return
        with self._lock:
            self._refusal = self._refusal or error
            futures = [*self._given, *(call[0] for call in self._waiting)]
            self._waiting.clear()
            self._given.clear()
            pool, self._pool = self._pool, None
        try:
            if pool is not None:
                for worker in list(getattr(pool, "_pool", ())):
                    getattr(worker, how, int)()  # a thread can only be left to itself
                pool.terminate()
        finally:
            for future in futures:
                _fail(future, error())
            with self._idle:
                self._idle.notify_all()
        if pool is not None:
            pool.join()

    def _feed(self):
        """Give waiting calls to the pool as long as it should have more."""
        while True:
            with self._lock:
                if not self._waiting or len(self._given) >= self._most_given or self._pool is None:
                    return
                future, fn, args, kwargs, wanted = self._waiting.popleft()
                if not future.set_running_or_notify_cancel():
                    continue
                self._given.add(future)
                pool = self._pool
            try:
                if fn is _run_chunk or _is_counted(fn):
                    args = pool._crew.accompanied(args[0]), *args[1:]
                result = pool.apply_async(
                    fn,
                    args,
                    kwargs,
                    callback=lambda value, future=future: self._done(future, value, None),
                    error_callback=lambda error, future=future: self._done(future, None, error),
                    **wanted,
                )
            except BaseException as error:
                self._done(future, None, error)
                if isinstance(error, KeyboardInterrupt):  # not the call's
                    raise
            else:
                with future._condition:
                    future._result_of_pool = result
                    cancelled = future._state not in (RUNNING, FINISHED)
                if cancelled:  # in between
                    result.cancel()

    def _done(self, future, value, error):
        with self._lock:
            if future not in self._given:
                return  # stopped before
        if error is None:
            _succeed(future, value)
        else:
            _fail(future, error)
        future._result_of_pool = None
        # Only now: who waits for the shutdown finds all futures done.
        with self._lock:
            self._given.discard(future)
        self._feed()
        self._close_when_idle()

    def _close_when_idle(self):
        with self._idle:
            if self._waiting or self._given:
                return
            if self._refusal is not None and self._pool is not None:
                self._pool.close()
            self._idle.notify_all()


def _succeed(future, value):
    try:
        future.set_result(value)
    except InvalidStateError:  # the workers were stopped, just now
        pass


def _fail(future, error):
    try:
        future.set_exception(_as_broken(error))
    except InvalidStateError:
        pass


def _broken():
    """Return the standard class, imported when it is needed: its module loads all of the standard `multiprocessing`.

    Not while the interpreter ends, when that refuses to be loaded, and nobody has the class.
    """
    if _ends and "concurrent.futures.process" not in sys.modules:
        return BrokenExecutor
    from concurrent.futures.process import BrokenProcessPool

    return BrokenProcessPool


def __getattr__(name):
    """Find `BrokenProcessPool` when it is first asked for."""
    if name != "BrokenProcessPool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = _broken()
    return found


def _as_broken(error):
    """Return what programs for the standard executor expect in the place of `error`."""
    from procession import pool

    told = vars(error.__cause__) if isinstance(error.__cause__, RemoteTraceback) else {}
    if "of_initializer" in told:
        by_initializer = _broken()(f"the initializer failed: {type(error).__name__}: {error}")
        by_initializer.__cause__ = error
        return by_initializer
    if "refused" in told and isinstance(error, pool.MaybeEncodingError):
        try:
            import _pickle

            refused = _pickle.loads(told["refused"])
        except Exception:  # of a class that this process lacks
            return error
        refused.__cause__ = error
        return refused
    if isinstance(error, pool.PoolTerminated):
        return _broken()(str(error))
    died = getattr(pool, "WorkerDied", None)
    if died is None or not isinstance(error, died) or isinstance(error, _broken()):
        return error
    # Programs written for the standard executor catch BrokenProcessPool.
    kind = type(error)
    broken = type(kind.__name__, (kind, _broken()), {"__module__": __name__})
    copy = broken.__new__(broken, *error.args)
    copy.args = error.args
    copy.__dict__.update(vars(error))
    copy.__cause__, copy.__traceback__ = error.__cause__, error.__traceback__
    return copy


def _finish_at_exit():
    """Wait for the futures of executors that nobody shut down, as the standard executor does."""
    global _ends
    _ends = True
    # A `with` block that Ctrl-C ended does not wait for its calls; in a REPL it may have ended something else.
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")
    for engine in list(_all_engines):
        if interrupted:
            engine.give_up()
        engine.shutdown(wait=True)


# Before the interpreter joins its threads and runs exit functions, which end pools; where there is no
# such hook the pools end first and their futures fail.
getattr(threading, "_register_atexit", lambda function: None)(_finish_at_exit)


def stand_in() -> None:
    """Be the executor under the standard name, too, in programs that must not be changed."""
    from procession import _standard_executor

    _standard_executor.stand_in(ProcessPoolExecutor)


if _standard.is_replaced():  # the standard one may have been imported by this module first
    stand_in()
