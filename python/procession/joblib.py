"""A backend for joblib: after `import procession.joblib`, `joblib.parallel_config("procession")` uses our pool.

With it scikit-learn and everything else that computes by joblib runs on procession's workers.  They stay from
one `Parallel` call to the next, as long as `n_jobs` is the same.
"""

import os
import threading

from joblib._parallel_backends import AutoBatchingMixin, FallbackToBackend, SequentialBackend
from joblib.parallel import ParallelBackendBase, register_parallel_backend

from procession import _standard
from procession import context as contexts
from procession._pool.cpus import budget
from procession.shared_pools import SharedPool, _Behind

__all__ = ["ProcessionBackend", "register"]

_lock = threading.Lock()
_pools: dict = {}  # (process, n_jobs, threads in a worker) -> Pool; at most one


class ProcessionBackend(AutoBatchingMixin, ParallelBackendBase):
    """Runs the batches of a `Parallel` call in a pool of processes."""

    supports_retrieve_callback = True
    supports_inner_max_num_threads = True
    default_n_jobs = -1

    def effective_n_jobs(self, n_jobs):
        """Return how many workers `n_jobs` asks for.

        Negative numbers count down from the CPUs that a pool may use here: in a worker of a pool, its share of them.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(budget() + 1 + n_jobs, 1)

    def configure(self, n_jobs=1, parallel=None, prefer=None, require=None, **_options):
        """Get the pool ready and return the number of its workers; one worker is no pool at all."""
        n_jobs = self.effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel = parallel
        self._n_jobs = n_jobs
        self._pool = _pool_of(n_jobs, self.inner_max_num_threads)
        return n_jobs

    def submit(self, func, callback=None):
        """Have a batch computed; `callback` gets what `retrieve_result_callback` understands."""
        self._accompany(func)
        return self._pool.apply_async(
            func,
            callback=lambda value: callback((True, value)),
            error_callback=lambda error: callback((False, error)),
        )

    apply_async = submit  # its name before joblib 1.5

    def _accompany(self, batch):
        """Have the functions of a batch bring along what the workers are to know of the variables that they read."""
        calls = getattr(batch, "items", None)
        if isinstance(calls, list):
            calls[:] = [(self._pool._crew.accompanied(function), *others) for function, *others in calls]

    def retrieve_result_callback(self, out):
        """Return the results of a batch, or raise what it raised."""
        success, value = out
        if success:
            return value
        raise value

    def terminate(self):
        """End the use of the pool; it stays for the next call."""
        self._pool = None
        self.reset_batch_stats()

    def abort_everything(self, ensure_ready=True):
        """Stop what runs for this call; calls of other threads go on."""
        self._pool.terminate()
        self._pool = _pool_of(self._n_jobs, self.inner_max_num_threads) if ensure_ready else None


def _pool_of(n_jobs, threads):
    """Return a handle of the pool; other threads may have theirs."""
    forgotten = []
    with _lock:
        key = os.getpid(), n_jobs, threads
        pool = _pools.get(key)
        if pool is None or pool._crew.unusable:
            # It ends behind this lock, or with the last handle that another thread has of it.
            forgotten.extend(_pools.values())
            _pools.clear()
            pool = _pools[key] = _Behind(n_jobs, _limit_threads, (threads,), context=_context())
        return SharedPool(pool)


def _context():
    """Return the context that a program has set, else that of the forkserver: in a program that runs unchanged `fork`
    may be the default, which joblib's own engine avoids for the threads of numerical libraries."""
    default = contexts._default_context
    if default._actual_context in (None, default._default_context):
        return default.get_context(contexts.DEFAULT_START_METHOD)
    return default._actual_context


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


def register():
    """Make the backend known to joblib under the name "procession"; importing this module does."""
    register_parallel_backend("procession", ProcessionBackend)


def stand_in():
    """Be the backend under the names of joblib's own too, for programs that must not be changed."""
    for name in ("loky", "multiprocessing"):
        register_parallel_backend(name, ProcessionBackend)


register()
if _standard.is_replaced():
    stand_in()
