"""What a context makes. Each room is imported by the first call that needs it: importing the package stays quick."""

__all__: list[str] = []


class Constructors:
    """The constructors and settings that every context has."""

    def get_context(self, method=None):
        """Return the context of a start method, this one for None."""
        raise NotImplementedError

    def Manager(self):
        """Return a started manager: a process that holds objects which others use through proxies."""
        from procession.managers import SyncManager

        manager = SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    def Pipe(self, duplex=True):
        """Return two connections, the ends of a pipe."""
        from procession.connection import Pipe

        return Pipe(duplex)

    def Lock(self, *, robust=False):
        """Return a lock.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        from procession.synchronize import Lock

        return Lock(robust=robust, ctx=self.get_context())

    def RLock(self, *, robust=False):
        """Return a lock that its owner may acquire again.

        Args:
            robust: raise OwnerDied, holding the lock, when its owner has died; otherwise that is a warning.
        """
        from procession.synchronize import RLock

        return RLock(robust=robust, ctx=self.get_context())

    def Condition(self, lock=None):
        """Return a condition variable."""
        from procession.synchronize import Condition

        return Condition(lock, ctx=self.get_context())

    def Semaphore(self, value=1):
        """Return a semaphore."""
        from procession.synchronize import Semaphore

        return Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value=1):
        """Return a semaphore that cannot be released above its first value."""
        from procession.synchronize import BoundedSemaphore

        return BoundedSemaphore(value, ctx=self.get_context())

    def Event(self):
        """Return an event."""
        from procession.synchronize import Event

        return Event(ctx=self.get_context())

    def Barrier(self, parties, action=None, timeout=None):
        """Return a barrier."""
        from procession.synchronize import Barrier

        return Barrier(parties, action, timeout, ctx=self.get_context())

    def Queue(self, maxsize=0):
        """Return a queue."""
        from procession.queues import Queue

        return Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize=0):
        """Return a queue that counts the items that are done."""
        from procession.queues import JoinableQueue

        return JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self):
        """Return a queue with the fewest methods."""
        from procession.queues import SimpleQueue

        return SimpleQueue(ctx=self.get_context())

    def Pool(self, processes=None, initializer=None, initargs=(), maxtasksperchild=None, **options):
        """Return a pool of worker processes; `options` are those of `procession.pool.Pool`."""
        from procession.pool import Pool

        return Pool(processes, initializer, initargs, maxtasksperchild, context=self.get_context(), **options)

    def RawValue(self, typecode_or_type, *args):
        """Return a ctypes object in shared memory."""
        from procession.sharedctypes import RawValue

        return RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type, size_or_initializer):
        """Return a ctypes array in shared memory."""
        from procession.sharedctypes import RawArray

        return RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type, *args, lock=True):
        """Return a ctypes object in shared memory with a lock."""
        from procession.sharedctypes import Value

        return Value(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type, size_or_initializer, *, lock=True):
        """Return a ctypes array in shared memory with a lock."""
        from procession.sharedctypes import Array

        return Array(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    def freeze_support(self):
        """Run the child and exit, in a frozen executable that was started as one."""
        from procession.spawn import freeze_support

        freeze_support()

    def get_logger(self):
        """Return the logger of this package."""
        from procession.util import get_logger

        return get_logger()

    def log_to_stderr(self, level=None):
        """Have the logger print to stderr."""
        from procession.util import log_to_stderr

        return log_to_stderr(level)

    def allow_connection_pickling(self):
        """Make connections and sockets picklable."""
        from procession import connection  # noqa: F401

    def set_executable(self, executable):
        """Set the interpreter that new children run."""
        from procession.spawn import set_executable

        set_executable(executable)

    def set_forkserver_preload(self, module_names, *, on_error="ignore"):
        """Set the modules that the forkserver imports before it forks.

        Args:
            on_error: what happens when one cannot be imported: "ignore" leaves it to the children, "warn" has the
                server write an ImportWarning to stderr as well, with "fail" the server ends with the traceback on
                stderr, and starting a process raises EOFError.

        Raises:
            TypeError: `module_names` is not a list of strings.
            ValueError: `on_error` is none of these.
        """
        from procession.forkserver import set_forkserver_preload

        set_forkserver_preload(module_names, on_error=on_error)
