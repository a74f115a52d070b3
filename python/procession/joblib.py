"""A backend for joblib: after `import procession.joblib`, `joblib.parallel_config("procession")` uses our pool.

With it scikit-learn and everything else that computes by joblib runs on procession's workers. They stay from
one `Parallel` call to the next, as long as `n_jobs` is the same.
"""

import os
import sys
import threading
from operator import is_ as _is

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend
from joblib.parallel import ParallelBackendBase, register_parallel_backend

from procession import _standard, context as contexts
from procession._pool.cpus import budget
from procession._pool.options import pool_options
from procession.shared_pools import SharedPool, _Behind

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["ProcessionBackend", "register"]

_lock = threading.Lock()
_pools: dict = {}  # what was wished for -> the pool, its options; at most one
# The names of the options of a pool.
_OPTIONS = tuple(pool_options.__kwdefaults__ or ())


class ProcessionBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs the batches of a `Parallel` call in a pool of processes."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many workers `n_jobs` asks for.

        Negative numbers count down from the CPUs that a pool may use here: in a worker of a pool, its share of them.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(budget() + 1 + n_jobs, 1)

    def configure(
        self,
        n_jobs: int | None = 1,
        parallel: "Any" = None,
        prefer: "Any" = None,
        require: "Any" = None,
        **options: "Any",
    ) -> int:
        """Get the pool ready and return the number of its workers; one worker is no pool at all.

        Of joblib's own options `initializer` and `initargs` have a meaning; large arrays are shared in any case. The
        others are those of `procession.Pool`, such as `max_memory` or `env`.

        Raises:
            TypeError, ValueError: an option of the pool makes no sense.
        """
        options = {**getattr(self, "backend_kwargs", {}), **options}
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        begin = self.inner_max_num_threads, options.get("initializer"), tuple(options.get("initargs") or ())
        wanted = {name: options[name] for name in _OPTIONS if name in options}
        self._wishes = n_jobs, begin, wanted
        self._pool = _pool_of(*self._wishes)
        return n_jobs

    def submit(self, func: "Callable[[], Any]", callback: "Any" = None) -> "Any":
        """Have a batch computed; `callback` gets what `retrieve_result_callback` understands."""
        self._accompany(func)
        return self._pool.apply_async(
            func,
            callback=lambda value: callback((True, value)),
            error_callback=lambda error: callback((False, error)),
        )

    apply_async = submit  # its name before joblib 1.5

    def _accompany(self, batch):
        """Have the functions of a batch bring along what the workers are to know of the variables that they read, and
        arrays that lie in files go as such: joblib's tasks write into them."""
        calls = getattr(batch, "items", None)
        if isinstance(calls, list):
            calls[:] = [(self._pool._crew.accompanied(function), *map(_by_file, others)) for function, *others in calls]

    def retrieve_result_callback(self, out: "Any") -> "Any":
        """Return the results of a batch, or raise what it raised."""
        success, value = out
        if success:
            return value
        raise value

    def terminate(self) -> None:
        """End the use of the pool; it stays for the next call."""
        self._pool = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Stop what runs for this call; calls of other threads go on."""
        self._pool.terminate()
        self._pool = _pool_of(*self._wishes) if ensure_ready else None


_MOST_PARTS = 1000  # of a container that is looked through for arrays in files


class _ByFile:
    """Arrives as the array that lies in a file, mapped there anew."""

    def __init__(self, array, memmap):
        self._array, self._memmap = array, memmap

    def __reduce__(self):
        from joblib._memmapping_reducer import _reduce_memmap_backed

        return _reduce_memmap_backed(self._array, self._memmap)


def _by_file(value, depth=3):
    """Return what to send for arguments: arrays in files, within plain containers, too, are sent as `_ByFile`.

    Large and deep containers are left as they are: to look through them takes longer than to pickle them.
    """
    kind = type(value)
    if kind in (list, tuple, dict):
        if not depth or len(value) > _MOST_PARTS:
            return value
        parts = value.values() if kind is dict else value
        sent = [_by_file(part, depth - 1) for part in parts]
        if all(map(_is, sent, parts)):
            return value
        return dict(zip(value, sent, strict=True)) if kind is dict else kind(sent)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        from joblib._memmapping_reducer import _get_backing_memmap

        memmap = _get_backing_memmap(value)
        if isinstance(memmap, numpy.memmap) and memmap.filename is not None:
            return _ByFile(value, memmap)
    return value


def _pool_of(n_jobs, begin, wanted):
    """Return a handle of the pool with the options that are `wanted`; other threads may have theirs."""
    threads, initializer, initargs = begin
    forgotten = []
    with _lock:
        # The pool keeps the objects whose ids these are.
        begun = threads, id(initializer), *map(id, initargs)
        key = os.getpid(), n_jobs, begun, *map(os.environ.get, ProcessionBackend.MAX_NUM_THREADS_VARS)
        pool, its = _pools.get(key, (None, None))
        if pool is None or pool._crew.unusable or its != wanted:
            pool_options(n_jobs, **wanted)  # refuses what makes no sense while the old pool is still there
            # The pool ends behind this lock, or with the last handle that another thread has of it.
            forgotten.extend(_pools.values())
            _pools.clear()
            pool = _Behind(n_jobs, _begin, begin, context=_context(), **wanted)
            _pools[key] = pool, wanted
        return SharedPool(pool)


def _context():
    """Return the context that a program has set, else that of the forkserver: in a program that runs unchanged `fork`
    may be the default, which joblib's own engine avoids for the threads of numerical libraries."""
    default = contexts._default_context
    if default._actual_context in (None, default._default_context):
        return default.get_context(contexts.DEFAULT_START_METHOD)
    return default._actual_context


def _begin(threads, initializer, initargs):
    """In a worker: do what comes before its first task."""
    _limit_threads(threads)
    if initializer is not None:
        initializer(*initargs)


def _limit_threads(count):
    """In a worker: let native libraries use `count` threads (None: as they like)."""
    if count is None:
        return
    for variable in ProcessionBackend.MAX_NUM_THREADS_VARS:
        os.environ[variable] = str(count)
    try:
        import threadpoolctl
    except ImportError:
        return  # then it counts for libraries that are not loaded yet
    threadpoolctl.threadpool_limits(count)


def _after_fork():
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def register() -> None:
    """Make the backend known to joblib under the name "procession"; importing this module does."""
    register_parallel_backend("procession", ProcessionBackend)


class _StandIn(ProcessionBackend):
    """The backend in the place of joblib's own, which compute serially unless a program says how many jobs it wants."""

    default_n_jobs = 1


def stand_in() -> None:
    """Be the backend under the names of joblib's own too, and its pools, for programs that must not be changed."""
    for name in ("loky", "multiprocessing"):
        register_parallel_backend(name, _StandIn)
    pools = sys.modules.get("joblib.pool")
    if pools is not None:
        from procession._reducing import ReducingPool

        if pools.PicklingPool.__bases__ == ReducingPool.__bases__:
            pools.PicklingPool.__bases__ = (ReducingPool,)


register()
if _standard.is_replaced():
    stand_in()
